"""Our own queue, driven as a peer is: from the fields of a job to the queue, validation and all."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from bench.ballast import BALLAST
from bench.peers.side import CLAIM_SECONDS, SLOTS, URL, Side, main
from bench.traced import TASKS
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from lib.jobqueue.protocol import Submission

CATALOGUE = BUILT_IN.with_kinds(*(task.kind for task in TASKS))
queues: list[Queue] = []


def submission(number: int, seconds: float) -> Submission:
    """As `enqueue` makes it of a row."""
    payload = {"number": number, "seconds": seconds, "ballast": BALLAST}
    row = {"request_id": f"job:{number:07d}", "task": "traced", "payload": payload}
    return submission_of(normalize_job_spec(row, catalogue=CATALOGUE), CATALOGUE)


async def one(number: int, seconds: float) -> None:
    """Submit."""
    await producing.submit(queues[0], [submission(number, seconds)])


async def bulk(numbers: Sequence[int], seconds: float) -> None:
    """One call."""
    await producing.submit(queues[0], [submission(number, seconds) for number in numbers])


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    """A queue."""
    queues.append(Queue.over(connect(URL), URL))
    await queues[0].refresh_streams()
    yield
    await queues[0].client.aclose()


def worker() -> None:
    """The program."""
    os.environ |= {"METAL_CONCURRENCY": str(SLOTS), "METAL_QUEUE_MAX": "10"}
    if CLAIM_SECONDS:
        os.environ |= {"WATCHER_SESSION_TTL": str(CLAIM_SECONDS)}
        os.environ |= {"WATCHER_SESSION_RENEW_EVERY": "0.5", "WATCHER_POLL_INTERVAL": "0.5"}
    program = str(Path(sys.executable).parent / "job-watcher")
    os.execv(program, [program, "--quiet", "--consumer-name", os.environ.get("BENCH_NAME", "w")])  # noqa: S606 - in its place


if __name__ == "__main__":
    main(Side(one, bulk, worker, opened))
