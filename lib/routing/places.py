"""Where jobs could go now: each lane with the room that slots, limits, quota and budget leave. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.jobqueue.moves import Move

if TYPE_CHECKING:
    from lib.routing.view import Condition, IntakeClass, View

_FREE: Final = "metal"
_ANY: Final = "any"


@dataclass(slots=True)
class Pool:
    """What the lanes of one backend share: `limit` jobs in all of them, `rate` more of them now (None: no such limit).

    `money` is what may still be reserved, None without a cap.
    """

    lanes: tuple[str, ...]
    limit: int
    held: int
    rate: int | None = None
    money: int | None = None


@dataclass(slots=True)
class Place:
    """One lane as a destination."""

    lane: str
    backend: str
    limit: int
    held: int
    pool: Pool
    price: int = 0
    closed: bool = False

    def room(self) -> int:
        """How many more jobs may go there, whatever stands in their way."""
        return self.allowed(min(self.limit - self.held, self.pool.limit - self.pool.held))

    def allowed(self, room: int) -> int:
        """How many of `room` jobs quota and budget let through."""
        if self.closed:
            return 0
        if self.pool.rate is not None:
            room = min(room, self.pool.rate)
        if self.pool.money is not None and self.price > 0:
            room = min(room, self.pool.money // self.price)
        return max(0, room)

    def obstacles(self) -> set[Condition]:
        """Why a job that would have gone there does not, beside a want of slots."""
        found: set[Condition] = set()
        if self.closed:
            found.add("api_closed")
        if self.pool.rate is not None and self.pool.rate <= 0:
            found |= {"near_limit", "rate_paused"}
        if self.pool.money is not None and self.price > self.pool.money:
            found.add("budget_reached")
        return found

    def take(self, count: int) -> None:
        """Note that so many jobs go there."""
        self.held += count
        self.pool.held += count
        if self.pool.rate is not None:
            self.pool.rate -= count
        if self.pool.money is not None:
            self.pool.money -= count * self.price

    def order(self, intake: str, count: int, picks: tuple[str, ...] = ()) -> Move:
        """The order that moves so many jobs there."""
        pool = self.pool
        rated = pool.rate is not None
        return Move(intake, self.lane, count, self.limit, pool.lanes, pool.limit, rated, self.price, picks)


@dataclass(slots=True)
class Places:
    """All of them, by (backend, capability)."""

    by_class: dict[tuple[str, str], Place] = field(default_factory=dict)

    def for_intake(self, intake: IntakeClass, backends: tuple[str, ...]) -> list[Place]:
        """Where its jobs may run, in this order of backends."""
        wanted = (intake.pin,) if intake.pin else backends
        found = (self.by_class.get((backend, intake.capability)) for backend in wanted)
        return [place for place in found if place is not None]


def places(view: View) -> Places:
    """The lanes of the live watchers' backends, as wide as their slots and the limits say."""
    found = Places()
    rate = view.survey.rate
    for backend in sorted({lane.backend for lane in view.lanes}):
        total = sum(watcher.slots.get(backend, 0) for watcher in view.watchers)
        lanes = tuple(lane.name for lane in view.lanes if lane.backend == backend)
        held = sum(view.survey.held.get(lane, 0) for lane in lanes)
        pool = Pool(lanes, _width(view, backend, total), held)
        if backend != _FREE:
            pool.rate = rate.left
            if view.limits.budget is not None:
                pool.money = max(0, view.limits.budget - rate.spent)
        for lane in view.lanes:
            if lane.backend != backend:
                continue
            slots = sum(watcher.slots_for(backend, lane.capability) for watcher in view.watchers)
            if slots < 1:
                continue
            estimate = view.estimates.get((backend, lane.capability))
            found.by_class[backend, lane.capability] = Place(
                lane.name,
                backend,
                _width(view, backend, slots),
                view.survey.held.get(lane.name, 0),
                pool,
                price=estimate.worst_price if estimate is not None and backend != _FREE else 0,
                closed=backend != _FREE and lane.capability != _ANY and rate.closed_ms > 0,
            )
    return found


def _width(view: View, backend: str, slots: int) -> int:
    """How many jobs may be there, waiting and running together."""
    if slots < 1:
        return 0
    return view.limits.metal_queue_max * slots if backend == _FREE else slots + view.limits.cloud_queue_max


def by_priority(items: list[IntakeClass], rank: dict[str, int]) -> dict[str, list[IntakeClass]]:
    """Intakes by priority, the highest first."""
    groups: defaultdict[str, list[IntakeClass]] = defaultdict(list)
    for intake in sorted(items, key=lambda each: (rank[each.priority], each.name)):
        groups[intake.priority].append(intake)
    return dict(groups)
