"""The plan of the policy `deadline`: which jobs with a deadline stay on the free machine, and which are paid for. Pure.

`planned` says where each would run and when it must begin at the latest; it gives no places and knows no lanes, quota
or budget: `lib.routing.deadline` does, and calls it at every decision. So it is quick: what one job changes in the plan
is reckoned anew from that job on, and no more.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace
from itertools import accumulate
from math import inf, sqrt
from typing import TYPE_CHECKING, Final

from lib.routing.view import FREE, UNKNOWN, Estimate, IntakeClass, Urgent, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.routing.places import Place

MARGIN_SECONDS: Final = 1.0
"""What lies between two decisions and between a move and its start, and is in no estimate."""

_STRIDE: Final = 16
"""So many jobs are worked off anew at most to know when the slots are free before one of them."""

_HAIR: Final = 1e-3
"""Seconds of less difference are the same: they were added up in another order."""

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
    slots let all through. To ask whether one more fits, the same is reckoned from the first one on: `_waits` says how
    long after the first one each begins at least. So what comes before the new one need not be looked at again.
    """

    def __init__(self, view: View) -> None:
        self._window, self._each = view.limits.cloud_window_ms / 1000, view.limits.cloud_jobs
        self._slots = sum(watcher.slots.get("cloud", 0) for watcher in view.watchers)
        self._jobs: list[tuple[float, int, Planned]] = []
        rate = view.survey.rate
        self._soonest = (rate.next_ms or 0) / 1000 if rate.left <= 0 else 0.0
        # By the last moment to begin, the first one first.
        self._latest: list[float] = []
        self._lengths: list[float] = []
        self._waits: list[float] = []
        # The length that all of a last moment have, below zero where they differ.
        self._alike: dict[float, float] = {}

    def take(self, job: Planned) -> bool:
        """Plan it there, unless it or another one would begin too late."""
        if not job.fits_cloud:
            return False
        latest = job.left - job.on_cloud.p90 - MARGIN_SECONDS
        entry = (-latest, len(self._jobs), job)
        place = self._place(latest, job.on_cloud.p50)
        self._latest.insert(place, latest)
        self._lengths.insert(place, job.on_cloud.p50)
        waits, room = self._reckoned(place)
        fits = room > 0
        if abs(room) < _HAIR and room != inf:
            # Added up in another order: as the plan itself reckons it.
            fits = self._begins_with(entry) >= self._soonest
        if not fits:
            del self._latest[place], self._lengths[place]
            return False
        insort(self._jobs, entry)
        self._waits[place:] = waits
        return True

    def _place(self, latest: float, length: float) -> int:
        """Where one of this last moment stands. The order of equal ones says nothing: behind them the least changes."""
        alike = self._alike.setdefault(latest, length) == length
        if not alike:
            self._alike[latest] = -1.0
        return bisect_right(self._latest, latest) if alike else bisect_left(self._latest, latest)

    def _reckoned(self, place: int) -> tuple[list[float], float]:
        """What each from this place on waits for the first one, and by how much the tightest of them still fits.

        Ends where one is too late by more than a hair.
        """
        each, slots, window, lengths = self._each, self._slots, self._window, self._lengths
        waits = self._waits[:place]
        wait, room = (waits[-1] if waits else 0.0), inf
        for i in range(place, len(lengths)):
            if i >= each and (limited := waits[i - each] + window) > wait:
                wait = limited
            if slots and i >= slots and (freed := waits[i - slots] + lengths[i - slots]) > wait:
                wait = freed
            waits.append(wait)
            if (left := self._latest[i] - self._soonest - wait) < room:
                room = left
                if room < -_HAIR:
                    break
        return waits[place:], room

    def _begins_with(self, entry: tuple[float, int, Planned]) -> float:
        """When the first one must begin, with this one beside the others."""
        insort(self._jobs, entry)
        begin = self._begins()[-1]
        self._jobs.remove(entry)
        return begin

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

    They are worked off in this order, each by the slot that is free first. Before every `_STRIDE`th job it is kept when
    the slots are free, so that taking one out reckons anew only what comes behind it.
    """

    def __init__(self, free_at: Sequence[float]) -> None:
        self._slots = max(1, len(free_at))
        self._jobs: list[Planned] = []
        self._lengths: list[float] = []
        self._marks: list[list[float]] = [list(free_at) or [0.0]]
        self._before = self._ends = self._marks[0]
        self._own: list[float] = []
        self._variances = [0.0]
        self._by_ratio: list[tuple[float, int, Planned]] = []
        self._by_length: list[tuple[float, int, Planned]] = []
        self._count = 0

    @property
    def ends(self) -> list[float]:
        """When each slot is done with all of them."""
        return self._ends

    @property
    def jobs(self) -> list[Planned]:
        """Those that stay, the nearest deadline first."""
        return self._jobs

    def add(self, job: Planned) -> None:
        """Plan it behind the others."""
        self._count += 1
        length = job.on_metal.p50
        if job.fits_cloud:
            heappush(self._by_ratio, (-length / max(1, job.price), self._count, job))
        heappush(self._by_length, (-length, self._count, job))
        if len(self._jobs) == len(self._marks) * _STRIDE:
            self._marks.append(self._ends)
        self._jobs.append(job)
        self._lengths.append(length)
        self._own.append(job.variance)
        self._variances.append(self._variances[-1] + job.variance)
        self._work_last(self._ends)

    def _work_last(self, before: list[float]) -> None:
        """`before`: when the slots are free for the last one; never changed, as it may be a mark."""
        self._before, self._ends = before, before.copy()
        if self._lengths:
            heapreplace(self._ends, self._ends[0] + self._lengths[-1])

    def last_is_late(self) -> bool:
        """Whether the last one would miss its deadline at p90."""
        job = self._jobs[-1]
        spread = sqrt(self._variances[-2] / self._slots**2 + job.variance)
        return self._before[0] + job.on_metal.p50 + _Z90 * spread + MARGIN_SECONDS > job.left

    def last_is_hopeless(self) -> bool:
        """Whether it would miss it as things are expected."""
        return self._before[0] + self._jobs[-1].on_metal.p50 > self._jobs[-1].left

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
        del self._jobs[at], self._lengths[at], self._own[at]
        self._variances[at:] = accumulate(self._own[at:], initial=self._variances[at])
        last = max(0, len(self._jobs) - 1)
        mark = min(at, last) // _STRIDE
        del self._marks[mark + 1 :]
        free = self._marks[mark].copy()
        for begin in range(mark * _STRIDE, last, _STRIDE):
            end = min(last, begin + _STRIDE)
            for length in self._lengths[begin:end]:
                heapreplace(free, free[0] + length)
            if end == len(self._marks) * _STRIDE:
                self._marks.append(free.copy())
        self._work_last(free)


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
