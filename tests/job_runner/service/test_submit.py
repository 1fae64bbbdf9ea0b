"""Submitting without a terminal: rows, summaries, chunks, durability in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from job_runner.service.durability import Durability
from job_runner.service.submit import CHUNK_JOBS, Enqueued, EnqueuedRow, enqueue
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.settings import Settings
from tests.support.hand import open_test_queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lib.redisqueue.queue import Queue


@pytest.fixture
def settings(valkey_url: str, prefix: str) -> Settings:
    """A queue of this test's own."""
    return Settings.load({"REDIS_URL": valkey_url, "JOBS_PREFIX": prefix, "HOME": "/tmp"})  # noqa: S108 - nothing is written


@pytest.fixture
async def queue(valkey_url: str, prefix: str) -> AsyncIterator[Queue]:
    """Ditto."""
    async with open_test_queue(valkey_url, prefix) as opened:
        yield opened


def _job(name: str, **fields: object) -> JobSpec:
    return normalize_job_spec({"request_id": name, "task": "debug", **fields})


async def test_rows_are_in_the_order_given(queue: Queue, settings: Settings) -> None:
    """Over several chunks, with an index of each."""
    names = [f"r{i}" for i in range(CHUNK_JOBS + 5)]
    done = await enqueue(queue, settings, map(_job, names))
    assert [row.request_id for row in done.rows] == names
    assert [row.index for row in done.rows] == list(range(len(names)))
    assert done.summary == {"queued": len(names)}


async def test_jobs_are_read_as_they_are_sent(queue: Queue, settings: Settings) -> None:
    """An endless source is not read to its end first: memory does not grow with the file."""
    read = 0

    def source() -> Iterator[JobSpec]:
        nonlocal read
        for i in range(CHUNK_JOBS + 1):
            read = i + 1
            yield _job(f"r{i}")
        raise RuntimeError("the file ends here, badly")

    with pytest.raises(RuntimeError):
        await enqueue(queue, settings, source())
    assert read == CHUNK_JOBS + 1
    assert await queue.client.hlen(queue.keys.of("index")) == CHUNK_JOBS


async def test_the_same_id_twice_in_one_call(queue: Queue, settings: Settings) -> None:
    """The first is queued; the second is a duplicate or, with other content, a conflict."""
    done = await enqueue(queue, settings, [_job("a"), _job("a"), _job("a", payload={"message": "other"})])
    assert [row.status for row in done.rows] == ["queued", "duplicate_request", "conflict"]
    assert done.refused


async def test_big_jobs_go_in_more_batches(queue: Queue, settings: Settings) -> None:
    """A batch stays under 512 KiB, whatever the jobs weigh."""
    jobs = [_job(f"r{i}", payload={"message": "x" * 100_000}) for i in range(20)]
    before = int((await queue.client.info("commandstats")).get("cmdstat_evalsha", {}).get("calls", 0))
    done = await enqueue(queue, settings, jobs)
    after = int((await queue.client.info("commandstats"))["cmdstat_evalsha"]["calls"])
    assert done.summary == {"queued": 20}
    assert after - before >= 4


async def test_an_attempt_is_carried(queue: Queue, settings: Settings) -> None:
    """A job that comes with attempts keeps them."""
    done = await enqueue(queue, settings, [_job("a", attempt=2)])
    assert done.rows[0].attempt == 2


def _row(status: str) -> EnqueuedRow:
    return EnqueuedRow(0, "a", None, status, None, 0)  # type: ignore[arg-type]  # one of the codes


@pytest.mark.parametrize(
    ("status", "refused"),
    [
        ("queued", False),
        ("duplicate_request", False),
        ("already_done", False),
        ("already_failed", False),
        ("already_cancelled", False),
        ("conflict", True),
        ("key_busy", True),
    ],
)
def test_which_answers_are_refusals(status: str, *, refused: bool) -> None:
    """Duplicates are no error; a job that is not in the queue as asked is one."""
    assert Enqueued((_row(status),), Durability("memory")).refused is refused


@pytest.mark.parametrize(
    ("durability", "reached", "text", "short"),
    [
        (Durability("memory"), None, "memory", False),
        (Durability("fsynced"), None, "fsynced", False),
        (Durability("replicated", 2), 2, "replicated(2)", False),
        (Durability("replicated", 2), 3, "replicated(3)", False),
        (Durability("replicated", 2), 1, "replicated(1)", True),
    ],
)
def test_durability_in_words(durability: Durability, reached: int | None, text: str, *, short: bool) -> None:
    """What is said is what was reached, not what was asked for."""
    done = Enqueued((), durability, reached)
    assert (done.durability_text, done.short_of_replicas) == (text, short)
    assert done.document()["durability"] == text
