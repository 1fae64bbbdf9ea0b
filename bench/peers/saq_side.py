"""SAQ: its own Redis queue, asyncio."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvloop
from redis.asyncio import Redis
from saq import Worker
from saq.queue.redis import RedisQueue

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, SLOTS, URL, Side, async_body, main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

logging.disable(logging.INFO)

# A worker blocks on a connection for each of its slots, and the client's own limit is a hundred.
queue = RedisQueue(Redis.from_url(URL, max_connections=1000), max_concurrent_ops=50)
# A job that outlives its timeout counts as stuck and is swept: the only means by which a dead worker's is found.
SAFE: dict[str, Any] = {"timeout": CLAIM_SECONDS, "retries": 3} if CLAIM_SECONDS else {}


async def work(_ctx: Any, *, number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    await async_body(number, seconds)
    return number


async def one(number: int, seconds: float) -> None:
    """Submit."""
    await queue.enqueue("work", number=number, seconds=seconds, ballast=BALLAST, **SAFE)


async def bulk(numbers: Sequence[int], seconds: float) -> None:
    """It has no call for many: many calls at once."""
    await asyncio.gather(*(one(number, seconds) for number in numbers))


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """A connection."""
    await queue.connect()
    yield
    await queue.disconnect()


def worker() -> None:
    """As its command line runs it."""
    made = Worker(queue, [work], concurrency=SLOTS, timers={"sweep": 5} if CLAIM_SECONDS else None)
    asyncio.run(made.start())


if __name__ == "__main__":
    uvloop.install()
    main(Side(one, bulk, worker, opened))
