"""Scenarios with few words."""

from __future__ import annotations

from typing import Any

from job_watcher.simulation.scenario import Scenario, SimJob, SimLimits, SimWatcher

ANY = frozenset({"any"})
DESK = SimWatcher("desk", {"metal": 1}, {"metal": ANY})
API = SimWatcher("api", {"cloud": 10}, {"cloud": ANY})


def job(name: str, metal: float | None = 100.0, cloud: float | None = 100.0, **fields: Any) -> SimJob:
    """A job that takes exactly so long; None: it cannot run there."""
    seconds = {backend: each for backend, each in (("metal", metal), ("cloud", cloud)) if each is not None}
    return SimJob(name, seconds, **fields)


def scenario(*jobs: SimJob, watchers: tuple[SimWatcher, ...] = (DESK, API), **fields: Any) -> Scenario:
    """These jobs on one slot of metal and ten of a cloud; fields that limits have go there."""
    limits = {name: fields.pop(name) for name in list(fields) if name in SimLimits.__slots__}
    return Scenario(jobs, watchers, SimLimits(**limits), **fields)
