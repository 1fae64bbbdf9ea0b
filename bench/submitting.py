"""Submit, one by one and in bulk, against raw XADD; and the conductor's move alone against a raw one.

Ours takes validated submissions and keeps every promise of `submit`: idempotent by name, index, counters, event.
Each is measured on an empty server that has done one batch of either side before, so that neither pays for the first
load of a script or of a page, nor works beside what the other has left.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from bench import raw
from bench.figure import Figure, Found, rate, ratio_at_least
from bench.filling import fill_lane
from bench.stand import jobs, standing
from bench.turns import by_turns
from lib.redisqueue import producing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    import redis

    from bench.sizes import Sizes
    from bench.stand import Stand
    from lib.jobqueue.protocol import Submission
    from lib.redisqueue.queue import Queue

WARM: Final = 500
"""Jobs of one batch."""
_TURNS: Final = "each side warm, on an empty server, first by turns"


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """Both ways in, by turns with raw on a fresh server each time."""
    bulk: list[tuple[float, float]] = []
    single: list[tuple[float, float]] = []
    submissions = await asyncio.to_thread(jobs, sizes.jobs, "t")
    some = await asyncio.to_thread(jobs, sizes.singles, "one")
    for number in range(sizes.repeats):
        async with standing() as stand:
            await _in_bulk(stand, submissions[:WARM], number)
            bulk.append(await _in_bulk(stand, submissions, number))
            await _one_by_one(stand, some[:WARM], number)
            single.append(await _one_by_one(stand, some, number))
        step()
    return Found(
        [
            _figure("in bulk, 500 a call", bulk, f"{sizes.jobs} validated jobs, {_TURNS}", wanted=1.0),
            _figure("one by one", single, f"{sizes.singles} validated jobs, each awaited"),
        ]
    )


def _figure(what: str, pairs: list[tuple[float, float]], note: str, *, wanted: float | None = None) -> Figure:
    ours, beside = zip(*pairs, strict=True)
    return Figure("submit", what, "/s", ours, beside, target=ratio_at_least(wanted) if wanted else None, note=note)


async def _in_bulk(stand: Stand, submissions: list[Submission], number: int) -> tuple[float, float]:
    """Both rates of one call for all."""
    return await _rates(stand, submissions, number, submitted, raw.submit)


async def _one_by_one(stand: Stand, submissions: list[Submission], number: int) -> tuple[float, float]:
    """The same with a call for each."""
    return await _rates(stand, submissions, number, submitted_one_by_one, raw.submit_one_by_one)


async def _rates(
    stand: Stand,
    submissions: list[Submission],
    number: int,
    ours: Callable[[Queue, list[Submission]], Awaitable[float]],
    beside: Callable[[redis.Redis, Sequence[bytes]], float],
) -> tuple[float, float]:
    """Ours and raw's a second; the server is empty before each and after both."""
    payloads = [job.job for job in submissions]

    async def our_rate() -> float:
        seconds = await ours(stand.queue, submissions)
        await stand.clear()
        return rate(len(submissions), seconds)

    async def raw_rate() -> float:
        seconds = await asyncio.to_thread(beside, stand.client, payloads)
        await stand.clear()
        return rate(len(payloads), seconds)

    return await by_turns(number, our_rate, raw_rate)


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
    for number in range(sizes.repeats):
        async with standing() as stand:
            await _moved(stand, submissions[:WARM], number)
            pairs.append(await _moved(stand, submissions, number))
        step()
    ours_all, beside_all = zip(*pairs, strict=True)
    note = f"raw: XRANGE of 500, then XADD and XDEL of each in a pipeline; {_TURNS}"
    return Found([Figure("move", "the conductor's move alone", "/s", ours_all, beside_all, note=note)])


async def _moved(stand: Stand, submissions: list[Submission], number: int) -> tuple[float, float]:
    """Both rates of the moves alone; the server is empty before each and after both."""
    payloads = [job.job for job in submissions]

    async def ours() -> float:
        await producing.submit(stand.queue, submissions)
        seconds = await fill_lane(stand, len(submissions))
        await stand.clear()
        return rate(len(submissions), seconds)

    async def beside() -> float:
        await asyncio.to_thread(raw.submit, stand.client, payloads)
        seconds = await asyncio.to_thread(raw.move, stand.client)
        await stand.clear()
        return rate(len(payloads), seconds)

    return await by_turns(number, ours, beside)
