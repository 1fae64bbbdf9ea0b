"""The server: does it answer, is it new enough, does it keep what it is given, who works on it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from job_runner.service.doctor.access import access_checks
from job_runner.service.doctor.checks import Check
from job_runner.service.durability import agreed_durability
from job_runner.service.place import server_text
from lib.errors import JobRunnerError
from lib.redisqueue.connection import edge
from lib.redisqueue.overview import overview
from lib.wiring import opened_queue

if TYPE_CHECKING:
    from lib.redisqueue.features import Features
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

LEAST_REDIS: Final = (7, 0)
LEAST_VALKEY: Final = (8, 0)
"""The oldest that is still maintained."""

FULL_SHARE: Final = 0.9
"""Of maxmemory: from here on it is time to do something."""

SKEW_MOST_SECONDS: Final = 2.0
"""The queue goes by the server's clock alone; run_after and records are written by this one, in whole seconds."""


async def server_checks(settings: Settings) -> list[Check]:
    """Everything about the server; one line when it does not answer, and what is known when a later step fails."""
    found: list[Check] = []
    try:
        async with opened_queue(settings) as queue:
            features = await queue.check_server(config=True)
            found += [
                Check("redis", "ok", f"{features.software} {features.version} at {server_text(settings)}"),
                _version(features),
                _persistence(features),
                _eviction(features),
                *_memory(features),
                _time(await _skew_seconds(queue)),
                *await access_checks(queue, settings, features),
                await _durability(queue, settings),
            ]
            found.append(await _watchers(queue, settings))
    except JobRunnerError as exc:
        found.append(Check("queue" if found else "redis", "wrong", exc.message, exc.hint or ""))
    return found


async def _skew_seconds(queue: Queue) -> float:
    """How far the server's clock is ahead of ours, to within the time of a round trip."""
    sent = time.time()
    async with edge(queue.url):
        seconds, micros = await queue.client.time()
    return float(seconds) + float(micros) / 1e6 - (sent + time.time()) / 2


def _version(features: Features) -> Check:
    least = LEAST_VALKEY if features.software == "valkey" else LEAST_REDIS
    needed = ".".join(map(str, least))
    numbers = tuple(int(part) for part in features.version.split(".")[:2] if part.isdigit())
    if not numbers:
        return Check("version", "note", "the server does not tell", f"make sure that it is {needed} or newer")
    if numbers >= least:
        return Check("version", "ok", f"{features.version}, at least {needed} is needed")
    return Check("version", "wrong", features.version, f"use {features.software} {needed} or newer")


def _persistence(features: Features) -> Check:
    if features.append_only is None:
        return Check("persistence", "note", "the server does not tell", "make sure that it keeps its data on disk")
    if not features.append_only:
        return Check(
            "persistence", "wrong", "no append-only file: a restart loses the queue", "set `appendonly yes` there"
        )
    if features.append_fsync is None:
        return Check("persistence", "ok", "append-only file; the server does not tell how often it is synced")
    if features.append_fsync == "no":
        return Check(
            "persistence",
            "note",
            "append-only file, appendfsync no: a power cut may lose half a minute",
            "set `appendfsync everysec` there",
        )
    return Check("persistence", "ok", f"append-only file, appendfsync {features.append_fsync}")


def _eviction(features: Features) -> Check:
    if features.eviction is None:
        return Check("eviction", "note", "the server does not tell", "make sure that maxmemory-policy is noeviction")
    if features.eviction != "noeviction":
        return Check(
            "eviction",
            "wrong",
            f"maxmemory-policy {features.eviction} may throw jobs away",
            "set `maxmemory-policy noeviction` there",
        )
    return Check("eviction", "ok", "noeviction")


def _memory(features: Features) -> list[Check]:
    """Nothing where there is no limit."""
    if not features.max_bytes:
        return []
    share = features.used_bytes / features.max_bytes
    found = f"{share:.0%} of maxmemory ({features.max_bytes / 2**20:.0f} MiB) is used"
    if share >= FULL_SHARE:
        mend = "raise maxmemory there, or `job-runner flush` what is finished: a full server takes no jobs"
        return [Check("memory", "wrong" if share >= 1 else "note", found, mend)]
    return [Check("memory", "ok", found)]


def _time(skew_seconds: float) -> Check:
    found = f"the server's clock is {abs(skew_seconds):.1f} s {'ahead of' if skew_seconds > 0 else 'behind'} this one"
    if abs(skew_seconds) > SKEW_MOST_SECONDS:
        return Check("time", "wrong", found, "set both clocks by NTP")
    return Check("time", "ok", f"the clocks agree within {SKEW_MOST_SECONDS:g} s")


async def _durability(queue: Queue, settings: Settings) -> Check:
    try:
        await agreed_durability(queue, settings)
    except JobRunnerError as exc:
        return Check("durability", "wrong", exc.message, exc.hint or "")
    return Check("durability", "ok", settings.jobs_durability)


async def _watchers(queue: Queue, settings: Settings) -> Check:
    document = await overview(queue, lease_idle_ms=settings.watcher_lease_idle_ms)
    alive = sum(watcher["alive"] for watcher in document["watchers"])
    outstanding = document["totals"]["outstanding"]
    found = f"{alive} alive, {outstanding} {'job' if outstanding == 1 else 'jobs'} outstanding"
    if outstanding and not alive:
        return Check("watchers", "note", found, "start one with `job-watcher`")
    return Check("watchers", "ok", found)
