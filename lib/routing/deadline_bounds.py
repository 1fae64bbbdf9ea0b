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
    for i, (deadline, _) in enumerate(dated):
        if i + 1 < len(dated) and dated[i + 1][0] == deadline:
            continue
        best = min(best, _most([job for _, job in dated[: i + 1]], machine, deadline) + len(dated) - i - 1)
    return best


def _most(jobs: Sequence[Work], machine: Machine, deadline: float) -> int:
    begin = min(job.arrival for job in jobs)
    clouded = machine.granted(deadline - begin - min(job.cloud for job in jobs))
    room = machine.metal_slots * (deadline - begin)
    ended = 0
    for metal in sorted(job.metal for job in jobs):
        room -= metal
        if room < -HAIR:
            break
        ended += 1
    return min(len(jobs), clouded + ended)


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
