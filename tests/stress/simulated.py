"""The stress test of the requirement on a virtual clock: the decisions that a real run must make too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from job_watcher.simulation.running import Given, Run, simulate
from job_watcher.simulation.scenario import Scenario, SimJob, SimLimits, SimWatcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ANY = frozenset({"any"})


def stress(
    durations: Sequence[float] | Mapping[str, float],
    *,
    backlog: str = "stress",
    metal: int = 1,
    cloud: int = 10,
    per_minute: float = 2.0,
    metal_queue_max: int = 2,
    cloud_queue_max: int = 5,
) -> Run:
    """Sleep jobs of these seconds, in this order, as they would run: a sleep takes equally long everywhere.

    Jobs are named by the keys of a mapping; those of a sequence `job-1`, `job-2` and so on.
    """
    named = durations if hasattr(durations, "items") else {f"job-{i}": each for i, each in enumerate(durations, 1)}
    jobs = tuple(SimJob(name, {"metal": seconds, "cloud": seconds}, backlog=backlog) for name, seconds in named.items())
    watcher = SimWatcher("here", {"metal": metal, "cloud": cloud}, {"metal": _ANY, "cloud": _ANY})
    limits = SimLimits(metal_queue_max, cloud_queue_max, per_minute)
    return simulate(Scenario(jobs, (watcher,), limits, title="stress"))


def simulate_stress(
    durations: Sequence[float] | Mapping[str, float], *, metal: int = 1, cloud: int = 10, per_minute: float = 2.0
) -> list[tuple[float, str, str]]:
    """The decisions alone: (seconds since the start, job, backend), in the order in which they were made."""
    run = stress(durations, metal=metal, cloud=cloud, per_minute=per_minute)
    return [_plain(each) for each in run.given]


def _plain(given: Given) -> tuple[float, str, str]:
    return given.at_seconds, given.job, given.backend
