"""Submit, one by one and in bulk, against raw XADD; and the conductor's move alone against a raw one.

Ours takes validated submissions and keeps every promise of `submit`: idempotent by name, index, counters, event.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from bench import raw
from bench.figure import Figure, Found, rate, ratio_at_least
from bench.filling import INTAKE, LANE
from bench.stand import jobs, standing
from lib.jobqueue.protocol import Move
from lib.redisqueue import conducting, producing, sessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.sizes import Sizes
    from bench.stand import Stand
    from lib.jobqueue.protocol import Submission
    from lib.redisqueue.queue import Queue

_SESSION: Final = "b:1"
_LIFE_MS: Final = 120_000
_MOVE_BATCH: Final = 500


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """Both ways in, in turn with raw on a fresh server each time."""
    bulk: list[tuple[float, float]] = []
    single: list[tuple[float, float]] = []
    submissions = await asyncio.to_thread(jobs, sizes.jobs, "t")
    payloads = [job.job for job in submissions]
    some = await asyncio.to_thread(jobs, sizes.singles, "one")
    for _ in range(sizes.repeats):
        async with standing() as stand:
            ours = await submitted(stand.queue, submissions)
            beside = await asyncio.to_thread(raw.submit, stand.client, payloads)
            bulk.append((rate(len(payloads), ours), rate(len(payloads), beside)))
            ours = await submitted_one_by_one(stand.queue, some)
            beside = await asyncio.to_thread(raw.submit_one_by_one, stand.client, payloads[: len(some)])
            single.append((rate(len(some), ours), rate(len(some), beside)))
        step()
    return Found(
        [
            _figure("in bulk, 500 a call", bulk, f"{sizes.jobs} validated jobs", wanted=1.0),
            _figure("one by one", single, f"{sizes.singles} validated jobs, each awaited"),
        ]
    )


def _figure(what: str, pairs: list[tuple[float, float]], note: str, *, wanted: float | None = None) -> Figure:
    ours, beside = zip(*pairs, strict=True)
    return Figure("submit", what, "/s", ours, beside, target=ratio_at_least(wanted) if wanted else None, note=note)


async def submitted(queue: Queue, submissions: list[Submission]) -> float:
    """Seconds for all in one call, which makes batches."""
    begun = time.perf_counter()
    await producing.submit(queue, submissions)
    return time.perf_counter() - begun


async def submitted_one_by_one(queue: Queue, submissions: list[Submission]) -> float:
    """Seconds for a call each."""
    begun = time.perf_counter()
    for job in submissions:
        await producing.submit(queue, [job])
    return time.perf_counter() - begun


async def measure_move(sizes: Sizes, step: Callable[[], None]) -> Found:
    """The hop from intake to lane, without watchers."""
    pairs: list[tuple[float, float]] = []
    submissions = await asyncio.to_thread(jobs, sizes.jobs, "t")
    payloads = [job.job for job in submissions]
    for _ in range(sizes.repeats):
        async with standing() as stand:
            await producing.submit(stand.queue, submissions)
            ours = await fill_lane(stand, len(submissions))
            await asyncio.to_thread(raw.submit, stand.client, payloads)
            beside = await asyncio.to_thread(raw.move, stand.client)
            pairs.append((rate(len(payloads), ours), rate(len(payloads), beside)))
        step()
    ours_all, beside_all = zip(*pairs, strict=True)
    note = "raw: XRANGE of 500, then XADD and XDEL of each in a pipeline"
    return Found([Figure("move", "the conductor's move alone", "/s", ours_all, beside_all, note=note)])


async def fill_lane(stand: Stand, count: int) -> float:
    """Bring everything into the lane, as a conductor without limits would; seconds of the moves alone.

    The session that led stays for two minutes, so that nobody moves anything meanwhile and no sweep gives it back.
    """
    queue = stand.queue
    heartbeat = b'"session":"%b"}' % _SESSION.encode()
    await sessions.open_session(queue, _SESSION, name="b", previous="", life_ms=_LIFE_MS, heartbeat=heartbeat)
    await sessions.ensure_lanes(queue, [LANE])
    await queue.refresh_streams()
    epoch = (await sessions.lead(queue, _SESSION)).epoch
    # A live reader, or a sweep would give back what waits there.
    stand.client.xgroup_createconsumer(queue.keys.stream(LANE), "watchers", _SESSION)
    order = Move(INTAKE, LANE, _MOVE_BATCH, count, (LANE,), count)
    moved = 0
    begun = time.perf_counter()
    while moved < count:
        moved += sum((await conducting.move(queue, _SESSION, epoch, [order])).counts)
    return time.perf_counter() - begun
