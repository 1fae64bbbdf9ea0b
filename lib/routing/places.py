"""Where jobs could go now: each lane with the room that slots, limits, quota and budget leave. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.jobqueue.moves import Move
from lib.routing.view import BACKENDS, FREE, METERED

if TYPE_CHECKING:
    from lib.routing.view import Condition, IntakeClass, LaneClass, View

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
        pool = self.pool
        room = self.limit - self.held
        room = min(room, pool.limit - pool.held)
        if room <= 0:
            return 0
        return room if pool.rate is None else self.allowed(room)

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
        if pool.rate is None and not picks:
            return Move(intake, self.lane, count, self.limit, pool.lanes, pool.limit)
        rated = pool.rate is not None
        return Move(intake, self.lane, count, self.limit, pool.lanes, pool.limit, rated, self.price, picks)


@dataclass(slots=True)
class Places:
    """All of them, by (backend, capability)."""

    by_class: dict[tuple[str, str], Place] = field(default_factory=dict)

    def for_intake(self, intake: IntakeClass, backends: tuple[str, ...]) -> list[Place]:
        """Where its jobs may run, in this order of backends."""
        by_class, capability = self.by_class, intake.capability
        if intake.pin:
            pinned = by_class.get((intake.pin, capability))
            return [] if pinned is None else [pinned]
        return [by_class[key] for backend in backends if (key := (backend, capability)) in by_class]

    def cheapest(self, intake: IntakeClass) -> list[Place]:
        """The same, but only what no job is paid for where a live watcher could ever run them there; else by price."""
        found = self.for_intake(intake, BACKENDS)
        free = [place for place in found if place.backend not in METERED]
        return free or sorted(found, key=lambda place: place.price)


def places(view: View, metal_each: int | None = None) -> Places:
    """The lanes of the live watchers' backends, as wide as their slots and the limits say.

    `metal_each`: jobs on metal for each slot, where it is to be fewer than the setting allows.
    """
    found = Places()
    rate, held = view.survey.rate, view.survey.held
    lanes: dict[str, list[LaneClass]] = {}
    for lane in view.lanes:
        lanes.setdefault(lane.backend, []).append(lane)
    for backend, own in lanes.items():
        total = sum(watcher.slots.get(backend, 0) for watcher in view.watchers)
        names = tuple(lane.name for lane in own)
        pool = Pool(names, _width(view, backend, total, metal_each), sum(held.get(name, 0) for name in names))
        if backend in METERED:
            pool.rate = rate.left
            if view.limits.budget is not None:
                pool.money = max(0, view.limits.budget - rate.spent)
        for lane in own:
            slots = sum(watcher.slots_for(backend, lane.capability) for watcher in view.watchers)
            if slots < 1:
                continue
            width = _width(view, backend, slots, metal_each)
            place = Place(lane.name, backend, width, held.get(lane.name, 0), pool)
            if backend in METERED and lane.capability != _ANY:
                place.price = _price(view, lane)
                place.closed = rate.closed.get(lane.capability, 0) > 0
            found.by_class[backend, lane.capability] = place
    return found


def _price(view: View, lane: LaneClass) -> int:
    """What is reserved for a job there: with a budget at least a millionth, so that nothing goes when it is reached."""
    estimate = view.estimates.get((lane.backend, lane.capability))
    price = estimate.worst_price if estimate is not None else 0
    return price if view.limits.budget is None else max(1, price)


def _width(view: View, backend: str, slots: int, metal_each: int | None) -> int:
    """How many jobs may be there, waiting and running together."""
    if slots < 1:
        return 0
    if backend == FREE:
        return (metal_each or view.limits.metal_queue_max) * slots
    # A rented machine's slots are the micro-batch that goes there together: what waits, waits where priority counts.
    return slots + (view.limits.cloud_queue_max if backend in METERED else 0)


def by_priority(items: list[IntakeClass], rank: dict[str, int]) -> dict[str, list[IntakeClass]]:
    """Intakes by priority, the highest first."""
    groups: defaultdict[str, list[IntakeClass]] = defaultdict(list)
    for intake in sorted(items, key=lambda each: (rank[each.priority], each.name)):
        groups[intake.priority].append(intake)
    return dict(groups)
