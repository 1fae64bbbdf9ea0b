"""`python -m bench.simulate`: random workloads through the simulator, against what no schedule can beat.

Nothing here is timed, so nothing depends on the machine: the same seeds give the same figures everywhere. A workload is
drawn from its seed alone: 5 to 200 jobs, 1 to 4 slots of metal, 1 to 60 jobs a minute for the cloud, which is up to
three times as fast or as slow. Sizes are lognormal, and so is what nobody knows beforehand. Every job that runs on both
costs money on the cloud. Each policy runs on the same draw.
"""

from __future__ import annotations

import argparse
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from job_watcher.simulation.drawn import workload
from job_watcher.simulation.report import floors
from job_watcher.simulation.running import simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Figures:
    """What one workload showed. Seconds, and millionths of a dollar.

    `by_rules` and `by_any` are the makespan of local-first by the bounds of schedules that keep Rules A and B, and of
    any schedule at all. `met_cost` is what `deadline` paid for the jobs that met their deadline, `cheapest` what these
    cost at least.
    """

    seed: int
    jobs: int
    idle: float
    by_rules: float
    by_any: float
    dated: int
    meetable: int
    met: int
    cost: int
    met_cost: int
    cheapest: float


def measure(seed: int) -> Figures:
    """Run both policies on the workload of a seed."""
    scenario = workload(seed)
    first = simulate(scenario, seed=seed)
    floor = floors(first)
    dated = simulate(replace(scenario, policy="deadline"), seed=seed)
    least = floors(dated)
    wanted = [ended for ended in dated.jobs if ended.job.deadline is not None]
    met = [ended for ended in wanted if not ended.missed]
    return Figures(
        seed,
        len(scenario.jobs),
        first.idle_while_waiting,
        first.makespan / floor.conducted,
        first.makespan / floor.makespan,
        len(wanted),
        least.meetable,
        len(met),
        dated.micro,
        sum(ended.micro for ended in met),
        least.cheapest,
    )


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of all workloads together."""

    workloads: int
    idle_seconds: float
    median_by_rules: float
    nine_in_ten_by_rules: float
    worst_by_rules: float
    median_by_any: float
    worst_by_any: float
    deadlines_met: float
    workloads_with_95_percent: float
    cost_of_met: float
    cost_of_all: float


def summary(found: Sequence[Figures]) -> Summary:
    """All of them together: shares and ratios of sums, so that a workload of five jobs weighs as its five jobs do."""
    rules = sorted(each.by_rules for each in found)
    cheapest = sum(each.cheapest for each in found)
    good = [each for each in found if each.met >= 0.95 * each.meetable]
    return Summary(
        len(found),
        sum(each.idle for each in found),
        median(rules),
        rules[int(0.9 * (len(rules) - 1))],
        rules[-1],
        median(each.by_any for each in found),
        max(each.by_any for each in found),
        sum(each.met for each in found) / max(1, sum(each.meetable for each in found)),
        len(good) / len(found),
        sum(each.met_cost for each in found) / cheapest if cheapest else 1.0,
        sum(each.cost for each in found) / cheapest if cheapest else 1.0,
    )


def told(all_: Summary) -> Iterable[str]:
    """The same for a person."""
    yield f"{all_.workloads} workloads"
    yield "local-first"
    yield f"  metal idle while a job that it could run waits   {all_.idle_seconds:.3f} s in all"
    yield (
        f"  makespan by the bound of Rules A and B           median {all_.median_by_rules:.3f},"
        f" nine in ten {all_.nine_in_ten_by_rules:.3f}, worst {all_.worst_by_rules:.3f}"
    )
    yield (
        f"  makespan by the bound of any schedule            median {all_.median_by_any:.3f},"
        f" worst {all_.worst_by_any:.3f}"
    )
    yield "deadline"
    yield (
        f"  deadlines met, of those that the bound grants    {all_.deadlines_met:.2%};"
        f" {all_.workloads_with_95_percent:.1%} of the workloads reach 95 %"
    )
    yield f"  cost of the met ones by the cheapest cost         {all_.cost_of_met:.3f}"
    yield f"  the same with what was paid for jobs too late     {all_.cost_of_all:.3f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the figures of each workload as JSON lines with --each."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulate", description=__doc__)
    parser.add_argument("--workloads", type=int, default=1000, metavar="N", help="so many, of the seeds 0 to N-1")
    parser.add_argument("--processes", type=int, default=None, metavar="N", help="at once; default: one a core")
    parser.add_argument("--each", action="store_true", help="also the figures of each workload, as JSON lines")
    parser.add_argument("--json", action="store_true", help="the summary as JSON")
    asked = parser.parse_args(argv)
    if asked.workloads < 1:
        parser.error("--workloads: at least 1")
    with ProcessPoolExecutor(asked.processes) as pool:
        found = list(pool.map(partial(measure), range(asked.workloads), chunksize=4))
    if asked.each:
        for each in found:
            sys.stdout.write(json.dumps(asdict(each)) + "\n")
    all_ = summary(found)
    sys.stdout.write(json.dumps(asdict(all_)) + "\n" if asked.json else "\n".join(told(all_)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
