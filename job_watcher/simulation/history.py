"""A scenario out of what the queue remembers: the jobs that ended last, as they came, on the machines of today.

A record says where a job ran and for how long. What it would have taken elsewhere is reckoned from the median of its
task on both backends; a task of which only one backend has records stays on that one. What was made already took no
time, and what ran on a rented machine waited there for others: neither says what such a job takes, and both are left
out. Called by `job-watcher simulate --history`.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from job_watcher.simulation.scenario import Scenario, SimJob, SimLimits, SimWatcher
from lib.errors import NotFoundError
from lib.money import MICRO
from lib.redisqueue import reader
from lib.redisqueue.keys import DEFAULT_BACKLOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

BACKENDS: Final = ("metal", "cloud")


async def recorded(queue: Queue, settings: Settings, capability_of: Callable[[str], str], *, limit: int) -> Scenario:
    """The newest done jobs of the queue, on the slots and limits of these settings.

    Raises:
        NotFoundError: no done job is remembered.
    """
    entries = await reader.history(queue, "done", limit)
    jobs = jobs_of((entry.record for entry in entries), capability_of)
    if not jobs:
        what = "no finished job is remembered that ran on this machine or the cloud"
        raise NotFoundError(what, hint="run some jobs first, or name a FILE")
    offered = frozenset(job.capability for job in jobs)
    slots = {"metal": settings.metal_concurrency, "cloud": settings.cloud_concurrency}
    watcher = SimWatcher("here", slots, dict.fromkeys(slots, offered))
    budget = None if settings.budget_per_day_usd is None else round(settings.budget_per_day_usd * MICRO)
    limits = SimLimits(settings.metal_queue_max, settings.cloud_queue_max, settings.cloud_tokens_per_min, budget=budget)
    return Scenario(tuple(jobs), (watcher,), limits, settings.conductor_policy, f"the last {len(jobs)} jobs")


def jobs_of(records: Iterable[Mapping[str, Any]], capability_of: Callable[[str], str]) -> list[SimJob]:
    """The jobs of done records, the first one queued at 0; of those that say what a job takes."""
    known = [(record, queued) for record in records if (queued := _queued(record)) is not None]
    if not known:
        return []
    start = min(queued for _, queued in known)
    seconds: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    dollars: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for record, _ in known:
        seconds[record["task"], record["backend"]].append(float(record["duration_sec"]))
        dollars[record["task"], record["backend"]].append(_usd(record))
    middle = {key: max(0.001, median(all_)) for key, all_ in seconds.items()}
    price = {key: sum(all_) / len(all_) for key, all_ in dollars.items()}
    found = [
        _job(record, (queued - start).total_seconds(), middle, price, capability_of(record["task"]))
        for record, queued in known
    ]
    return sorted(found, key=lambda job: (job.arrival, job.id))


def _job(
    record: Mapping[str, Any],
    arrival: float,
    middle: Mapping[tuple[str, str], float],
    price: Mapping[tuple[str, str], float],
    capability: str,
) -> SimJob:
    task, ran_on = record["task"], record["backend"]
    took = max(0.001, float(record["duration_sec"]))
    share = took / middle[task, ran_on]
    seconds = {each: middle[task, each] * share for each in BACKENDS if (task, each) in middle}
    micro = {each: round(price[task, each] * share * MICRO) for each in seconds}
    if ran_on in micro:
        micro[ran_on] = round(_usd(record) * MICRO)
    return SimJob(
        id=record["request_id"],
        seconds=seconds,
        arrival=arrival,
        task=task,
        capability=capability,
        backlog=record.get("backlog", DEFAULT_BACKLOG),
        micro=micro,
    )


def _queued(record: Mapping[str, Any]) -> datetime | None:
    result = record.get("result")
    if isinstance(result, dict) and isinstance(result.get("cached"), dict):
        return None
    try:
        float(record["duration_sec"])
        sound = record["backend"] in BACKENDS and bool(record["task"]) and bool(record["request_id"])
        return datetime.fromisoformat(record["queued_at"]) if sound else None
    except (KeyError, TypeError, ValueError):
        return None


def _usd(record: Mapping[str, Any]) -> float:
    cost = record.get("cost")
    usd = cost.get("usd") if isinstance(cost, dict) else None
    return float(usd) if isinstance(usd, int | float) else 0.0
