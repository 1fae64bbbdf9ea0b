"""Fills a queue with many jobs, waiting or done, faster than a watcher would.

What is done was leased and committed by the queue's own calls, so every key has what it would have; only no body ran.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from bench.stand import many_jobs
from lib.jobqueue import JobSpec
from lib.jobqueue.protocol import Ending, Move
from lib.jobqueue.records import Run, done_tail
from lib.redisqueue import conducting, leasing, producing, sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from bench.stand import Stand
    from lib.jobqueue.protocol import Submission

LANE: Final = "lane:metal:any"
INTAKE: Final = "stream:normal:any"
_SESSION: Final = "filler:1"
_LIFE_MS: Final = 3_600_000
_CHUNK: Final = 5_000
_BATCH: Final = 500
_RESULT: Final = {"began_ns": 123_456_789_012_345}


@asynccontextmanager
async def leading(stand: Stand) -> AsyncIterator[str]:
    """A session of our own that leads; its epoch. It is over at the end of the block, so that watchers may lead."""
    queue = stand.queue
    heartbeat = b'"session":"%b"}' % _SESSION.encode()
    await sessions.open_session(queue, _SESSION, name="filler", previous="", life_ms=_LIFE_MS, heartbeat=heartbeat)
    await sessions.ensure_lanes(queue, [LANE])
    await queue.refresh_streams()
    epoch = (await sessions.lead(queue, _SESSION)).epoch
    try:
        yield epoch
    finally:
        await sessions.close_session(queue, _SESSION, name="filler")


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
