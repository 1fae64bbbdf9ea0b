"""RQ: a list and a hash a job; SimpleWorker runs jobs in the worker's own process, which is several times faster."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from redis import Redis
from rq import Queue, Retry
from rq.worker import SimpleWorker

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, URL, Side, body, main

if TYPE_CHECKING:
    from collections.abc import Sequence

logging.disable(logging.INFO)

connection = Redis.from_url(URL)
queue = Queue(connection=connection)
BATCH = 500


def work(number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    body(number, seconds)
    return number


NAME = "bench.peers.rq_side.work"


def _retry() -> Retry | None:
    return Retry(max=3) if CLAIM_SECONDS else None


def one(number: int, seconds: float) -> None:
    """Submit."""
    queue.enqueue(NAME, number, seconds, BALLAST, retry=_retry(), job_timeout=CLAIM_SECONDS or None)


def bulk(numbers: Sequence[int], seconds: float) -> None:
    """Pipelines of many."""
    for at in range(0, len(numbers), BATCH):
        queue.enqueue_many(
            [
                Queue.prepare_data(NAME, (number, seconds, BALLAST), retry=_retry(), timeout=CLAIM_SECONDS or None)
                for number in numbers[at : at + BATCH]
            ]
        )


def worker() -> None:
    """As its command line runs it."""
    more = {"maintenance_interval": 1} if CLAIM_SECONDS else {}
    SimpleWorker([queue], connection=connection, **more).work(logging_level="ERROR")


if __name__ == "__main__":
    main(Side(one, bulk, worker))
