"""Drain of no-op jobs by one watcher process and by two, from filled lanes and through the conductor.

Ours counts from the first record to the last, by the server's own stamps in the history; with two watchers from the
moment both are there. The watchers' start and end are not in it: `start` measures those.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from bench import raw
from bench.figure import Figure, Found, Target, rate, ratio_at_least
from bench.filling import fill_lane
from bench.stand import LOOK_SECONDS, ROOM, SLOTS, StandError, ended_well, jobs, standing, still_there, watcher
from bench.turns import by_turns
from lib.redisqueue import producing, sessions

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Callable, Sequence

    from bench.sizes import Sizes
    from bench.stand import Stand
    from lib.jobqueue.protocol import Submission


_FEWEST: Final = 100
"""Records; a rate of fewer says nothing."""


@dataclass(slots=True)
class Way:
    """One way to drain, and what each run of it found."""

    what: str
    lanes: bool
    watchers: int
    target: Target | None = None
    pairs: list[tuple[float, float]] = field(default_factory=list)


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """Every way, by turns."""
    ways = [
        Way("one watcher, from filled lanes", lanes=True, watchers=1, target=ratio_at_least(0.8)),
        Way("one watcher, through the conductor", lanes=False, watchers=1, target=ratio_at_least(0.55)),
        Way("two watchers, from filled lanes", lanes=True, watchers=2),
        Way("two watchers, through the conductor", lanes=False, watchers=2),
    ]
    submissions = await asyncio.to_thread(jobs, sizes.jobs, "t")
    record = await record_of_a_job()
    for number in range(sizes.repeats):
        for way in ways:
            way.pairs.append(await _run(way, submissions, record, number))
            step()
    note = f"METAL_CONCURRENCY={SLOTS}, METAL_QUEUE_MAX={ROOM}, {sizes.jobs} jobs"
    found = []
    for way in ways:
        ours, beside = zip(*way.pairs, strict=True)
        found.append(Figure("drain", way.what, "/s", ours, beside, target=way.target, note=note))
    return Found(found)


async def _run(way: Way, submissions: list[Submission], record: bytes, number: int) -> tuple[float, float]:
    """Both rates on one server."""
    async with standing() as stand:

        async def ours() -> float:
            await producing.submit(stand.queue, submissions)
            if way.lanes:
                await fill_lane(stand, len(submissions))
            return await drained(stand, way.watchers)

        return await by_turns(number, ours, lambda: raw_rate(stand, submissions, record))


async def raw_rate(stand: Stand, submissions: list[Submission], record: bytes) -> float:
    """Jobs a second of a raw drain of the same payloads, with records as ours are."""
    await asyncio.to_thread(raw.submit, stand.client, [job.job for job in submissions])
    seconds = await asyncio.to_thread(raw.drain, stand.client, record)
    raw.clear(stand.client)
    return rate(len(submissions), seconds)


async def record_of_a_job() -> bytes:
    """What ours writes for each no-op job: raw writes as many bytes."""
    async with standing() as stand:
        await producing.submit(stand.queue, jobs(1, "r"))
        async with watcher(stand, "--once") as running:
            await ended_well(running, stand)
        records: Any = await asyncio.to_thread(stand.client.hvals, stand.queue.keys.of("result"))
        return bytes(records[0])


async def drained(stand: Stand, watchers: int = 1) -> float:
    """Jobs a second of a drain of what waits now."""
    async with AsyncExitStack() as stack:
        names = [f"w{number}" for number in range(watchers)]
        running = [await stack.enter_async_context(watcher(stand, "--drain", name=name)) for name in names]
        since_ms = await _all_there(stand, running) if watchers > 1 else 0
        for name, each in zip(names, running, strict=True):
            await ended_well(each, stand, name)
    return await asyncio.to_thread(rate_of_records, stand, since_ms)


async def _all_there(stand: Stand, running: Sequence[Process]) -> int:
    """The server's time when all of them have a session; 0 when one was done before another had begun."""
    while len(await sessions.roster(stand.queue)) < len(running):
        if any(each.returncode is not None for each in running):
            return 0
        await asyncio.sleep(LOOK_SECONDS)
    return await sessions.server_time_ms(stand.queue)


async def drained_so_many(stand: Stand, count: int) -> float:
    """Jobs a second of the first `count` of a queue that holds more, by one watcher through the conductor."""
    history = stand.queue.keys.of("history_done")
    newest: Any = await stand.queue.client.xrevrange(history, count=1)
    after = newest[0][0] if newest else b"0-0"
    before = int(await stand.queue.client.xlen(history))
    async with watcher(stand) as running:
        while int(await stand.queue.client.xlen(history)) < before + count:
            await still_there(running, stand)
            await asyncio.sleep(LOOK_SECONDS)
    entries: Any = await asyncio.to_thread(stand.client.xrange, history, min=b"(" + after, count=count)
    return rate_of_stamps(entries)


def rate_of_records(stand: Stand, since_ms: int = 0) -> float:
    """Records a second in the history, from `since_ms` (server time; 0: from the first) to the last."""
    history = stand.queue.keys.of("history_done")
    entries: Any = stand.client.xrange(history, min=str(since_ms))
    if len(entries) < _FEWEST:  # all was over when the second one came
        entries, since_ms = stand.client.xrange(history), 0
    return rate_of_stamps(entries, since_ms)


def rate_of_stamps(entries: Sequence[tuple[bytes, object]], since_ms: int = 0) -> float:
    """Entries a second, from `since_ms` (0: from the first one's stamp) to the last one's.

    Those with the stamp it counts from are left out: they were there when the clock began.

    Raises:
        StandError: all have one stamp.

    """
    stamps = [int(entry.split(b"-")[0]) for entry, _ in entries]
    begun = since_ms or stamps[0]
    later = sum(1 for stamp in stamps if stamp > begun)
    if not later:
        raise StandError(f"{len(stamps)} records came within a millisecond: too few for a rate")
    return rate(later, (stamps[-1] - begun) / 1000)
