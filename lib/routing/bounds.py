"""What no schedule can beat: lower bounds of the makespan, for free slots beside a cloud that takes so many jobs. Pure.

The simulator measures policies against them. They are sound: they follow from what every schedule must keep, and ask
for nothing that a schedule might do without. Whoever computed them knew what each job really takes.

A machine has `metal_slots` that run one job each at a time, and a cloud that is given at most `cloud_jobs` jobs in any
`cloud_window` seconds and runs at most `cloud_slots` at once. So by time t it was granted at most
`cloud_jobs * (floor(t / cloud_window) + 1)`.

`makespan` is for any schedule at all. T seconds are too few for some jobs if

- one of them ends nowhere within T;
- the free machine is left with more than `metal_slots * T` seconds after the cloud has taken from it the jobs that
  relieve it most. Job j must be granted by T - cloud_j, so the sets that the cloud can take are those of a matroid
  (unit jobs with deadlines), of which greed finds the set of the greatest weight;
- the same, where the cloud's `cloud_slots * T` seconds take what relieves metal most for a second, the last in part;
- the k longest are more than the slots can end one after the other, if each were as short as the k-th.

The smallest T that is not too few is the bound; jobs that come later are bounded by the moment from which they can run.

`conducted` is for schedules that keep Rules A and B, whichever job they take next: metal holds `metal_queue_max` jobs a
slot while any job waits, and the cloud gets what its limit and its room let through. While jobs wait both are therefore
forced to take some; how many, at least and at most, follows from the shortest and the longest jobs. It is used where
all jobs are there from the start and may run on both; else it is `makespan`. `deadline_bounds` has those of deadlines.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from math import floor, inf
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HAIR: Final = 1e-9
"""Times of this much difference are the same: they were added up in another order."""

_STEPS: Final = 60
_PRECISION: Final = 1e-6
_LONGEST: Final = 1e12
_RELEASES: Final = 12
"""At so many of the moments at which jobs come the makespan is bounded; each of them gives a bound that holds."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run jobs on; `cloud_slots` 0 where there is no cloud."""

    metal_slots: int
    cloud_slots: int = 0
    cloud_jobs: int = 0
    cloud_window: float = 60.0

    def granted(self, seconds: float) -> int:
        """How many jobs the cloud can have been given within so many seconds, both ends included."""
        if seconds < 0 or self.cloud_slots == 0:
            return 0
        return self.cloud_jobs * (floor(seconds / self.cloud_window + HAIR) + 1)


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules A and B: so many jobs on metal for each slot, so many waiting on the cloud."""

    metal_queue_max: int
    cloud_queue_max: int


@dataclass(frozen=True, slots=True)
class Work:
    """What a job really takes: seconds on metal and on the cloud (infinite where it cannot run), its price there."""

    metal: float
    cloud: float
    arrival: float = 0.0
    deadline: float | None = None
    price: int = 0

    @property
    def fastest(self) -> float:
        """Where it takes the least."""
        return min(self.metal, self.cloud)


def makespan(jobs: Sequence[Work], machine: Machine) -> float:
    """A time before which no schedule has ended all of these jobs, in seconds."""
    if not jobs:
        return 0.0
    moments = sorted({job.arrival for job in jobs})
    best = max(job.arrival + job.fastest for job in jobs)
    for begin in moments[:: max(1, len(moments) // _RELEASES)]:
        later = [job for job in jobs if job.arrival >= begin]
        best = max(best, begin + _least(partial(_too_short, later, machine), best - begin))
    return best


def conducted(jobs: Sequence[Work], machine: Machine, rules: Rules) -> float:
    """A time before which no schedule that keeps Rules A and B has ended all of these jobs, in seconds."""
    best = makespan(jobs, machine)
    movable = all(job.arrival == 0 and job.metal < inf and job.cloud < inf for job in jobs)
    if not jobs or not movable or machine.metal_slots == 0 or machine.cloud_slots == 0:
        return best
    return _least(partial(_too_short, jobs, machine, forced=_Forced.of(jobs, machine, rules)), best)


def _least(too_short: Callable[[float], bool], low: float) -> float:
    """The smallest time that is not too short; where every time is, `low`."""
    if not too_short(low):
        return low
    begin, high = low, max(low, 1e-3)
    while too_short(high):
        low, high = high, high * 2
        if high > _LONGEST:  # some job can run nowhere
            return begin
    for _ in range(_STEPS):
        if high - low <= _PRECISION * high:
            break
        middle = (low + high) / 2
        if too_short(middle):
            low = middle
        else:
            high = middle
    return low


@dataclass(frozen=True, slots=True)
class _Forced:
    """How many jobs Rules A and B give to the cloud, at least and at most; `ahead`: what metal has waiting then."""

    least: int
    most: int
    ahead: float

    @classmethod
    def of(cls, jobs: Sequence[Work], machine: Machine, rules: Rules) -> _Forced:
        """Step through the windows of the cloud's limit: how many jobs can still be waiting, how many must."""
        lengths = sorted(job.metal for job in jobs)
        rising, falling = list(accumulate(lengths)), list(accumulate(reversed(lengths)))
        slots = machine.metal_slots
        held = rules.metal_queue_max * slots
        room = machine.cloud_slots + rules.cloud_queue_max
        least = most = given = 0
        while len(jobs) - held > given:
            done = slots * given / machine.cloud_jobs * machine.cloud_window
            waiting = len(jobs) - held - given - _fit(rising, done)
            if waiting > 0:
                least = max(least, min(given + min(machine.cloud_jobs, waiting), room))
            # The longest run in the slots now; only what cannot be among them and before it must have ended.
            ended = max(0, len(lengths) - _fit_from_above(falling, done) - slots)
            top = len(jobs) - held - ended
            if top <= given:
                break
            most = min(top, given + machine.cloud_jobs)
            given += machine.cloud_jobs
        return cls(least, most, sum(lengths[: rules.metal_queue_max - 1]))

    def most_within(self, seconds: float, jobs: Sequence[Work], machine: Machine) -> int | None:
        """How many jobs the cloud has at most if all end within so many seconds; None: they cannot."""
        # When the cloud was given its last job metal was full, and all but what ran there was still to be done.
        most = min(self.most, machine.granted(seconds - self.ahead)) if self.most else 0
        behind = -(-(len(jobs) - most) // machine.metal_slots)
        too_late = sum(sorted(job.metal for job in jobs)[:behind]) > seconds
        return None if most < self.least or too_late else most


def _fit(sums: Sequence[float], seconds: float) -> int:
    """How many of the shortest fit into so many seconds; `sums`: what the first one, two and so on of them take."""
    return bisect_right(sums, seconds * (1 + HAIR))


def _fit_from_above(sums: Sequence[float], seconds: float) -> int:
    """How many are left when the longest ones have filled so many seconds; `sums` as above, of the longest."""
    if seconds <= HAIR:
        return len(sums)
    return max(0, len(sums) - bisect_left(sums, seconds - HAIR) - 1)


def _too_short(jobs: Sequence[Work], machine: Machine, seconds: float, forced: _Forced | None = None) -> bool:
    """Whether no schedule ends all of them within so many seconds."""
    within = seconds * (1 + HAIR)
    must, may, only = [], [], 0.0
    for job in jobs:
        on_metal = machine.metal_slots > 0 and job.metal <= within
        on_cloud = machine.cloud_slots > 0 and job.cloud <= within
        if on_metal and on_cloud:
            may.append(job)
        elif on_metal:
            only += job.metal
        elif on_cloud:
            must.append(job)
        else:
            return True
    most = len(jobs) if forced is None else forced.most_within(within, jobs, machine)
    if most is None:
        return True
    taken = _Grants(machine, within)
    if len(must) > most or not all(taken.take(job.cloud) for job in must):
        return True
    left = only + sum(job.metal for job in may)
    for job in sorted(may, key=lambda each: -each.metal):
        if len(taken) >= most:
            break
        if taken.take(job.cloud):
            left -= job.metal
    return (
        left > machine.metal_slots * within
        or (forced is not None and len(taken) < forced.least)
        or _too_many(jobs, machine, within)
        or _slots_too_few(only, must, may, machine, within)
    )


def _too_many(jobs: Sequence[Work], machine: Machine, seconds: float) -> bool:
    """Whether the longest jobs alone are more than all slots can end one after the other."""
    cloud = inf
    for count, job in enumerate(sorted(jobs, key=lambda each: -each.metal), start=1):
        cloud = min(cloud, job.cloud)
        on_metal = machine.metal_slots * floor(seconds / job.metal)
        if on_metal >= count:
            continue
        by_slots = machine.cloud_slots * floor(seconds / cloud)
        if count > on_metal + min(by_slots, machine.granted(seconds - cloud)):
            return True
    return False


def _slots_too_few(only: float, must: Sequence[Work], may: Sequence[Work], machine: Machine, seconds: float) -> bool:
    """Whether both slots' seconds together are too few: the cloud takes what relieves metal most for its seconds."""
    room = machine.cloud_slots * seconds - sum(job.cloud for job in must)
    left = only + sum(job.metal for job in may) - machine.metal_slots * seconds
    if room < 0:
        return True
    for job in sorted(may, key=lambda each: each.cloud / each.metal):
        if left <= 0 or room <= 0:
            break
        part = min(1.0, room / job.cloud)
        left -= part * job.metal
        room -= part * job.cloud
    return left > HAIR * seconds


class _Grants:
    """Which jobs the cloud can be given in time: by how many grants each must be among them, always a possible set.

    Each takes the last free grant that is early enough for it. If there is none, those up to the end of the taken ones
    are all wanted by jobs that cannot wait longer, so no other set of places would have one either.
    """

    def __init__(self, machine: Machine, seconds: float) -> None:
        self._machine, self._seconds = machine, seconds
        self._count = 0
        # The way from a taken grant towards the last free one before it.
        self._before: dict[int, int] = {}

    def __len__(self) -> int:
        return self._count

    def take(self, cloud: float) -> bool:
        """Whether this one goes beside those that were taken; then it is."""
        grant = at = self._machine.granted(self._seconds - cloud)
        while at in self._before:
            at = self._before[at]
        while grant != at:
            self._before[grant], grant = at, self._before[grant]
        if at < 1:
            return False
        self._before[at] = at - 1
        self._count += 1
        return True
