"""Idle latency: one job at a time into an idle watcher, to its body and to its record; raw beside it.

Ours goes through the conductor: submit, move, lease, body, commit. Raw is one XADD that wakes a blocked reader in
another process, which answers with the three commands of a drain. Whoever waits here is blocked on a stream too, so
that nothing polls and two cores are enough.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from bench import raw
from bench.figure import Figure, Found, Target, at_most, percentile
from bench.stand import StandError, jobs, present, process, standing, watcher
from bench.turns import by_turns
from lib.redisqueue import producing

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.sizes import Sizes
    from bench.stand import Stand
    from lib.jobqueue.protocol import Submission

SLOTS: Final = 4
PAUSE_SECONDS: Final = 0.01
"""Between two jobs, so that the watcher is idle again when the next one comes."""

WARM: Final = 20
_BLOCK_MS: Final = 10_000

Pings = tuple[list[float], list[float]]
"""Milliseconds to the body, and to the record."""


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """In rounds, each side first by turns; the quantiles of each round are one value."""
    ours: list[Pings] = []
    beside: list[Pings] = []
    async with standing() as stand, watcher(stand, slots=SLOTS) as running, echoing(stand):
        async with asyncio.timeout(30):
            await present(stand, running)
        submissions = await asyncio.to_thread(jobs, WARM + sizes.pings * sizes.repeats, "p")
        await asyncio.sleep(1)  # its first rounds of sweep and roster are over
        await pinged(stand, submissions[:WARM])
        await raw_pinged(stand, [job.job for job in submissions[:WARM]])
        for number in range(sizes.repeats):
            at = WARM + number * sizes.pings
            mine, other = await _round(stand, submissions[at : at + sizes.pings], number)
            ours.append(mine)
            beside.append(other)
            step()
    note = (
        f"{sizes.pings} jobs a round, {PAUSE_SECONDS * 1000:.0f} ms apart, METAL_CONCURRENCY={SLOTS}; "
        "the one watcher also leads, so each job is moved and run by the same process"
    )

    def figure(what: str, end: int, percent: int, target: Target | None) -> Figure:
        mine = tuple(percentile(pings[end], percent) for pings in ours)
        other = tuple(percentile(pings[end], percent) for pings in beside)
        return Figure("latency", what, "ms", mine, other, target=target, note=note)

    return Found(
        [
            figure("submit to body, p50", 0, 50, at_most(2)),
            figure("submit to body, p99", 0, 99, at_most(5)),
            figure("submit to record, p50", 1, 50, at_most(3)),
            figure("submit to record, p99", 1, 99, None),
        ]
    )


async def _round(stand: Stand, some: list[Submission], number: int) -> tuple[Pings, Pings]:
    """Both on the same jobs, first by turns."""
    return await by_turns(number, lambda: pinged(stand, some), lambda: raw_pinged(stand, [job.job for job in some]))


def echoing(stand: Stand) -> Any:
    """The other end of the raw round trip, for the length of a block."""
    words = (sys.executable, "-m", "bench.raw", stand.url)
    return process(*words, environ=stand.environ(), log=stand.state / "echo.log")


async def pinged(stand: Stand, submissions: list[Submission]) -> Pings:
    """Each job is over before the next begins."""
    history, results = stand.queue.keys.of("history_done"), stand.queue.keys.of("result")
    newest: Any = stand.client.xrevrange(history, count=1)
    after = newest[0][0] if newest else b"0-0"
    to_body, to_record = [], []
    for job in submissions:
        begun = time.monotonic_ns()
        await producing.submit(stand.queue, [job])
        # Blocks this loop, in which nothing else runs: a thread's switch would cost a tenth of what is measured.
        reply: Any = stand.client.xread({history: after}, block=_BLOCK_MS)
        ended = time.monotonic_ns()
        if not reply:
            raise StandError(f"{job.request_id} had no record after {_BLOCK_MS / 1000:g} s")
        after = reply[history.encode()][0][-1][0]
        record: Any = stand.client.hget(results, job.request_id)
        to_body.append((json.loads(record)["result"]["began_ns"] - begun) / 1e6)
        to_record.append((ended - begun) / 1e6)
        await asyncio.sleep(PAUSE_SECONDS)
    return to_body, to_record


async def raw_pinged(stand: Stand, payloads: list[bytes]) -> Pings:
    """The same with nothing but the server between the two."""
    while not stand.client.exists(raw.ECHOES):  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(PAUSE_SECONDS)
    newest: Any = stand.client.xrevrange(raw.ECHOES, count=1)
    after: bytes = newest[0][0]
    to_body, to_record = [], []
    for payload in payloads:
        there, back, after = raw.ping(stand.client, payload, after)
        to_body.append(there)
        to_record.append(back)
        await asyncio.sleep(PAUSE_SECONDS)
    return to_body, to_record
