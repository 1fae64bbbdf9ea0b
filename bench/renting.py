"""`python -m bench.renting`: what rented machines cost in the simulator, against fixed plans. Nothing here is timed.

Five hundred jobs that only a rented machine can do, in several shapes: all at once, in bursts an hour apart, and a
trickle. `fixed` is the cheapest plan of its kind: so many machines, rented when the first job comes and kept until the
last one is done, chosen with the whole night known. `naive` rents a machine for each micro-batch of the jobs as they
come, and gives it back after it.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from job_watcher.simulation.report import document
from job_watcher.simulation.running import drawn, simulate
from job_watcher.simulation.scenario import Scenario, SimJob, SimLimits, SimRenting, SimWatcher
from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

JOBS: Final = 500
BATCH: Final = 128
"""WATCHER_BATCH_MAX_JOBS: what the naive plan rents a machine for."""

_HOUR: Final = 3600.0
_SPEECH: Final = frozenset({"speech"})
_MOST_MACHINES: Final = 8
RENTING: Final = SimRenting(MICRO // 2, starts=180.0)
SHAPES: Final = {"at once": (JOBS, 0.0), "in bursts": (125, _HOUR), "a trickle": (1, 10.0)}
"""How many jobs come together, and how many seconds pass until the next of them do."""


@dataclass(frozen=True, slots=True)
class Bill:
    """What one night cost, in dollars; `idle_share` is of what was paid for."""

    shape: str
    jobs_done: int
    machines: int
    usd: float
    idle_share: float
    fixed_usd: float
    naive_usd: float

    @property
    def by_fixed(self) -> float:
        """Times the best fixed plan."""
        return self.usd / self.fixed_usd

    @property
    def saved(self) -> float:
        """Which part of the naive plan's bill."""
        return 1 - self.usd / self.naive_usd


def night(shape: str, seed: int) -> Scenario:
    """Jobs of some seconds each that no machine at hand can do."""
    together, every = SHAPES[shape]
    jobs = tuple(
        SimJob(f"job-{i:03}", {"vast": 6.0}, arrival=i // together * every, capability="speech", spread=0.3)
        for i in range(JOBS)
    )
    return Scenario(
        jobs,
        (SimWatcher("desk", {"metal": 1}, {"metal": frozenset({"any"})}),),
        SimLimits(budget=20 * MICRO),
        title=f"{shape}, seed {seed}",
        renting=RENTING,
    )


def measure(shape: str, seed: int = 0) -> Bill:
    """The fleet's night beside the two plans, on the same draw."""
    scenario = night(shape, seed)
    run = simulate(scenario, seed=seed)
    told = document(run)
    work = [(job.arrival, drawn(job, "vast", seed).seconds) for job in scenario.jobs]
    return Bill(
        shape,
        told["done"],
        len(run.machines),
        told["rented"]["usd"],
        told["rented"]["idle_share"],
        min(_fixed(work, machines) for machines in range(1, _MOST_MACHINES + 1)),
        _naive(work),
    )


def _fixed(work: Sequence[tuple[float, float]], machines: int) -> float:
    free = [RENTING.starts] * machines
    last = 0.0
    for arrival, seconds in work:
        end = max(free[0], arrival) + seconds
        heapq.heapreplace(free, end)
        last = max(last, end)
    return machines * last * RENTING.hourly / _HOUR / MICRO


def _naive(work: Sequence[tuple[float, float]]) -> float:
    """A micro-batch is what has come within a machine's start, at most BATCH jobs: then it is full, and sent."""
    seconds = 0.0
    for batch in _batches(work):
        seconds += RENTING.starts + sum(took for _, took in batch)
    return seconds * RENTING.hourly / _HOUR / MICRO


def _batches(work: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    batch: list[tuple[float, float]] = []
    for job in work:
        if batch and (len(batch) == BATCH or job[0] > batch[0][0] + RENTING.starts):
            yield batch
            batch = []
        batch.append(job)
    yield batch


def told(bill: Bill) -> str:
    """One line for a person."""
    return (
        f"{bill.shape:<10} {bill.jobs_done} done, machines rented {bill.machines}, ${bill.usd:.4f}, idle "
        f"{bill.idle_share:.1%}; {bill.by_fixed:.3f} x the best fixed plan; saves {bill.saved:.0%} of the naive plan"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.renting", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="JSON lines")
    asked = parser.parse_args(argv)
    for shape in SHAPES:
        bill = measure(shape, asked.seed)
        sys.stdout.write((json.dumps(asdict(bill)) if asked.json else told(bill)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
