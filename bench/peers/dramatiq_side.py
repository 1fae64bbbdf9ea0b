"""Dramatiq with its Redis broker: threads."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, SLOTS, URL, Side, body, main

if TYPE_CHECKING:
    from collections.abc import Sequence

logging.disable(logging.INFO)

MORE: dict[str, Any] = (
    {"heartbeat_timeout": CLAIM_SECONDS * 1000, "maintenance_chance": 1_000_000} if CLAIM_SECONDS else {}
)
broker = RedisBroker(url=URL, **MORE)
broker.add_middleware(Results(backend=RedisBackend(url=URL), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor(max_retries=3)  # type: ignore[untyped-decorator]  # the peer's own, unknown to our environment
def work(number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    body(number, seconds)
    return number


def one(number: int, seconds: float) -> None:
    """Submit."""
    work.send(number, seconds, BALLAST)


def bulk(numbers: Sequence[int], seconds: float) -> None:
    """A group's messages go one by one too: it has no call for many."""
    for number in numbers:
        one(number, seconds)


def worker() -> None:
    """Its command line, with one process."""
    words = ("--processes", "1", "--threads", str(SLOTS), "--skip-logging", "bench.peers.dramatiq_side")
    os.execv(sys.executable, [sys.executable, "-m", "dramatiq", *words])  # noqa: S606 - in this process's place


if __name__ == "__main__":
    main(Side(one, bulk, worker))
