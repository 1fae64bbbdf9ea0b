"""The policy `deadline`: pays only where a deadline would be missed otherwise. Pure; called by `lib.routing.policy`.

All jobs with a deadline are planned onto the free machine, the nearest deadline first, behind what stands there already
(as many average jobs as the lanes hold). Where one would end too late (at p90, with a margin),
the job ahead of it or it itself that frees the most time for a dollar is planned onto the cloud. It goes there as late
as is safe under the limit of jobs a minute, and is planned anew at every decision, so it comes back to the free machine
when that is ahead. A job that the free machine cannot end in time even at once goes to the cloud at once.
Jobs that nothing can end in time come behind those that can be met, and go where they end first. Jobs without a
deadline get what room is left on the free machine, and the cloud only where no live free watcher can ever run them.

The plan trusts the queue with nothing: it knows jobs by id (`Move.picks`), and `Decision.again_in_ms` says when the
next of those that are held back must go.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field, replace
from heapq import heapify, heappop, heappush, heapreplace
from math import sqrt
from typing import TYPE_CHECKING, Final

from lib.routing.dealing import deal
from lib.routing.places import FREE, Place, Places, places
from lib.routing.view import BACKENDS, UNKNOWN, Condition, Decision, Estimate, IntakeClass, Urgent, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from lib.jobqueue.moves import Move

MARGIN_SECONDS: Final = 1.0
"""What lies between two decisions and between a move and its start, and is in no estimate."""

_UNHURRIED_SECONDS: Final = 10.0
"""Jobs at least as long are not sent ahead to the free machine: what stands in a lane cannot be planned anew."""

_Z90: Final = 1.2816
"""How many standard deviations of a normal distribution lie between p50 and p90."""


@dataclass(slots=True, eq=False)
class Planned:
    """A waiting job with a deadline: how many seconds are left for it, and where it may run."""

    urgent: Urgent
    intake: IntakeClass
    left: float
    metal: Place | None
    cloud: Place | None
    on_metal: Estimate
    on_cloud: Estimate
    variance: float = 0.0
    taken: bool = False

    def __post_init__(self) -> None:
        self.variance = (max(0.0, self.on_metal.p90 - self.on_metal.p50) / _Z90) ** 2

    @property
    def price(self) -> int:
        """What the cloud is expected to take for it, in millionths of a dollar."""
        return self.on_cloud.price

    @property
    def fits_cloud(self) -> bool:
        """Whether the cloud would end it in time, if it went now."""
        return self.cloud is not None and self.on_cloud.p90 + MARGIN_SECONDS <= self.left


@dataclass(slots=True)
class Plan:
    """Which jobs go where: on metal in this order; on the cloud with the seconds until each must go; too late."""

    metal: list[Planned] = field(default_factory=list)
    cloud: list[tuple[float, Planned]] = field(default_factory=list)
    late: list[Planned] = field(default_factory=list)
    free_at: list[float] = field(default_factory=list)
    metal_seconds: float = 0.0


def decide(view: View) -> Decision:
    """Orders and conditions as `lib.routing.policy.decide` gives them."""
    lengths = [estimate.p50 for job in view.urgent if (estimate := job.estimates.get(FREE))]
    unhurried = sum(lengths) >= _UNHURRIED_SECONDS * len(lengths)
    there = places(view, metal_each=1 if unhurried else None)
    jobs = list(_known(view, there))
    plan = planned(view, jobs)
    says: set[Condition] = set()
    hands = _Hands()
    for job in plan.metal:
        hands.give(job, job.metal)
    held_back, again = _to_cloud(plan, hands, says)
    for job in plan.late:
        _where_first(job, plan, hands, paying=not held_back)
    waiting = Counter(view.survey.waiting)
    waiting.subtract(job.intake.name for job in jobs)
    # The head of an intake may be a job that waits for its time to go to the cloud.
    waiting.update({job.intake.name: -waiting[job.intake.name] for job in held_back})
    orders = hands.orders() + deal(view, waiting, there.cheapest, says)
    if len(hands.placed) < len(jobs):
        says.add("holding")
    return Decision(tuple(orders), frozenset(says), again)


def _known(view: View, there: Places) -> Iterable[Planned]:
    """The jobs that somebody alive can run, with what they take there."""
    classes = {intake.name: _Class.of(view, there, intake) for intake in view.intakes}
    for urgent in view.urgent:
        known = classes.get(urgent.intake)
        if known is None or (known.metal is None and known.cloud is None):
            continue
        left, own = (urgent.deadline_ms - view.now_ms) / 1000, urgent.estimates
        on_metal = own.get(FREE) or known.on_metal
        on_cloud = (own.get(known.cloud.backend) if known.cloud else None) or known.on_cloud
        yield Planned(urgent, known.intake, left, known.metal, known.cloud, on_metal, on_cloud)


@dataclass(frozen=True, slots=True)
class _Class:
    """What all jobs of an intake have in common: where they may run, and what an average one takes there."""

    intake: IntakeClass
    metal: Place | None
    cloud: Place | None
    on_metal: Estimate
    on_cloud: Estimate

    @classmethod
    def of(cls, view: View, there: Places, intake: IntakeClass) -> _Class:
        """The class of an intake."""
        found = {place.backend: place for place in there.for_intake(intake, BACKENDS)}
        cloud = next((place for backend, place in found.items() if backend != FREE), None)
        on_metal = view.estimates.get((FREE, intake.capability), UNKNOWN)
        on_cloud = view.estimates.get((cloud.backend, intake.capability), UNKNOWN) if cloud else UNKNOWN
        return cls(intake, found.get(FREE), cloud, on_metal, on_cloud)


def planned(view: View, jobs: Sequence[Planned]) -> Plan:
    """The plan for these jobs, the nearest deadline first."""
    plan = Plan(free_at=_free_at(view))
    slots = len(plan.free_at)
    chosen = _Chosen(plan.free_at)
    cloud = _Cloud(view)
    for job in sorted(jobs, key=lambda each: each.left):
        never = job.metal is None or slots == 0 or plan.free_at[0] + job.on_metal.p50 > job.left
        if never:
            if not cloud.take(job):
                plan.late.append(job)
            continue
        chosen.add(job)
        while not job.taken and chosen.last_is_late():
            victim = chosen.cheapest_to_move()
            if victim is not None and cloud.take(victim):
                chosen.remove(victim)
            elif victim is None and chosen.last_is_hopeless():
                plan.late.append(chosen.longest())
            elif victim is None:
                break
    plan.metal = chosen.jobs
    plan.metal_seconds = min(chosen.ends)
    plan.cloud = cloud.starts()
    return plan


class _Cloud:
    """The jobs planned onto the cloud so far, each of which it can end in time beside the others.

    When each must begin at the latest is reckoned from the last one back, so that the limit of jobs a window and the
    slots let all through.
    """

    def __init__(self, view: View) -> None:
        self._window, self._each = view.limits.cloud_window_ms / 1000, view.limits.cloud_jobs
        self._slots = sum(watcher.slots.get("cloud", 0) for watcher in view.watchers)
        self._jobs: list[tuple[float, int, Planned]] = []
        rate = view.survey.rate
        self._soonest = (rate.next_ms or 0) / 1000 if rate.left <= 0 else 0.0

    def take(self, job: Planned) -> bool:
        """Plan it there, unless it or another one would begin too late."""
        if not job.fits_cloud:
            return False
        latest = job.left - job.on_cloud.p90 - MARGIN_SECONDS
        entry = (-latest, len(self._jobs), job)
        insort(self._jobs, entry)
        if self._begins()[-1] < self._soonest:
            self._jobs.remove(entry)
            return False
        return True

    def _begins(self) -> list[float]:
        """When each must begin, the last one first; never rising."""
        found: list[float] = []
        for i, (latest, _, job) in enumerate(self._jobs):
            begin = min(-latest, found[-1]) if found else -latest
            if i >= self._each:
                begin = min(begin, found[i - self._each] - self._window)
            if self._slots and i >= self._slots:
                begin = min(begin, found[i - self._slots] - job.on_cloud.p50)
            found.append(begin)
        return found

    def starts(self) -> list[tuple[float, Planned]]:
        """In how many seconds each must go at the latest, the first one first."""
        pairs = zip(self._begins(), (job for _, _, job in self._jobs), strict=True)
        return sorted(pairs, key=lambda pair: (pair[0], pair[1].left))


class _Chosen:
    """The jobs planned onto the free machine so far, nearest deadline first: Moore and Hodgson's method, with prices.

    They are worked off in this order, each by the slot that is free first. Behind every job it is kept when the slots
    are free, so that taking one out reckons anew only what comes behind it.
    """

    def __init__(self, free_at: Sequence[float]) -> None:
        self._slots = max(1, len(free_at))
        self._jobs: list[Planned] = []
        self._free: list[list[float]] = [list(free_at) or [0.0]]
        self._variances = [0.0]
        self._by_ratio: list[tuple[float, int, Planned]] = []
        self._by_length: list[tuple[float, int, Planned]] = []
        self._count = 0

    @property
    def ends(self) -> list[float]:
        """When each slot is done with all of them."""
        return self._free[-1]

    @property
    def jobs(self) -> list[Planned]:
        """Those that stay, the nearest deadline first."""
        return self._jobs

    def add(self, job: Planned) -> None:
        """Plan it behind the others."""
        self._count += 1
        if job.fits_cloud:
            heappush(self._by_ratio, (-job.on_metal.p50 / max(1, job.price), self._count, job))
        heappush(self._by_length, (-job.on_metal.p50, self._count, job))
        self._append(job)

    def _append(self, job: Planned) -> None:
        free = self._free[-1].copy()
        heapreplace(free, free[0] + job.on_metal.p50)
        self._jobs.append(job)
        self._free.append(free)
        self._variances.append(self._variances[-1] + job.variance)

    def last_is_late(self) -> bool:
        """Whether the last one would miss its deadline at p90."""
        job = self._jobs[-1]
        spread = sqrt(self._variances[-2] / self._slots**2 + job.variance)
        return self._free[-2][0] + job.on_metal.p50 + _Z90 * spread + MARGIN_SECONDS > job.left

    def last_is_hopeless(self) -> bool:
        """Whether it would miss it as things are expected."""
        return self._free[-2][0] + self._jobs[-1].on_metal.p50 > self._jobs[-1].left

    def cheapest_to_move(self) -> Planned | None:
        """The one that frees the most time for a dollar, if the cloud could end any in time; each is named once."""
        while self._by_ratio:
            job = heappop(self._by_ratio)[-1]
            if not job.taken:
                return job
        return None

    def longest(self) -> Planned:
        """Takes out the longest: so most of the others are met."""
        while True:
            job = heappop(self._by_length)[-1]
            if not job.taken:
                self.remove(job)
                return job

    def remove(self, job: Planned) -> None:
        """Take it out; what comes behind it begins earlier."""
        job.taken = True
        at = self._jobs.index(job)
        behind = self._jobs[at + 1 :]
        del self._jobs[at:], self._free[at + 1 :], self._variances[at + 1 :]
        for other in behind:
            self._append(other)


def _free_at(view: View) -> list[float]:
    """In how many seconds each slot of the free machine is expected to be free, the first one first."""
    slots = sum(watcher.slots.get(FREE, 0) for watcher in view.watchers)
    if slots == 0:
        return []
    free = [0.0] * slots
    heapify(free)
    for seconds in _standing(view, slots):
        heapreplace(free, free[0] + seconds)
    return sorted(free)


def _standing(view: View, slots: int) -> list[float]:
    """How many seconds each job that stands there still takes, as an average one."""
    found: list[float] = []
    for lane in view.lanes:
        if lane.backend == FREE:
            estimate = view.estimates.get((FREE, lane.capability), UNKNOWN)
            found += [estimate.p50] * view.survey.held.get(lane.name, 0)
    # What runs is half done on the average.
    return [seconds / 2 if i < slots else seconds for i, seconds in enumerate(sorted(found, reverse=True))]


def _to_cloud(plan: Plan, hands: _Hands, says: set[Condition]) -> tuple[list[Planned], int | None]:
    """Gives the cloud what must go now; what is held back, and when the first of it must go."""
    held_back: list[Planned] = []
    again: float | None = None
    soonest = plan.free_at[0] if plan.free_at else None
    for begin, job in plan.cloud:
        no_way_back = job.metal is None or soonest is None or soonest + job.on_metal.p50 > job.left
        if begin > MARGIN_SECONDS and not no_way_back:
            held_back.append(job)
            again = begin if again is None else min(again, begin)
        elif not hands.give(job, job.cloud):
            held_back.append(job)
            says |= job.cloud.obstacles() if job.cloud else set()
        if job.metal is not None and not hands.holds(job):
            says.add("metal_full")
    return held_back, None if again is None else max(1, int((again - MARGIN_SECONDS / 2) * 1000))


def _where_first(job: Planned, plan: Plan, hands: _Hands, *, paying: bool) -> None:
    """Of a job that nothing can end in time: the place where it is expected to end first, if it has room.

    Not `paying`: the cloud is left to those that it can still end in time.
    """
    metal = plan.metal_seconds + job.on_metal.p50
    if job.metal is None or (paying and job.cloud is not None and job.on_cloud.p50 < metal):
        if not hands.give(job, job.cloud):
            hands.give(job, job.metal)
        return
    hands.give(job, job.metal)
    plan.metal_seconds += job.on_metal.p50 / max(1, len(plan.free_at))


@dataclass(slots=True)
class _Hands:
    """Who gets which place, in the order in which it was given."""

    placed: set[str] = field(default_factory=set)
    _runs: list[tuple[str, Place, int, list[str]]] = field(default_factory=list)

    def holds(self, job: Planned) -> bool:
        """Whether it was given a place."""
        return job.urgent.request_id in self.placed

    def give(self, job: Planned, place: Place | None) -> bool:
        """Give it a place there if there is room."""
        if place is None or place.room() < 1:
            return False
        price = max(place.price, job.on_cloud.worst_price) if place.backend != FREE else 0
        if place.pool.money is not None and price > place.pool.money:
            return False
        place.held += 1
        place.pool.held += 1
        if place.pool.rate is not None:
            place.pool.rate -= 1
        if place.pool.money is not None:
            place.pool.money -= price
        last = self._runs[-1] if self._runs else None
        if last is not None and last[:1] == (job.intake.name,) and last[1] is place and last[2] == price:
            last[3].append(job.urgent.request_id)
        else:
            self._runs.append((job.intake.name, place, price, [job.urgent.request_id]))
        self.placed.add(job.urgent.request_id)
        return True

    def orders(self) -> list[Move]:
        """One for each run of jobs of one intake that go to one place at one price."""
        return [
            replace(place.order(intake, len(picks), tuple(picks)), price=price)
            for intake, place, price, picks in self._runs
        ]
