"""Fills a queue with many jobs, waiting, in a lane or done, faster than a watcher would.

What is done was leased and committed by the queue's own calls, so every key has what it would have; only no body ran.
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from bench.stand import many_jobs
from lib.jobqueue import JobSpec
from lib.jobqueue.moves import Move
from lib.jobqueue.protocol import Ending
from lib.jobqueue.records import Run, done_tail
from lib.redisqueue import conducting, leasing, producing, sessions
from lib.redisqueue.keys import GROUP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from bench.stand import Stand
    from lib.jobqueue.protocol import Submission

LANE: Final = "lane:metal:any"
INTAKE: Final = "stream:normal:any"
_NAME: Final = "filler"
_SESSION: Final = f"{_NAME}:1"
_LIFE_MS: Final = 3_600_000
_LANE_LIFE_MS: Final = 120_000
_CHUNK: Final = 5_000
_BATCH: Final = 500
_RESULT: Final = {"began_ns": 123_456_789_012_345}


@asynccontextmanager
async def leading(stand: Stand) -> AsyncIterator[str]:
    """A session of our own that leads; its epoch. It is over at the end of the block, so that watchers may lead."""
    epoch = await _led(stand, _LIFE_MS)
    try:
        yield epoch
    finally:
        await sessions.close_session(stand.queue, _SESSION, name=_NAME)


async def _led(stand: Stand, life_ms: int) -> str:
    """Open the session, make the lane, and lead; the epoch. Its heartbeat is none of a watcher: no roster has it."""
    queue = stand.queue
    heartbeat = b'"session":"%b"}' % _SESSION.encode()
    await sessions.open_session(queue, _SESSION, name=_NAME, previous="", life_ms=life_ms, heartbeat=heartbeat)
    await sessions.ensure_lanes(queue, [LANE])
    await queue.refresh_streams()
    return (await sessions.lead(queue, _SESSION)).epoch


async def fill_lane(stand: Stand, count: int) -> float:
    """Bring everything into the lane, as a conductor without limits would; seconds of the moves alone.

    The session that led stays for two minutes, so that nobody moves anything meanwhile and no sweep gives it back.
    """
    queue = stand.queue
    epoch = await _led(stand, _LANE_LIFE_MS)
    # A live reader, or a sweep would give back what waits there.
    stand.client.xgroup_createconsumer(queue.keys.stream(LANE), GROUP, _SESSION)
    order = Move(INTAKE, LANE, _BATCH, count, (LANE,), count)
    moved = 0
    begun = time.perf_counter()
    while moved < count:
        moved += sum((await conducting.move(queue, _SESSION, epoch, [order])).counts)
    return time.perf_counter() - begun


def chunks(jobs: Iterator[Submission]) -> Iterator[list[Submission]]:
    """So many at once that a million need no gigabyte here."""
    while chunk := list(islice(jobs, _CHUNK)):
        yield chunk


async def fill_waiting(stand: Stand, size: int, name: str) -> None:
    """Submit until so many jobs wait, in intakes and lanes together."""
    there: Any = await stand.queue.client.hlen(stand.queue.keys.of("index"))
    for chunk in chunks(many_jobs(max(0, size - there), name)):
        await producing.submit(stand.queue, chunk)


async def fill_done(stand: Stand, size: int, name: str) -> None:
    """Submit, move, lease and commit until so many jobs are done; nothing else may wait."""
    there: Any = await stand.queue.client.xlen(stand.queue.keys.of("history_done"))
    async with leading(stand) as epoch:
        for chunk in chunks(many_jobs(max(0, size - there), name)):
            await producing.submit(stand.queue, chunk)
            await _worked_off(stand, epoch, len(chunk), _tail_of(chunk[0]))


def _tail_of(job: Submission) -> tuple[bytes, bytes]:
    """The tail of a no-op job's record before and behind its id: to make a million one by one takes minutes."""
    now = datetime.now(UTC)
    tail = done_tail(JobSpec.model_validate_json(job.job), Run("metal", "1", now, now), result=_RESULT)
    before, _, behind = tail.partition(job.request_id.encode())
    return before, behind


async def _worked_off(stand: Stand, epoch: str, count: int, tail: tuple[bytes, bytes]) -> None:
    queue, left = stand.queue, count
    order = Move(INTAKE, LANE, _BATCH, 2 * _CHUNK, (LANE,), 2 * _CHUNK)
    while left > 0:
        await conducting.move(queue, _SESSION, epoch, [order])
        started = await leasing.start(queue, _SESSION, [LANE], read=_BATCH, suspects=_BATCH)
        endings = [
            Ending(lease.request_id, lease.fence, "done", tail[0] + lease.request_id.encode() + tail[1])
            for lease in started.leases
        ]
        await leasing.commit(queue, _SESSION, endings)
        left -= len(endings)
