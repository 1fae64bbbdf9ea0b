"""Workloads drawn from a seed alone: what the policies are measured on, and tested with.

5 to 200 jobs, 1 to 4 slots of metal, 1 to 60 jobs a minute for the cloud, which is up to three times faster or slower.
Sizes are lognormal, and so is what nobody knows beforehand. Every job that runs on both costs money on the cloud.
"""

from __future__ import annotations

import random
from math import exp
from typing import TYPE_CHECKING, Final

from job_watcher.simulation.scenario import Scenario, SimJob, SimLimits, SimWatcher
from lib.money import MICRO

if TYPE_CHECKING:
    from lib.redisqueue.keys import Priority

ANY: Final = frozenset({"any"})
CLOUD_SLOTS: Final = 10
_PRIORITIES: Final[tuple[Priority, ...]] = ("normal", "normal", "low", "high")


def workload(seed: int) -> Scenario:
    """The workload of a seed; its jobs all have both backends, and about half of the workloads all their deadlines."""
    chance = random.Random(seed)  # noqa: S311 - a simulation, and repeatable
    count, slots = chance.randint(5, 200), chance.randint(1, 4)
    middle, sizes, noise = exp(chance.uniform(2.3, 5.3)), chance.uniform(0.1, 0.6), chance.uniform(0.0, 0.25)
    faster, usd = exp(chance.uniform(-1.1, 1.1)), chance.uniform(0.001, 0.05)
    pace = middle / slots * chance.choice([0.0, 0.0, chance.uniform(0.2, 1.0)])
    dated, load = chance.choice([0.5, 0.8, 1.0]), chance.uniform(0.3, 1.5)
    total = count * middle * exp(sizes**2 / 2) / slots
    jobs: list[SimJob] = []
    at = 0.0
    for number in range(count):
        size = exp(chance.gauss(0, sizes))
        seconds = {"metal": middle * size, "cloud": middle * size / faster * exp(chance.gauss(0, 0.1))}
        due = at + 1.5 * min(seconds.values()) + chance.uniform(0.1, 1.0) * load * total
        jobs.append(
            SimJob(
                f"job-{number:03}",
                seconds,
                arrival=at,
                backlog=chance.choice(["default", "night"]),
                priority=chance.choice(_PRIORITIES),
                micro={"cloud": round(usd * size * MICRO)},
                spread=noise,
                deadline=due if chance.random() < dated else None,
            )
        )
        at += chance.expovariate(1 / pace) if pace else 0.0
    watchers = (
        SimWatcher("desk", {"metal": slots}, {"metal": ANY}),
        SimWatcher("api", {"cloud": CLOUD_SLOTS}, {"cloud": ANY}),
    )
    limits = SimLimits(jobs_per_minute=round(chance.uniform(1, 60), 1))
    return Scenario(tuple(jobs), watchers, limits, title=f"workload {seed}")
