"""streaq: Redis streams, anyio, coredis."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from streaq import Worker

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, SLOTS, URL, Side, async_body, main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

logging.disable(logging.INFO)

SAFE: dict[str, Any] = {"idle_timeout": CLAIM_SECONDS} if CLAIM_SECONDS else {}
made: Any = Worker(redis_url=URL, concurrency=SLOTS, anyio_kwargs={"use_uvloop": True}, **SAFE)
BATCH = 1000


@made.task(timeout=60)  # type: ignore[untyped-decorator]  # the peer's own, unknown to our environment
async def work(number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    await async_body(number, seconds)
    return number


async def one(number: int, seconds: float) -> None:
    """Submit."""
    await work.enqueue(number, seconds, BALLAST)


async def bulk(numbers: Sequence[int], seconds: float) -> None:
    """A pipeline of many."""
    for at in range(0, len(numbers), BATCH):
        await made.enqueue_many([work.enqueue(number, seconds, BALLAST) for number in numbers[at : at + BATCH]])


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """Its connections."""
    async with made:
        yield


def worker() -> None:
    """As its command line runs it."""
    made.run_sync()


if __name__ == "__main__":
    main(Side(one, bulk, worker, opened))
