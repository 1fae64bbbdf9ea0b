"""Celery with Redis as broker and result backend."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from celery import Celery

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, SLOTS, URL, Side, body, main

if TYPE_CHECKING:
    from collections.abc import Sequence

logging.disable(logging.INFO)

# At its defaults it looks for what nobody acknowledged every 100 s.
RESTORE = {"visibility_timeout": CLAIM_SECONDS, "unacked_restore_interval": 1, "unacked_restore_throttle": 1}
app = Celery("bench", broker=URL, backend=URL)
app.conf.update(
    task_serializer="json",
    result_serializer="json",
    worker_prefetch_multiplier=1 if CLAIM_SECONDS else 64,
    task_acks_late=bool(CLAIM_SECONDS),
    task_reject_on_worker_lost=bool(CLAIM_SECONDS),
    broker_transport_options=RESTORE if CLAIM_SECONDS else {},
    broker_connection_retry_on_startup=True,
    worker_send_task_events=False,
)


@app.task(name="bench.work")  # type: ignore[untyped-decorator]  # the peer's own, unknown to our environment
def work(number: int, seconds: float, ballast: str) -> int:  # noqa: ARG001 - carried along
    """The job."""
    body(number, seconds)
    return number


def one(number: int, seconds: float) -> None:
    """Submit."""
    work.delay(number, seconds, BALLAST)


def bulk(numbers: Sequence[int], seconds: float) -> None:
    """One producer for all; a group would do the same."""
    with app.producer_or_acquire() as producer:
        for number in numbers:
            work.apply_async((number, seconds, BALLAST), producer=producer)


def worker() -> None:
    """Its command line."""
    # In its own process it is quickest by far; threads only where several jobs must be in hand at once.
    pool = ["--pool", "solo" if SLOTS == 1 else "threads"]
    lean = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["worker", *pool, "--concurrency", str(SLOTS), *lean, "--loglevel", "ERROR"])


if __name__ == "__main__":
    main(Side(one, bulk, worker))
