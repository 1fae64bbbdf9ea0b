"""Outputs that a host stores by itself: proven here, named in the record, and never lost on the way."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.crashes import ChildCrashedError
from job_watcher.execution import Execution
from job_watcher.hosts.batches import BatchRunner
from job_watcher.retrying import RetryPolicy
from job_watcher.work_dirs import WorkDirs, id_hash
from lib.clock import SystemClock
from lib.jobqueue.protocol import Ending
from lib.stores.handover import ClaimBrokenError
from lib.voice_synth.library import VoiceLibrary
from tests.job_watcher.hosts.batching import Jobs, job, lease_of
from tests.lib.stores.s3_bench import PREFIX, S3Bench
from tests.support.buckets import CREDENTIALS, BrokenRoad, BucketServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.stores.artifacts import StoredOutput
    from lib.stores.handover import Claim, Handover, PresignedPut
    from lib.tasks.base import TaskResult
    from tests.job_watcher.hosts.local_host import LocalHost

FILES = ["take_01.wav", "takes.meta.json", "text.txt", "result.json"]


@pytest.fixture(scope="session")
def bucket_server() -> Iterator[BucketServer]:
    """One S3 server for the tests here."""
    server = BucketServer()
    yield server
    server.close()


@pytest.fixture
def s3(bucket_server: BucketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3Bench:
    """An empty store in a bucket of its own."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    return S3Bench(tmp_path, bucket_server, bucket_server.new_bucket())


@pytest.fixture
async def stored_jobs(local_host: LocalHost, s3: S3Bench, tmp_path: Path) -> AsyncIterator[Jobs]:
    """A runner whose host stores its files itself."""
    (tmp_path / "work").mkdir()
    runner = BatchRunner(local_host, VoiceLibrary(tmp_path / "voices"), most_jobs=4, handover=s3.store.handover())
    yield Jobs(runner, local_host, tmp_path / "work")
    await runner.aclose()


def place_of(spec: JobSpec) -> str:
    """Where its attempt is in the store."""
    return f"{id_hash(spec.request_id)}/1-7"


async def test_a_host_stores_its_files_itself(stored_jobs: Jobs, s3: S3Bench) -> None:
    """By presigned requests: nothing is left for the watcher to store, and each file was read back here."""
    spec = job()
    result = await stored_jobs.give(spec)
    assert result.outputs == ()
    assert [item.name for item in result.stored] == FILES
    assert {item.uri for item in result.stored} == {
        f"s3://{s3.name}/{PREFIX}/.store/{place_of(spec)}/{name}" for name in FILES
    }
    stored = s3.stored()
    assert sorted(stored) == sorted(f"{place_of(spec)}/{name}" for name in FILES)
    assert stored[f"{place_of(spec)}/text.txt"] == b"A line to say."
    assert result.result is not None
    assert result.result["takes"][0]["file"] == "take_01.wav"


async def test_the_host_keeps_no_presigned_request_on_its_disk(stored_jobs: Jobs) -> None:
    """They come over the wire and go into memory."""
    await stored_jobs.give(job())
    assert stored_jobs.host.processes[0].told[-1].startswith('{"upload":')
    files = [path for path in stored_jobs.host.root.rglob("*") if path.is_file()]
    assert not [path for path in files if b"X-Amz" in path.read_bytes()]


@pytest.mark.parametrize(("method", "fault"), [("PUT", "denied"), ("PUT", "expired"), ("GET", "denied")])
async def test_what_the_store_does_not_take_is_fetched(
    local_host: LocalHost, s3: S3Bench, road: BrokenRoad, tmp_path: Path, method: str, fault: Any
) -> None:
    """A host that the store refuses, or that came too late, or a look that is refused: the watcher stores the files."""
    road.breaks(method, "take_01.wav", fault, times=100)
    beside = s3.beside(road.url)
    runner = BatchRunner(local_host, VoiceLibrary(tmp_path / "voices"), most_jobs=4, handover=beside.store.handover())
    (tmp_path / "work").mkdir()
    result = await Jobs(runner, local_host, tmp_path / "work").give(job())
    assert result.stored == ()
    assert [output.name for output in result.outputs] == FILES
    # What had been stored before is the same, so storing all is no conflict.
    assert len(await s3.store.put(place_of(job()), result.outputs)) == len(FILES)
    await runner.aclose()


@pytest.fixture
def road(bucket_server: BucketServer) -> Iterator[BrokenRoad]:
    """A way to the S3 server that can be broken."""
    with BrokenRoad(bucket_server.port) as broken:
        yield broken


async def test_an_upload_that_a_store_corrupts_is_no_job_that_is_done(
    local_host: LocalHost, s3: S3Bench, tmp_path: Path
) -> None:
    """Other bytes stand in the store than were claimed: refused, and the host gets nothing more."""
    spec = job()
    s3.bucket.put_new(f"{PREFIX}/.store/{place_of(spec)}/take_01.wav", b"RIFFRAFF", "0" * 64)
    runner = BatchRunner(local_host, VoiceLibrary(tmp_path / "voices"), most_jobs=4, handover=s3.store.handover())
    (tmp_path / "work").mkdir()
    with pytest.raises(ClaimBrokenError, match=r"host-1: .*take_01\.wav is not what was claimed"):
        await Jobs(runner, local_host, tmp_path / "work").give(spec)
    assert runner.fault is not None
    await runner.aclose()


class SlowGrants:
    """A store that grants nothing until it is let to."""

    def __init__(self, handover: Handover) -> None:
        self._handover = handover
        self.asked = 0
        self.let = asyncio.Event()

    async def grants(self, job_dir: str, claims: Sequence[Claim], seconds: float) -> Mapping[str, PresignedPut]:
        """Late."""
        self.asked += 1
        await self.let.wait()
        return await self._handover.grants(job_dir, claims, seconds)

    async def accept(self, *words: Any) -> list[StoredOutput]:
        """As the store does."""
        return await self._handover.accept(*words)


async def test_a_new_worker_is_not_asked_for_what_the_last_one_made(
    local_host: LocalHost, s3: S3Bench, tmp_path: Path
) -> None:
    """It knows nothing of that job, and to say so would look like a lie: its files are fetched from the disk."""
    (tmp_path / "work").mkdir()
    slow = SlowGrants(s3.store.handover())
    runner = BatchRunner(local_host, VoiceLibrary(tmp_path / "voices"), most_jobs=4, handover=slow)
    jobs = Jobs(runner, local_host, tmp_path / "work")
    made = jobs.give(job("made"))
    await wait_until(lambda: slow.asked)
    with pytest.raises(ChildCrashedError):
        await jobs.give(job("[dies] here"))
    await wait_until(lambda: len(local_host.processes) > 1)
    waits = jobs.give(job("[waits gate] here"))
    await jobs.at_work(job("[waits gate] here"))
    slow.let.set()
    assert [output.name for output in (await made).outputs] == FILES
    jobs.open("gate")
    assert (await waits).stored
    assert runner.fault is None
    await runner.aclose()


class OnHost:
    """A backend that is one host."""

    name = "vast"

    def __init__(self, runner: BatchRunner) -> None:
        self._runner = runner

    async def run(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        *_: object,
    ) -> TaskResult:
        """Give it to the host."""
        return await self._runner.speak(job, lease.attempts_used + 1, lease, work_dir, on_progress)


async def test_the_record_names_what_the_host_has_stored(stored_jobs: Jobs, s3: S3Bench, tmp_path: Path) -> None:
    """From the lease to the ending: the outputs of the record are those objects, published under the output name."""
    spec = job(output_name="night/one")
    work_dirs = WorkDirs(tmp_path / "session", "w1:run-1")
    noted: list[tuple[float, TaskResult]] = []
    execution = Execution(
        backend=OnHost(stored_jobs.runner),  # type: ignore[arg-type]  # what an execution asks of a backend
        store=s3.store,
        work_dirs=work_dirs,
        policy=RetryPolicy(3),
        clock=SystemClock(),
        run_id="run-1",
        on_done=lambda _, seconds, result: noted.append((seconds, result)),
    )
    ending = await execution.run(lease_of(spec), lambda _: None)
    assert isinstance(ending, Ending)
    record = json.loads(b"{" + ending.tail.removeprefix(b"{"))
    assert (record["backend"], ending.publish) == ("vast", True)
    assert [each["uri"] for each in [*record["outputs"]["takes"]]] == [
        f"s3://{s3.name}/{PREFIX}/.store/{place_of(spec)}/take_01.wav"
    ]
    seconds, result = noted[0]
    assert 0 < seconds - result.waited < seconds, "a measure is of the body alone"
    await work_dirs.aclose()
