"""How a rented machine's life ends: it is asked to, again and again, until there is proof that it is gone. Pure.

Part of `lib.market.life`, which alone calls it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from lib.market import events as ev
from lib.market.instance import READY, seconds_by_state

if TYPE_CHECKING:
    from lib.market.events import Action
    from lib.market.instance import Instance, InstanceState

    Then = tuple[Instance, tuple[Action, ...]]

REACHED: Final = READY | {"connecting", "probing", "canary"}
"""In these somebody holds a connection to it, or tries to."""

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0
"""Between two requests to end it: soon, since it costs; then twice as long each time, since the market may be ill."""

IN_FLIGHT_SECONDS: Final = 120.0
"""So long after it was asked for, a machine may still come into being: until then no listing proves that it is not."""

APART_SECONDS: Final = 5.0
"""Two listings that are nearer to each other may be the same stale answer."""

ALARM_EVERY: Final = 5
"""People are told at so many requests in vain, and again at as many more: the first time after 75 s."""

EXCLUDED_SECONDS: Final = 3600.0
"""For so long a machine that failed is not rented again: long enough for its owner to mend it, or for our batch."""


@dataclass(frozen=True, slots=True)
class Reason:
    """`failed`: something went wrong with the machine. `blame`: it is not rented again for a while."""

    words: str
    failed: bool = False
    blame: bool = False


REASONS: Final[dict[str, Reason]] = {
    "told": Reason("somebody wanted it to end"),
    "idle": Reason("nothing was left to do for the idle grace"),
    "max_runtime": Reason("its time was over"),
    "refused": Reason("the market did not rent it"),
    "not_recorded": Reason("its row was not written in time"),
    "not_created": Reason("the market did not say in time whether it rented it"),
    "not_loaded": Reason("it did not start in time", failed=True, blame=True),
    "not_connected": Reason("its ssh did not answer in time", failed=True, blame=True),
    "not_probed": Reason("to look at it took too long", failed=True, blame=True),
    "no_canary": Reason("its first job took too long", failed=True, blame=True),
    "probe": Reason("it is not good enough", failed=True, blame=True),
    "canary": Reason("its first job failed", failed=True, blame=True),
    "exited": Reason("its container ended", failed=True, blame=True),
    "lost": Reason("it does not answer any more", failed=True, blame=True),
    "dropped": Reason("the connection to it ended, which is not its fault"),
    "dearer": Reason("the market takes more for it than VAST_MAX_DPH", failed=True, blame=True),
    "preempted": Reason("it was taken away, by a higher bid or by its owner"),
    "vanished": Reason("the market knows it no more", failed=True),
    "orphaned": Reason("its watcher is gone"),
}
"""By the word that stands first in `Instance.reason`. `orphaned` is an adopter's, who writes it in the row."""

_LATE: Final[dict[InstanceState, str]] = {
    "intended": "not_recorded",
    "creating": "not_created",
    "loading": "not_loaded",
    "connecting": "not_connected",
    "probing": "not_probed",
    "canary": "no_canary",
    "idle": "idle",
}


def hopeless(instance: Instance, now: float) -> Then:
    """Its deadline has passed."""
    late = _LATE.get(instance.state, "max_runtime")
    return destroying(instance, now, "max_runtime" if now >= instance.expires_at else late)


def destroying(instance: Instance, now: float, code: str, detail: str = "") -> Then:
    """To be ended from now on, for this reason of `REASONS`."""
    reason = REASONS[code]
    actions: list[Action] = []
    if instance.state in REACHED:
        actions.append(ev.Close())
    said = f"{code}: {detail}" if detail else code
    then = replace(
        instance,
        state="destroying",
        since=now,
        spent=seconds_by_state(instance, now),
        reason=said,
        failed=reason.failed,
        asked=0,
        absent_at=None,
    )
    then, asking = try_again(then, now)
    actions += asking
    if reason.blame and instance.machine_id:
        actions.append(ev.Exclude(instance.machine_id, EXCLUDED_SECONDS, said))
    return then, tuple(actions)


def try_again(instance: Instance, now: float) -> Then:
    """Ask for its end, or look for it where the market's id is not known; the next time after a longer pause."""
    asked = instance.asked + 1
    pause = min(FIRST_PAUSE_SECONDS * 2 ** min(instance.asked, 10), LONGEST_PAUSE_SECONDS)
    asking: tuple[Action, ...] = (ev.Destroy(), ev.Show()) if instance.market_id else (ev.LookForLabel(),)
    if asked % ALARM_EVERY == 0 and not _in_flight(instance, now):
        asking += (ev.Alarm(asked, instance.reason),)
    return replace(instance, asked=asked, deadline=now + pause), asking


def settle_absence(instance: Instance, now: float) -> Then:
    """A whole listing is without it: the second such one proves it, if both came when it must have been there."""
    if _in_flight(instance, now):
        return replace(instance, absent_at=None), ()
    if instance.absent_at is None:
        return replace(instance, absent_at=now, deadline=min(instance.deadline, now + APART_SECONDS)), ()
    return ended(instance, now) if now - instance.absent_at >= APART_SECONDS else (instance, ())


def ended(instance: Instance, now: float) -> Then:
    """It is proven that it is gone."""
    then = replace(instance, state="gone", since=now, deadline=now, spent=seconds_by_state(instance, now))
    return then, (ev.End(),)


def _in_flight(instance: Instance, now: float) -> bool:
    """Whether a create whose answer nobody has may still be on its way."""
    asked = instance.created_at
    return not instance.market_id and asked is not None and now < asked + IN_FLIGHT_SECONDS
