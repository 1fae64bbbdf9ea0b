"""huey: a list popped by threads; what was popped is nowhere but in the worker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from huey import RedisHuey

from bench.ballast import BALLAST
from bench.peers.side import SLOTS, URL, Side, body, main

if TYPE_CHECKING:
    from collections.abc import Sequence

logging.disable(logging.INFO)

huey = RedisHuey("bench", url=URL, results=True)


@huey.task()  # type: ignore[untyped-decorator]  # the peer's own, unknown to our environment
def work(number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    body(number, seconds)
    return number


def one(number: int, seconds: float) -> None:
    """Submit."""
    work(number, seconds, BALLAST)


def bulk(numbers: Sequence[int], seconds: float) -> None:
    """It has no call for many."""
    for number in numbers:
        one(number, seconds)


def worker() -> None:
    """As its command line runs it."""
    huey.create_consumer(workers=SLOTS, worker_type="thread", initial_delay=0.01, max_delay=0.01, periodic=False).run()


if __name__ == "__main__":
    main(Side(one, bulk, worker))
