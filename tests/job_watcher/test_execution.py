"""One leased job from its bytes to its ending, with the real backend and a real store."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from job_watcher.backends.metal import Metal
from job_watcher.execution import Execution
from job_watcher.metrics.counts import Counts
from job_watcher.metrics.stopwatch import Stopwatch
from job_watcher.retrying import RetryPolicy, middle
from job_watcher.work_dirs import LOCK_NAME, WorkDirs, id_hash
from lib.clock import SystemClock
from lib.jobqueue.protocol import Ending, Retry
from lib.jobqueue.records import recorded_outputs
from lib.stores.artifacts import LocalArtifacts
from tests.support.running import alive, lease_of, registry, settings_in, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.jobqueue import JobSpec

HEAD = b'{"schema_version":1,"generation":1000,"fence":1001,'


@dataclass
class Place:
    """An execution and the directories that it uses."""

    execution: Execution
    work: Path
    output: Path

    async def run(self, job: JobSpec, **lease: Any) -> Ending | Retry:
        """Run it with nobody watching."""
        return await self.execution.run(lease_of(job, **lease), lambda _: None)

    def left(self) -> list[Path]:
        """What attempts have left behind."""
        return [entry for home in self.work.glob("*") for entry in home.iterdir() if entry.name != LOCK_NAME]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """Everything real, delays without jitter."""
    settings = settings_in(tmp_path)
    backend = Metal(registry(), settings)
    work_dirs = WorkDirs(settings.watcher_work_dir, "w1:run-1")
    execution = Execution(
        backend=backend,
        store=LocalArtifacts(settings.watcher_output_root),
        work_dirs=work_dirs,
        policy=RetryPolicy(settings.watcher_max_crashes, chance=middle),
        clock=SystemClock(),
        run_id="run-1",
    )
    yield Place(execution, settings.watcher_work_dir, settings.watcher_output_root)
    await backend.aclose()
    await work_dirs.aclose()


def record_of(outcome: Ending | Retry) -> dict[str, Any]:
    """The record as the queue would keep it."""
    assert isinstance(outcome, Ending)
    head = HEAD + (b"" if b'"status"' in outcome.tail else f'"status":"{outcome.status}",'.encode())
    record: dict[str, Any] = json.loads(head + outcome.tail)
    return record


async def test_the_slot_is_left_before_the_outputs_are_stored(place: Place) -> None:
    """The end of the body is told once, when nothing of it runs any more and nothing is stored yet."""
    stored: list[bool] = []
    job = spec("write_output", payload={"files": {"a.txt": "x"}})
    await place.execution.run(lease_of(job), lambda _: None, lambda: stored.append((place.output / ".store").exists()))
    assert stored == [False]
    assert (place.output / ".store").exists()


async def test_a_done_job_has_a_whole_record(place: Place) -> None:
    """Who ran it, where, when, and what it gave, with the caller's own data untouched."""
    job = spec("debug", payload={"message": "hi"}, callback_data={"n": [1, {}]}, ttl_seconds=60)
    outcome = await place.run(job)
    assert isinstance(outcome, Ending)
    assert (outcome.request_id, outcome.fence, outcome.status) == ("job-1", "1001", "done")
    assert (outcome.ttl_ms, outcome.publish) == (60_000, False)
    record = record_of(outcome)
    assert record["task"] == "debug"
    assert record["backend"] == "metal"
    assert record["run_id"] == "run-1"
    assert record["queued_at"] == "2026-01-01T00:00:00.000Z"
    assert record["started_at"] <= record["completed_at"]
    assert record["duration_sec"] >= 0
    assert record["result"] == {"message": "hi", "attempt": 1}
    assert record["callback_data"] == {"n": [1, {}]}
    assert record["content_hash"] == job.content_hash
    assert "outputs" not in record


@pytest.mark.parametrize("task", ["write_output", "write_output_inline"])
async def test_outputs_are_stored_with_size_and_digest(place: Place, task: str) -> None:
    """Each named file exists under a name of this attempt's own, with the recorded bytes; and is to be published."""
    files = {"best.wav": "the best", "take_01.wav": "the first", "takes.meta.json": "{}"}
    outcome = await place.run(spec(task, payload={"files": files}, output_name="topic/beat"))
    assert isinstance(outcome, Ending)
    assert outcome.publish
    assert outcome.ttl_ms == 0
    outputs = recorded_outputs(record_of(outcome))
    assert {output.name: output.kind for output in outputs} == {
        "best.wav": "best",
        "take_01.wav": "take",
        "takes.meta.json": "meta",
    }
    best = record_of(outcome)["outputs"]["best"]
    assert best["published"] == (place.output / "topic/beat/best.wav").as_uri()
    for output in outputs:
        stored = Path(unquote(urlsplit(output.uri).path))
        assert f"{id_hash('job-1')}/1000-1001" in str(stored)
        content = stored.read_bytes()
        assert content.decode() == files[output.name]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (output.bytes, output.sha256)


async def test_without_an_output_name_nothing_is_published(place: Place) -> None:
    """The bytes are kept under the record; there is no name to publish them under."""
    outcome = await place.run(spec("write_output", payload={"files": {"best.wav": "x"}}))
    assert isinstance(outcome, Ending)
    assert not outcome.publish
    assert recorded_outputs(record_of(outcome))


async def test_a_name_that_is_no_file_name_is_no_danger(place: Place) -> None:
    """A request_id may hold slashes and dots and be long; directories are named by its hash."""
    request_id = "../../" + "é" * 200
    outcome = await place.run(spec("write_output", request_id=request_id, payload={"files": {"a.txt": "x"}}))
    (output,) = recorded_outputs(record_of(outcome))
    assert Path(unquote(urlsplit(output.uri).path)).is_relative_to(place.output)


async def test_every_attempt_gets_an_empty_directory_that_goes(place: Place) -> None:
    """Done, failed, retried and crashed attempts all leave nothing; leftovers of the same name are gone before."""
    for task in ("write_output", "fail_permanent", "fail_temporary", "kill_self", "no_such_task"):
        await place.run(spec(task, payload={"files": {"a.txt": "x"}} if task == "write_output" else {}))
        assert place.left() == []
    lease = lease_of(spec("write_output", payload={"files": {"a.txt": "x"}}))
    (home,) = place.work.glob("*")
    leftover = home / f"{id_hash('job-1')}-1001"
    leftover.mkdir()
    (leftover / "a.txt").mkdir()
    outcome = await place.execution.run(lease, lambda _: None)
    assert isinstance(outcome, Ending)
    assert outcome.status == "done"


async def test_bytes_that_are_no_job_are_a_permanent_failure(place: Place) -> None:
    """Stage validate, the bytes kept; nothing is run."""
    for raw in (b"\xff\x00 junk", b"{}", b'{"request_id":"job-1","task":"debug","no_such_field":1}'):
        lease = lease_of(spec("debug"))._replace(job=raw)
        outcome = await place.execution.run(lease, lambda _: None)
        record = record_of(outcome)
        assert (record["status"], record["error_type"], record["stage"]) == ("failed", "permanent", "validate")
        assert base64.b64decode(record["job_bytes"]) == raw
        assert record["request_id"] == "job-1"


async def test_every_run_is_timed_where_somebody_asks(place: Place) -> None:
    """Also that of a job which cannot be read; the job is read once for both."""
    counts = Counts()
    timed = replace(place.execution, stopwatch=Stopwatch(counts, SystemClock(), {"debug"}))
    lease = lease_of(spec("debug"))
    await timed.run(lease, lambda _: None)
    await timed.run(lease._replace(job=b"{}"), lambda _: None)
    assert sorted(counts.runs) == [("debug", "metal", "done"), ("other", "metal", "failed")]


async def test_a_record_names_the_backlog_that_a_retry_goes_back_to(place: Place) -> None:
    """Done or failed; the default backlog is not named."""
    for task, named in (("fail_permanent", "night"), ("debug", "night"), ("debug", None)):
        home = "backlog:night:high:any" if named else "stream:high:any"
        lease = lease_of(spec(task))._replace(home=home)
        record = record_of(await place.execution.run(lease, lambda _: None))
        assert record.get("backlog") == named


async def test_a_permanent_error_fails_at_once(place: Place) -> None:
    """On the first attempt, with message and hint, and the job kept so that it can be queued again."""
    record = record_of(await place.run(spec("fail_permanent", payload={"message": "no such voice"})))
    assert (record["error_type"], record["stage"]) == ("permanent", "execute")
    assert record["error"] == "no such voice (hint: mend the input)"
    assert record["job"]["payload"] == {"message": "no such voice"}
    assert record["run_id"] == "run-1"


async def test_a_temporary_error_is_tried_again_until_it_is_not(place: Place) -> None:
    """30 s, then 2 min, then failed as transient_exhausted, since max_attempts is 3."""
    job = spec("fail_temporary", payload={"message": "busy"})
    for used, delay_ms in ((0, 30_000), (1, 120_000)):
        outcome = await place.run(job, attempts_used=used)
        assert isinstance(outcome, Retry)
        assert (outcome.kind, outcome.delay_ms, outcome.lease.attempts_used) == ("attempt", delay_ms, used)
    record = record_of(await place.run(job, attempts_used=2))
    assert (record["error_type"], record["error"]) == ("transient_exhausted", "busy (hint: later)")


async def test_a_deadline_is_tried_again_and_ends_as_timeout(place: Place) -> None:
    """Temporary like a lost host; the last attempt's record says timeout."""
    job = spec("hang", timeout_seconds=0.3, max_attempts=2)
    assert isinstance(await place.run(job), Retry)
    record = record_of(await place.run(job, attempts_used=1))
    assert record["error_type"] == "timeout"
    assert "0.3 s" in record["error"]


async def test_a_crash_counts_apart_and_ends_as_poison(place: Place) -> None:
    """A dying child uses up no attempt; the third death is poison, with the signal named and the bytes kept."""
    job = spec("kill_self", max_attempts=1)
    outcome = await place.run(job, crashes=1)
    assert isinstance(outcome, Retry)
    assert outcome.kind == "crash"
    assert outcome.delay_ms > 0
    record = record_of(await place.run(job, crashes=2))
    assert (record["error_type"], record["stage"]) == ("poison", "execute")
    assert "SIGKILL" in record["error"]
    assert record["job"]["task"] == "kill_self"


async def test_a_mistake_of_the_watcher_is_no_endless_loop(place: Place) -> None:
    """Promise 7: what fails in the watcher's own code counts as a crash, and ends as poison with its job kept."""
    job = spec("debug", callback_url=None)
    again = place.execution.after_bug(lease_of(job), KeyError("what"))
    assert isinstance(again, Retry)
    assert again.kind == "crash"
    record = record_of(place.execution.after_bug(lease_of(job, crashes=2), KeyError("what")))
    assert (record["error_type"], record["job"]["request_id"]) == ("poison", job.request_id)
    assert "KeyError: 'what'" in record["error"]

    class MuteError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert "MuteError" in record_of(place.execution.after_bug(lease_of(job, crashes=2), MuteError()))["error"]


async def test_an_output_outside_the_work_directory_is_refused(place: Place) -> None:
    """A body cannot make the watcher store a file that is not its own."""
    job = spec("write_output", payload={"files": {"a.txt": "x"}, "where": "outside"})
    record = record_of(await place.run(job))
    assert record["error_type"] == "permanent"
    assert "outside its work directory" in record["error"]


async def test_a_store_that_fails_is_temporary(place: Place) -> None:
    """The output root cannot be written: the job is not to blame; the last attempt says stage upload."""
    place.output.parent.mkdir(parents=True, exist_ok=True)
    place.output.write_text("a file where a directory belongs")
    job = spec("write_output", payload={"files": {"a.txt": "x"}}, max_attempts=2)
    outcome = await place.run(job)
    if isinstance(outcome, Retry):
        outcome = await place.run(job, attempts_used=1)
    assert record_of(outcome)["stage"] == "upload"


async def test_a_full_work_directory_is_temporary(place: Place) -> None:
    """No place to work is another attempt's luck, not the job's fault."""
    place.work.parent.mkdir(parents=True, exist_ok=True)
    place.work.write_text("a file where a directory belongs")
    for task in ("write_output", "write_output_inline"):
        outcome = await place.run(spec(task, payload={"files": {"a.txt": "x"}}))
        assert isinstance(outcome, Retry)
        assert outcome.kind == "attempt"
    place.work.unlink()


@pytest.mark.parametrize("task", ["hang", "hang_inline"])
async def test_a_cancel_passes_through_and_leaves_nothing(place: Place, tmp_path: Path, task: str) -> None:
    """Cancelling is how a job is stopped: no process, no directory, and the next job runs."""
    log = tmp_path / "runs"
    running = asyncio.create_task(place.run(spec(task, payload={"run_log": str(log)})))
    await wait_until(lambda: log.exists() and log.read_text(), what="the body runs")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert place.left() == []
    if task == "hang":
        assert not alive(int(log.read_text()))
    assert isinstance(await place.run(spec("debug")), Ending)


@pytest.mark.parametrize("task", ["report", "report_inline"])
async def test_progress_is_throttled_and_ends_with_the_last(place: Place, task: str) -> None:
    """Of thousands of reports a handful pass, the last one among them, each with its time; none after the end."""
    seen: list[dict[str, Any]] = []
    job = spec(task, payload={"times": 5000, "message": "at it"})
    record = record_of(await place.execution.run(lease_of(job), seen.append))
    at_the_end = len(seen)
    seconds = record["duration_sec"]
    assert 1 <= at_the_end <= 3 + 5 * (seconds + 1)
    assert {key: seen[-1][key] for key in ("percent", "step", "total", "message")} == {
        "percent": 100.0,
        "step": 5000,
        "total": 5000,
        "message": "at it",
    }
    assert seen[-1]["at"].endswith("Z")
    await place.run(spec("debug"))
    assert len(seen) == at_the_end


@pytest.mark.parametrize("task", ["large_result", "large_result_inline"])
async def test_a_huge_result_fails_the_job_and_nothing_else(place: Place, task: str) -> None:
    """A record lives in memory: bulk is refused with a way out, from a child and inline alike."""
    record = record_of(await place.run(spec(task, payload={"megabytes": 1})))
    assert record["error_type"] == "permanent"
    assert "write it to a file" in record["error"]


async def test_two_attempts_of_one_job_store_beside_each_other(place: Place) -> None:
    """A late writer can never change bytes under a record: each fence has a place of its own."""
    uris = []
    for fence in ("1001", "1002"):
        job = spec("write_output", payload={"files": {"a.txt": "x"}})
        outcome = await place.execution.run(lease_of(job, fence=fence), lambda _: None)
        uris.append(recorded_outputs(record_of(outcome))[0].uri)
    assert uris[0] != uris[1]
