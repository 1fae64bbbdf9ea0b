"""The life of a rented machine, as a pure state machine: what happened and when, to what it is now and what to do next.

`lib.renting.keeping` drives it: it saves each step in the instance's row before it carries the actions out. The
simulator and the property tests drive it too. Nothing here asks a market or a host. How a life ends is told in
`lib.market.ending`.

Two rules hold whatever happens. Each state has a deadline, and behind all of them stands `expires_at`: so every life
comes to `destroying`. From there it leaves only with a proof that the market bills it no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, Final

from lib.market import events as ev
from lib.market.ending import IN_FLIGHT_SECONDS, REACHED, destroying, ended, hopeless, settle_absence, try_again
from lib.market.instance import Instance, seconds_by_state
from lib.market.labels import Label
from lib.money import MICRO

if TYPE_CHECKING:
    from lib.market.base import MarketOffer
    from lib.market.ending import Then
    from lib.market.events import Action, Event
    from lib.market.instance import InstanceState

LOOK_SECONDS: Final = 5.0
"""How often a machine is looked at that is to come: a start takes minutes, and a market counts requests."""

WATCH_SECONDS: Final = 15.0
"""How often the market is asked about one that works: a preemption is mostly told earlier, by the connection's end."""

PRICE_SLACK: Final = 1.01
"""An offer's price and its contract's may differ in their last digits."""


@dataclass(frozen=True, slots=True)
class Move:
    """One arrow of the diagram: from `source` (None: there was nothing) to `target`, because of `by`."""

    source: InstanceState | None
    target: InstanceState
    by: str


MOVES: Final[tuple[Move, ...]] = (
    Move(None, "intended", "decided"),
    Move("intended", "creating", "recorded"),
    Move("intended", "destroying", "told to end, or not recorded in time"),
    Move("creating", "loading", "created, or found by its label"),
    Move("creating", "gone", "plainly refused"),
    Move("creating", "destroying", "told to end, or not created in time"),
    Move("loading", "connecting", "runs and has an address"),
    Move("loading", "destroying", "exited, preempted, vanished, too dear, told to end, or too slow"),
    Move("connecting", "probing", "connected"),
    Move("connecting", "destroying", "lost, exited, preempted, vanished, too dear, told to end, or too slow"),
    Move("probing", "canary", "good enough"),
    Move(
        "probing",
        "destroying",
        "not good enough, lost, exited, preempted, vanished, too dear, told to end, or too slow",
    ),
    Move("canary", "draining", "canary sound"),
    Move(
        "canary",
        "destroying",
        "canary failed, lost, exited, preempted, vanished, too dear, told to end, or too slow",
    ),
    Move("draining", "idle", "no work"),
    Move("draining", "destroying", "lost, exited, preempted, vanished, too dear, told to end, or time over"),
    Move("idle", "draining", "work"),
    Move(
        "idle",
        "destroying",
        "idle for its grace, lost, exited, preempted, vanished, too dear, told to end, or time over",
    ),
    Move("destroying", "gone", "proven absent"),
)


@dataclass(frozen=True, slots=True)
class LifeLimits:
    """Seconds that each state may last, and the hard end of all. `idle` is WATCHER_IDLE_GRACE.

    `probing` has room for an installation: an image need not have our program. `max_dph` is VAST_MAX_DPH in millionths
    of a dollar; 0: any price.
    """

    max_runtime: float = 7200.0
    idle: float = 75.0
    intended: float = 60.0
    creating: float = 60.0
    loading: float = 600.0
    connecting: float = 120.0
    probing: float = 720.0
    canary: float = 300.0
    max_dph: int = 0

    def seconds(self, state: InstanceState) -> float:
        """How long it may last, `expires_at` aside."""
        return {
            "intended": self.intended,
            "creating": self.creating,
            "loading": self.loading,
            "connecting": self.connecting,
            "probing": self.probing,
            "canary": self.canary,
            "idle": self.idle,
        }.get(state, self.max_runtime)


@dataclass(frozen=True, slots=True)
class Step:
    """What it is now, what to do next in this order, and what has accrued since the row was charged last.

    `instance.cost` is still what was charged before: the ledger adds `charge` to it.
    """

    instance: Instance
    actions: tuple[Action, ...] = ()
    charge: int = 0

    @property
    def charged(self) -> Instance:
        """The instance once the ledger has charged it."""
        return replace(self.instance, cost=self.instance.cost + self.charge)


def begin(
    intent: str, market: str, offer: MarketOffer, disk_gb: float, now: float, limits: LifeLimits, *, owner: str = ""
) -> Instance:
    """The row of a new intent; its fence is empty until the ledger gives it one."""
    expires_at = now + limits.max_runtime
    return Instance(
        intent=intent,
        fence="",
        market=market,
        state="intended",
        since=now,
        deadline=min(now + limits.intended, expires_at),
        expires_at=expires_at,
        offer=offer.id,
        machine_id=offer.machine_id,
        gpu=offer.gpu,
        dph=offer.hourly(disk_gb),
        owner=owner,
    )


def label_of(instance: Instance, namespace: str) -> Label:
    """The label that its create carries. An adopted one bears that of its first owner: look by intent, not by fence."""
    return Label(namespace, instance.intent, instance.fence, ceil(instance.expires_at))


def worst_cost(dph: int, max_runtime: float) -> int:
    """The most that a rent may cost, in millionths of a dollar: what its intent reserves."""
    return ceil(dph * max_runtime / 3600)


def step(instance: Instance, event: Event, now: float, limits: LifeLimits) -> Step:
    """What follows from the event at this moment; an event that means nothing in its state changes nothing.

    What comes after a deadline comes too late, whether or not a tick was before it: it is being destroyed then. What
    the event says of its create is kept; an absence is looked for anew.
    """
    if instance.state == "gone":
        return Step(instance)
    actions: tuple[Action, ...] = ()
    then = _priced(instance, event)
    late = then.state != "destroying" and now >= then.deadline
    if late:
        then, actions = hopeless(then, now)
        event = ev.Tick() if isinstance(event, ev.Absent) else event
    then, more = _ending(then, event, now) if then.state == "destroying" else _living(then, event, now, limits)
    return Step(then, actions + more, max(0, accrued(then, now) - then.cost))


def _priced(instance: Instance, event: Event) -> Instance:
    """At the price that the market takes where that is more than its offer said: the ledger never says too little."""
    if isinstance(event, ev.Shown) and event.dph > instance.dph:
        return replace(instance, dph=event.dph)
    return instance


def accrued(instance: Instance, now: float) -> int:
    """What it has cost from the moment the market was asked for it, in millionths of a dollar, rounded up.

    A market may bill later; the ledger says too much, never too little. One that was never found costs nothing.
    """
    if not instance.market_id or instance.created_at is None:
        return 0
    return ceil(instance.dph * max(0.0, now - instance.created_at) / 3600)


def next_tick(instance: Instance, now: float) -> float:
    """When a `Tick` is due next, in Unix seconds; never in the past, and infinite for what is gone."""
    if instance.state == "gone":
        return float("inf")
    if instance.state == "destroying":
        return now if instance.asked == 0 else max(now, instance.deadline)
    if instance.state in {"intended", "creating"} and instance.absent_at is None:
        return max(now, instance.deadline)
    pause = LOOK_SECONDS if instance.state in {"creating", "loading"} else WATCH_SECONDS
    return max(now, min(instance.deadline, now + pause))


_FORTH: Final[dict[tuple[InstanceState, type[Event]], tuple[InstanceState, tuple[Action, ...]]]] = {
    ("connecting", ev.Connected): ("probing", (ev.Probe(),)),
    ("probing", ev.Probed): ("canary", (ev.RunCanary(),)),
    ("canary", ev.CanaryEnded): ("draining", (ev.Open(),)),
    ("draining", ev.NoWork): ("idle", ()),
    ("idle", ev.Work): ("draining", ()),
}
"""What leads on, once the host is reached."""


def _living(instance: Instance, event: Event, now: float, limits: LifeLimits) -> Then:
    """What follows before anybody wants it to end."""
    wrong = _wrong(instance, event, now) or _too_dear(instance, limits)
    if wrong is not None:
        return destroying(instance, now, *wrong)
    if isinstance(event, ev.Tick):
        return instance, _questions(instance)
    if instance.state in {"intended", "creating", "loading"}:
        return _unreached(instance, event, now, limits)
    forth = _FORTH.get((instance.state, type(event)))
    if forth is None:
        return instance, ()
    state, actions = forth
    return _entered(instance, state, now, limits), actions


def _unreached(instance: Instance, event: Event, now: float, limits: LifeLimits) -> Then:
    """What follows while only the market can say anything of it."""
    match event, instance.state:
        case ev.Recorded(), "intended":
            moved = _entered(instance, "creating", now, limits)
            return replace(moved, created_at=now), (ev.Create(),)
        case ev.Refused(why), "creating":
            return ended(replace(instance, reason=f"refused: {why}"), now)
        case ev.Uncertain(), "creating":
            return replace(instance, absent_at=now), (ev.LookForLabel(),)
        case ev.Created(market_id), "creating":
            moved = _entered(instance, "loading", now, limits)
            return replace(moved, market_id=market_id, absent_at=None), (ev.Show(),)
        case ev.Shown("running", address), "loading" if address is not None:
            return _entered(instance, "connecting", now, limits), (ev.Connect(address),)
    return instance, ()


def _questions(instance: Instance) -> tuple[Action, ...]:
    """What a tick asks: by label while the market's id is not known, else how it is."""
    if instance.market_id:
        return (ev.Show(),)
    return () if instance.absent_at is None else (ev.LookForLabel(),)


def _wrong(instance: Instance, event: Event, now: float) -> tuple[str, str] | None:
    """What has gone wrong, or is wanted to be over: a word of `REASONS` and more about it; None: nothing."""
    reached = instance.state in REACHED
    found: tuple[str, str] | None = None
    match event:
        case ev.ToldToEnd(why):
            found = "told", why
        case ev.Shown("exited", message=message) if reached or instance.state == "loading":
            found = "exited", message
        case ev.Shown("stopped", message=message) if reached or instance.state == "loading":
            found = "preempted", message
        case ev.Absent(plain=True) if reached or _long_asked(instance, now):
            found = "vanished", ""
        case ev.Probed(why) if why and instance.state == "probing":
            found = "probe", why
        case ev.CanaryEnded(why) if why and instance.state == "canary":
            found = "canary", why
        case ev.Lost(why, blame) if reached:
            found = "lost" if blame else "dropped", why
    return found


def _too_dear(instance: Instance, limits: LifeLimits) -> tuple[str, str] | None:
    """Whether the market takes more than was allowed, by more than how two of its answers may be rounded."""
    if not limits.max_dph or instance.dph <= limits.max_dph * PRICE_SLACK:
        return None
    return "dearer", f"${instance.dph / MICRO:.3f} an hour"


def _long_asked(instance: Instance, now: float) -> bool:
    """Whether it loads for so long that the market must know it: one may rent sooner than it can show."""
    asked = instance.created_at if instance.created_at is not None else instance.since
    return instance.state == "loading" and now >= asked + IN_FLIGHT_SECONDS


def _ending(instance: Instance, event: Event, now: float) -> Then:
    """What follows while it is being destroyed: only a proof leads out of it."""
    then: Then = instance, ()
    match event:
        case ev.Created(market_id) if not instance.market_id:
            known = replace(instance, market_id=market_id, created_at=instance.created_at or now, absent_at=None)
            then = try_again(replace(known, asked=0), now)
        case ev.Refused() | ev.Absent(plain=True) if _answers(instance, event):
            then = ended(instance, now)
        case ev.Absent():
            then = settle_absence(instance, now)
        case ev.Uncertain() if not instance.market_id:
            then = instance, (ev.LookForLabel(),)
        case ev.Shown():
            then = replace(instance, absent_at=None), ()
        case ev.Tick() if instance.asked == 0 or now >= instance.deadline:
            then = try_again(instance, now)
    return then


def _answers(instance: Instance, event: ev.Refused | ev.Absent) -> bool:
    """Whether it is a proof for this instance: a refusal of the one create, or word of the one id."""
    if isinstance(event, ev.Absent):
        return bool(instance.market_id)
    return not instance.market_id and instance.created_at is not None


def _entered(instance: Instance, state: InstanceState, now: float, limits: LifeLimits) -> Instance:
    """In another state from now on, with a deadline for it."""
    deadline = min(now + limits.seconds(state), instance.expires_at)
    return replace(instance, state=state, since=now, deadline=deadline, spent=seconds_by_state(instance, now))
