"""The queue in ten small steps. Read from top to bottom; every object here is the real one.

A *job* is known by its request_id. It is *queued*, *leased* by a watcher, and in the end *done*, *failed* or
*cancelled*, which its *record* says for good. Between them stands one Redis, here the bundled Valkey.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service import again, outcomes
from job_runner.service.cancel import cancel
from job_runner.service.submit import enqueue
from lib.jobfile import FileJob
from lib.jobqueue import normalize_job_spec
from lib.settings import Settings
from tests.support.hand import HandWatcher, hand_watcher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.jobqueue import JobSpec
    from lib.redisqueue.queue import Queue


@pytest.fixture
def settings(valkey_url: str, prefix: str) -> Settings:
    """Everything that can be set, from an environment that sets two things."""
    return Settings.load({"REDIS_URL": valkey_url, "JOBS_PREFIX": prefix, "HOME": "/tmp"})  # noqa: S108 - nothing is written


@pytest.fixture
async def watcher(valkey_url: str, prefix: str) -> AsyncIterator[HandWatcher]:
    """A watcher that works when it is told to, so that each step can be looked at."""
    async with hand_watcher(valkey_url, prefix) as opened:
        yield opened


@pytest.fixture
def queue(watcher: HandWatcher) -> Queue:
    """The queue that this watcher works on."""
    return watcher.queue


def a_job(text: str = "Good morning.") -> JobSpec:
    """What a row of a job file becomes: validated, with every default filled in."""
    return normalize_job_spec({"output_name": "news/morning", "voice": "newsroom", "text": text})


async def status_of(queue: Queue, request_id: str = "news:morning") -> str:
    """Where a job is now."""
    return (await outcomes.result(queue, request_id)).status


async def record_of(queue: Queue, request_id: str = "news:morning") -> dict[str, Any]:
    """The last word about a job."""
    found = await outcomes.result(queue, request_id)
    assert found.record is not None
    return found.record


def test_a_job_is_known_by_its_request_id() -> None:
    """Without one of its own, it takes the name of its output; its content has a hash."""
    job = a_job()
    assert job.request_id == "news:morning"
    assert job.content_hash == a_job().content_hash
    assert job.content_hash != a_job("Good evening.").content_hash


async def test_submit_once(queue: Queue, settings: Settings) -> None:
    """Accepted is kept: the answer comes after the job is in the queue."""
    done = await enqueue(queue, settings, [a_job()])
    assert done.rows[0].status == "queued"
    assert done.durability_text == "memory"
    assert await status_of(queue) == "queued"


async def test_submit_twice(queue: Queue, settings: Settings) -> None:
    """Once by name: the same job again is a duplicate, and a duplicate is no error."""
    await enqueue(queue, settings, [a_job()])
    again_ = await enqueue(queue, settings, [a_job()])
    assert again_.rows[0].status == "duplicate_request"
    assert not again_.refused


async def test_a_watcher_does_it(queue: Queue, settings: Settings, watcher: HandWatcher) -> None:
    """A lease comes with a fence; whoever has it may end the job, once."""
    await enqueue(queue, settings, [a_job()])
    (lease,) = await watcher.lease()
    assert await status_of(queue) == "leased"

    await watcher.done(lease, result={"said": "Good morning."})
    assert await status_of(queue) == "done"
    record = await record_of(queue)
    assert record["result"] == {"said": "Good morning."}
    assert str(record["fence"]) == lease.fence


async def test_a_done_job_is_not_done_again(queue: Queue, settings: Settings, watcher: HandWatcher) -> None:
    """The record is the memory: enqueue the same file every night, and pay once."""
    await enqueue(queue, settings, [a_job()])
    await watcher.all_done()
    done = await enqueue(queue, settings, [a_job()])
    assert done.rows[0].status == "already_done"
    assert await watcher.lease() == ()


async def test_other_content_under_a_known_name_is_a_conflict(
    queue: Queue, settings: Settings, watcher: HandWatcher
) -> None:
    """Somebody changed the text: the queue does not guess which of the two is meant."""
    await enqueue(queue, settings, [a_job()])
    await watcher.all_done()
    done = await enqueue(queue, settings, [a_job("Good evening.")])
    assert done.rows[0].status == "conflict"
    assert done.refused


async def test_replace_begins_a_new_generation(queue: Queue, settings: Settings, watcher: HandWatcher) -> None:
    """Said on purpose, the new content takes the name, and its record follows the old one."""
    await enqueue(queue, settings, [a_job()])
    await watcher.all_done()
    before = await record_of(queue)

    done = await enqueue(queue, settings, [a_job("Good evening.")], replace=True)
    assert done.rows[0].status == "queued"
    await watcher.all_done()
    after = await record_of(queue)
    assert after["generation"] > before["generation"]
    assert after["content_hash"] == a_job("Good evening.").content_hash


async def test_cancel(queue: Queue, settings: Settings, watcher: HandWatcher) -> None:
    """A waiting job ends at once; a running one ends as surely, whatever its watcher still says."""
    await enqueue(queue, settings, [a_job()])
    await cancel(queue, ["news:morning"])
    assert await status_of(queue) == "cancelled"
    assert await watcher.lease() == ()


async def test_a_failure_says_why_and_retry_tries_again(queue: Queue, settings: Settings, watcher: HandWatcher) -> None:
    """The record of a failure keeps the job, so that it can begin anew."""
    await enqueue(queue, settings, [a_job()])
    (lease,) = await watcher.lease()
    await watcher.failed(lease, "the engine was not installed")
    record = await record_of(queue)
    assert (record["status"], record["error"]) == ("failed", "the engine was not installed")
    assert record["job"]["text"] == "Good morning."

    retried = await again.retry(queue, settings, ["news:morning"])
    assert retried.rows[0].status == "queued"
    await watcher.all_done()
    assert await status_of(queue) == "done"


async def test_a_report_of_all(queue: Queue, settings: Settings, watcher: HandWatcher) -> None:
    """What became of a file's jobs, in its order."""
    jobs = [normalize_job_spec({"request_id": name, "task": "debug"}) for name in ("one", "two", "three")]
    await enqueue(queue, settings, jobs[:2])
    leases = await watcher.lease()
    await watcher.done(leases[0])
    report = await outcomes.report(queue, (FileJob(index, index + 1, job) for index, job in enumerate(jobs)))
    assert [(row.request_id, row.found.status) for row in report.rows] == [
        ("one", "done"),
        ("two", "leased"),
        ("three", "not_found"),
    ]
