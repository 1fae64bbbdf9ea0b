"""The life of a rented machine, as a pure state machine: what happened and when, to what it is now and what to do next.

`job_watcher.backends.vast` drives it: it saves each step in the instance's row before it carries the actions out. The
simulator and the property tests drive it too. Nothing here asks a market or a host.

Two rules hold whatever happens. Each state has a deadline, and behind all of them stands `expires_at`: so every life
comes to `destroying`. From there it leaves only with a proof that the market bills it no more.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib.market.base import MarketOffer
    from lib.market.events import Action, Event
    from lib.market.instance import Instance, InstanceState
    from lib.market.labels import Label


@dataclass(frozen=True, slots=True)
class LifeLimits:
    """Seconds that each state may last, and the hard end of all. `idle` is WATCHER_IDLE_GRACE."""

    max_runtime: float = 7200.0
    idle: float = 75.0
    intended: float = 60.0
    creating: float = 60.0
    loading: float = 600.0
    connecting: float = 120.0
    probing: float = 120.0
    canary: float = 300.0


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
    raise NotImplementedError


def label_of(instance: Instance, namespace: str) -> Label:
    """The label that its create carries. An adopted one bears that of its first owner: look by intent, not by fence."""
    raise NotImplementedError


def worst_cost(instance: Instance) -> int:
    """The most that the rent may cost until `expires_at`, in millionths of a dollar: what its intent reserves."""
    raise NotImplementedError


def step(instance: Instance, event: Event, now: float, limits: LifeLimits) -> Step:
    """What follows from the event at this moment; an event that means nothing in its state changes nothing."""
    raise NotImplementedError


def next_tick(instance: Instance, now: float) -> float:
    """When a `Tick` is due next, in Unix seconds; never in the past."""
    raise NotImplementedError


def seconds_by_state(instance: Instance, now: float) -> dict[InstanceState, float]:
    """Seconds in each state so far, that of now included."""
    raise NotImplementedError
