"""What further machines would change: when all is done, what it costs, which deadlines are met. Pure.

Part of `lib.market.deciding`, which alone calls it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Final

from lib.market.instance import READY
from lib.market.needs import Waiting
from lib.market.playing import Hand, Play, Work, play
from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.market.figures import Figures
    from lib.market.instance import Instance
    from lib.market.needs import Code, Demand, Limits
    from lib.market.playing import Kind

STARTING: Final = frozenset({"intended", "creating", "loading", "connecting", "probing", "canary"})
"""In these it does no work yet."""


def counted(jobs: int) -> str:
    """`1 job`, `2 jobs`."""
    return f"{jobs} job" if jobs == 1 else f"{jobs} jobs"


def machines(count: int) -> str:
    """`1 rented machine`, `2 rented machines`."""
    return f"{count} rented machine" if count == 1 else f"{count} rented machines"


def dollars(micro: float) -> str:
    """Three figures behind the point: a batch is a matter of cents."""
    return f"${micro / MICRO:.3f}"


@dataclass(frozen=True, slots=True)
class Reason:
    """How many further machines are worth it, and why, or why none is."""

    count: int
    code: Code
    why: str


@dataclass(frozen=True, slots=True)
class Future:
    """What comes of it: when all is done, millionths of a dollar for the cloud and for rent, how many are late."""

    end: float
    cloud: float
    rent: float
    missed: int


@dataclass(slots=True)
class Outlook:
    """The same demand with any number of further machines."""

    demand: Demand
    fleet: Sequence[Instance]
    limits: Limits
    figures: Figures
    _known: dict[int, Future] = field(default_factory=dict)

    def best_reason(self, most: int) -> Reason:
        """How many of at most so many are worth it: those that deadlines need, and each further one that is repaid."""
        count = self._for_deadlines(most)
        if not count and not self._gathered():
            return self._gathering()
        late = self.future(0).missed - self.future(count).missed
        found = Reason(count, "deadline", f"without, {counted(late)} would miss the deadline") if count else None
        while count < most and self._gathered():
            one_more = self._repays(count)
            if one_more.count == 0:
                return found or one_more
            count += 1
            found = replace(found or one_more, count=count)
        return found or self._repays(0)

    def future(self, count: int) -> Future:
        """What comes of it with so many further machines."""
        if count not in self._known:
            self._known[count] = self._future(count)
        return self._known[count]

    def _for_deadlines(self, most: int) -> int:
        """The fewest machines with which as few jobs as possible are late."""
        if self.future(0).missed == 0:
            return 0
        return min(range(most + 1), key=lambda count: (self.future(count).missed, count))

    def _gathered(self) -> bool:
        jobs = sum(group.jobs for group in self.demand.waiting)
        return jobs >= self.limits.batch_min or self.demand.oldest >= self.limits.batch_max_wait

    def _gathering(self) -> Reason:
        jobs = sum(group.jobs for group in self.demand.waiting)
        wait = f"fewer than WATCHER_BATCH_MIN ({self.limits.batch_min}) and not yet for WATCHER_BATCH_MAX_WAIT"
        why = f"{counted(jobs)} waiting for {self.demand.oldest:.0f} s: {wait} ({self.limits.batch_max_wait:.0f} s)"
        return Reason(0, "gathering", why)

    def _repays(self, count: int) -> Reason:
        """Whether one more than `count` repays itself."""
        without, with_it = self.future(count), self.future(count + 1)
        if without.end == inf:
            return Reason(1, "only_rented", "nobody else can do them")
        saved_money, rent = without.cloud - with_it.cloud, with_it.rent - without.rent
        if saved_money > 0 and saved_money >= rent:
            return Reason(
                1, "cheaper", f"the cloud would cost {dollars(saved_money)} for what costs {dollars(rent)} of rent"
            )
        saved, unused = without.end - with_it.end, self.figures.startup + self.limits.idle_grace
        another = count > 0 or any(instance.state in READY | STARTING for instance in self.fleet)
        needed = unused * self.limits.payback if another else unused
        times = f"{saved:.0f} s sooner, for {unused:.0f} s of start-up and idle grace"
        if self.limits.hurry and saved > 0 and saved >= needed:
            return Reason(1, "sooner", f"done {times}")
        if another:
            return Reason(0, "covered", f"what is rented does it in {without.end:.0f} s; one more: {times}")
        return Reason(0, "not_worth", f"it is done in {without.end:.0f} s without; with a rented machine {times}")

    def _future(self, count: int) -> Future:
        dated = sorted(self.demand.waiting, key=lambda group: inf if group.deadline is None else group.deadline)
        order = [Waiting(self.demand.held, self.demand.held_seconds), *dated]
        works = [Work(group.jobs, self._seconds(group)) for group in order]
        hands = self._hands(count, self.figures.startup)
        played = play(works, hands)
        cloud = _paid_cloud(order, hands, played)
        busy = _busy(works, hands, played)
        idle = count * (self.figures.startup + self.limits.idle_grace)
        return Future(played.end, cloud, self.figures.dph * (busy + idle) / 3600, self._missed(order, works, count))

    def _missed(self, order: Sequence[Waiting], works: Sequence[Work], count: int) -> int:
        """Jobs that end behind their deadline if every machine takes as long to start as nine of ten do not exceed."""
        if all(group.deadline is None for group in order):
            return 0
        played = play(works, self._hands(count, self.figures.startup_most))
        return sum(
            group.jobs
            for group, end in zip(order, played.ends, strict=True)
            if group.deadline is not None and end > group.deadline
        )

    def _seconds(self, group: Waiting) -> dict[Kind, float]:
        """What a job takes on each kind. Without hurry nobody pays the cloud for what the free machine can do."""
        seconds: dict[Kind, float] = {"rented": group.rented}
        if group.metal is not None:
            seconds["metal"] = group.metal
        free = group.metal is not None and self.demand.metal.slots > 0
        if group.cloud is not None and (self.limits.hurry or group.deadline is not None or not free):
            seconds["cloud"] = group.cloud
        return seconds

    def _hands(self, count: int, startup: float) -> list[Hand]:
        """All that works: the free machine first, as everywhere."""
        demand = self.demand
        ready = sum(instance.state in READY and self._lasts(instance) for instance in self.fleet)
        return [
            Hand("metal", demand.metal.slots, demand.metal.busy, demand.metal.per_second),
            Hand("rented", ready),
            *(Hand("rented", 1, max(0.0, startup - self._age(each))) for each in self.fleet if each.state in STARTING),
            Hand("rented", count, startup),
            Hand("cloud", demand.cloud.slots, demand.cloud.busy, demand.cloud.per_second),
        ]

    def _age(self, instance: Instance) -> float:
        began = instance.since if instance.created_at is None else instance.created_at
        return max(0.0, self.demand.now - began)

    def _lasts(self, instance: Instance) -> bool:
        """Whether it is still there when another one could be: else it is no reason to rent none."""
        return instance.expires_at - self.demand.now > self.figures.startup


def _paid_cloud(order: Sequence[Waiting], hands: Sequence[Hand], played: Play) -> float:
    """Millionths of a dollar for what the cloud does."""
    return sum(
        jobs * group.cloud_price
        for hand, row in zip(hands, played.done, strict=True)
        if hand.kind == "cloud"
        for group, jobs in zip(order, row, strict=True)
    )


def _busy(works: Sequence[Work], hands: Sequence[Hand], played: Play) -> float:
    """Seconds in which rented machines work, all together."""
    return sum(
        jobs * work.seconds["rented"]
        for hand, row in zip(hands, played.done, strict=True)
        if hand.kind == "rented"
        for work, jobs in zip(works, row, strict=True)
    )
