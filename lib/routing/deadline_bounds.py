"""What no schedule can beat: how many deadlines can be met at most, and what meeting them costs at least. Pure.

`meetable`: of the jobs with a deadline up to d, the free machine ends as many as fit into `metal_slots * d` seconds,
the shortest ones, and the cloud as many as it was granted; d is counted from the first arrival. The smallest such
number, with all jobs of a later deadline added, bounds every schedule. Only jobs that would end in time if they had
everything to themselves are counted.

`cheapest`: for each d, the work of the given jobs with a deadline up to d that exceeds `metal_slots * d` must go to the
cloud, and the cheapest way to relieve so much is to pay for the jobs with the most seconds for a dollar first, the
last one in part; jobs that metal cannot end in time at all are paid for. So it is a little less than any real plan can
do, most of all where few jobs are paid for.
"""

from __future__ import annotations

from bisect import insort
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from lib.routing.bounds import HAIR, Machine, Work

if TYPE_CHECKING:
    from collections.abc import Sequence


def possible(job: Work, machine: Machine) -> bool:
    """Whether its deadline could be met if it had everything to itself."""
    if job.deadline is None:
        return True
    left = job.deadline - job.arrival
    on_metal = machine.metal_slots > 0 and job.metal <= left
    return on_metal or (machine.granted(0) > 0 and job.cloud <= left)


def meetable(jobs: Sequence[Work], machine: Machine) -> int:
    """How many of the deadlines any schedule can meet at most."""
    dated = sorted(
        ((job.deadline, job) for job in jobs if job.deadline is not None and possible(job, machine)),
        key=lambda pair: pair[0],
    )
    best = len(dated)
    begin = quickest = inf
    ended = _Shortest()
    for i, (deadline, job) in enumerate(dated):
        begin, quickest = min(begin, job.arrival), min(quickest, job.cloud)
        ended.add(job.metal)
        if i + 1 < len(dated) and dated[i + 1][0] == deadline:
            continue
        # Both only grow: the deadlines do, and the first arrival comes no later.
        ended.fill(machine.metal_slots * (deadline - begin))
        best = min(best, min(i + 1, machine.granted(deadline - begin - quickest) + len(ended)) + len(dated) - i - 1)
    return best


class _Shortest:
    """The shortest jobs that fit into some seconds, while jobs are added and the seconds grow."""

    def __init__(self) -> None:
        self._inside: list[float] = []  # negative, so that the longest comes first
        self._outside: list[float] = []
        self._sum = 0.0

    def __len__(self) -> int:
        return len(self._inside)

    def add(self, seconds: float) -> None:
        """One more; `fill` sees what that makes of it."""
        if seconds == inf:
            return
        # The longest inside gives way, so that those inside are never longer than those outside.
        heappush(self._inside, -seconds)
        self._sum += seconds
        self._let_out()

    def fill(self, room: float) -> None:
        """Let in what there is room for."""
        while self._outside and self._sum + self._outside[0] <= room + HAIR:
            self._sum += self._outside[0]
            heappush(self._inside, -heappop(self._outside))

    def _let_out(self) -> None:
        longest = -heappop(self._inside)
        self._sum -= longest
        heappush(self._outside, longest)


def cheapest(met: Sequence[Work], machine: Machine) -> float:
    """What it costs at least to meet all of these deadlines, in millionths of a dollar."""
    dated = sorted(((job.deadline, job) for job in met if job.deadline is not None), key=lambda pair: pair[0])
    begin = min((job.arrival for _, job in dated), default=0.0)
    forced, best = 0, 0.0
    choice: list[tuple[float, float, int]] = []
    work = 0.0
    for deadline, job in dated:
        if machine.metal_slots == 0 or job.arrival + job.metal > deadline + HAIR:
            forced += job.price
        else:
            work += job.metal
            insort(choice, (job.price / max(job.metal, HAIR), job.metal, job.price))
        excess = work - machine.metal_slots * (deadline - begin)
        best = max(best, forced + _relief(choice, excess))
    return best


def _relief(choice: Sequence[tuple[float, float, int]], excess: float) -> float:
    """The least that must be paid to be rid of so many seconds; what cannot be paid for was met somehow else."""
    paid = 0.0
    for ratio, metal, price in choice:
        if excess <= HAIR:
            break
        paid += price if metal <= excess else ratio * excess
        excess -= metal
    return paid
