"""arq: a sorted set polled, asyncio."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, SLOTS, URL, Side, async_body, main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

logging.disable(logging.INFO)

settings = RedisSettings.from_dsn(URL)
pools: list[Any] = []
AT_ONCE = 500


async def work(_ctx: Any, number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    await async_body(number, seconds)
    return number


async def one(number: int, seconds: float) -> None:
    """Submit."""
    await pools[0].enqueue_job("work", number, seconds, BALLAST)


async def bulk(numbers: Sequence[int], seconds: float) -> None:
    """It has no call for many: many calls at once, but not so many that each makes a connection of its own."""
    for at in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(*(one(number, seconds) for number in numbers[at : at + AT_ONCE]))


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """A pool."""
    pools.append(await create_pool(settings))
    yield
    await pools[0].aclose()


def worker() -> None:
    """As its command line runs it."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    more = {"job_timeout": CLAIM_SECONDS} if CLAIM_SECONDS else {}
    Worker([work], redis_settings=settings, max_jobs=SLOTS, poll_delay=0.01, queue_read_limit=5 * SLOTS, **more).run()


if __name__ == "__main__":
    uvloop.install()
    main(Side(one, bulk, worker, opened))
