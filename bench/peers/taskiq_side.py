"""taskiq with the stream broker of taskiq-redis, the one of its brokers that acknowledges."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from taskiq.serializers import ORJSONSerializer
from taskiq_redis import RedisAsyncResultBackend, RedisStreamBroker

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, SLOTS, URL, Side, async_body, main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

logging.disable(logging.INFO)

MORE: dict[str, Any] = (
    {"idle_timeout": CLAIM_SECONDS * 1000, "unacknowledged_lock_timeout": CLAIM_SECONDS} if CLAIM_SECONDS else {}
)
broker = (
    RedisStreamBroker(URL, consumer_id="0", xread_block=1000, **MORE)
    .with_result_backend(RedisAsyncResultBackend(URL, serializer=ORJSONSerializer()))
    .with_serializer(ORJSONSerializer())
)
AT_ONCE = 500


@broker.task(task_name="work")  # type: ignore[untyped-decorator]  # the peer's own, unknown to our environment
async def work(number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    await async_body(number, seconds)
    return number


async def one(number: int, seconds: float) -> None:
    """Submit."""
    await work.kiq(number, seconds, BALLAST)


async def bulk(numbers: Sequence[int], seconds: float) -> None:
    """It has no call for many: many calls at once."""
    for at in range(0, len(numbers), AT_ONCE):
        await asyncio.gather(*(one(number, seconds) for number in numbers[at : at + AT_ONCE]))


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """Its connections."""
    await broker.startup()
    yield
    await broker.shutdown()


def worker() -> None:
    """Its command line, with one process."""
    words = ["worker", "--workers", "1", "--max-async-tasks", str(SLOTS), "--max-prefetch", "100", "--no-parse"]
    words += ["--log-level", "ERROR", "bench.peers.taskiq_side:broker"]
    os.execv(sys.executable, [sys.executable, "-m", "taskiq", *words])  # noqa: S606 - in this process's place


if __name__ == "__main__":
    main(Side(one, bulk, worker, opened))
