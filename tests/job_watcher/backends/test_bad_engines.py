"""A speech engine that hangs, runs out of memory, dies or gives rubbish: its job is typed, its child replaced.

The engines are scripted, the rest is ours: takes, child process, backend, execution, store.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.backends.metal import Metal
from job_watcher.execution import Execution
from job_watcher.retrying import RetryPolicy, middle
from job_watcher.work_dirs import LOCK_NAME, WorkDirs
from lib import wiring
from lib.clock import SystemClock
from lib.jobqueue.protocol import Ending, Retry
from lib.stores.artifacts import LocalArtifacts
from tests.support.running import alive, lease_of, settings_in, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lib.jobqueue import JobSpec

LAST_TRY = 2
"""Attempts used before the third and last one."""


class Place:
    """A backend with one slot, and what runs a job on it."""

    def __init__(self, execution: Execution, root: Path) -> None:
        self.execution = execution
        self.root = root
        self.pid_file = root / "pid"

    def job(self, fault: str, *, deterministic: bool = True, timeout_seconds: float = 60.0) -> JobSpec:
        """A job for an engine with this fault."""
        payload = {"fault": fault, "deterministic": deterministic, "pid_file": str(self.pid_file)}
        return spec("speak_badly", payload=payload, timeout_seconds=timeout_seconds)

    async def run(self, job: JobSpec, **lease: Any) -> Ending | Retry:
        """Its outcome."""
        return await self.execution.run(lease_of(job, **lease), lambda _: None)

    @property
    def pid(self) -> int:
        """Of the child that ran last."""
        return int(self.pid_file.read_text())

    def left(self) -> list[Path]:
        """What attempts have left behind."""
        return [each for home in (self.root / "work").glob("*") for each in home.iterdir() if each.name != LOCK_NAME]


@asynccontextmanager
async def _placed(root: Path) -> AsyncIterator[Place]:
    settings = settings_in(root, JOBS_TASK_MODULES="tests.support.bad_speech")
    backend = Metal(wiring.tasks(settings), settings)
    work_dirs = WorkDirs(settings.watcher_work_dir, "w1:run-1")
    store = LocalArtifacts(settings.watcher_output_root)
    policy = RetryPolicy(3, chance=middle)
    execution = Execution(
        backend=backend, store=store, work_dirs=work_dirs, policy=policy, clock=SystemClock(), run_id="run-1"
    )
    try:
        yield Place(execution, root)
    finally:
        await backend.aclose()
        await work_dirs.aclose()


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """One for a test."""
    async with _placed(tmp_path) as found:
        yield found


def record_of(outcome: Ending | Retry) -> dict[str, Any]:
    """The tail of a record."""
    assert isinstance(outcome, Ending), outcome
    found: dict[str, Any] = json.loads(b"{" + outcome.tail)
    return found


async def still_works(place: Place) -> None:
    """The slot is fit for the next job."""
    outcome = await place.run(place.job("none"), fence="9001")
    assert isinstance(outcome, Ending)
    assert outcome.status == "done", outcome.tail


async def test_a_hanging_engine_is_killed_at_the_deadline(place: Place) -> None:
    """A call into an engine that never returns cannot be cancelled: its process is ended, the next job gets a new one.

    It is tried again, hangs this time while it loads, and as that was its last try the record says `timeout`.
    """
    first = await place.run(place.job("hang", timeout_seconds=2.0))
    assert isinstance(first, Retry)
    assert first.kind == "attempt"
    assert not alive(place.pid)
    hung = place.pid
    last = record_of(await place.run(place.job("hang_loading", timeout_seconds=2.0), attempts_used=LAST_TRY))
    assert (last["error_type"], last["stage"]) == ("timeout", "execute")
    assert "deadline of 2 s" in last["error"]
    assert place.pid != hung
    assert not alive(place.pid)
    assert place.left() == []
    await still_works(place)


@pytest.mark.parametrize("fault", ["memory_error", "out_of_memory"])
async def test_an_engine_without_memory_is_tried_again(place: Place, fault: str) -> None:
    """A refused allocation is the machine's state, not the job's fault: another try, then `transient_exhausted`."""
    job = place.job(fault)
    assert isinstance(await place.run(job), Retry)
    last = record_of(await place.run(job, attempts_used=LAST_TRY))
    assert (last["error_type"], last["stage"]) == ("transient_exhausted", "execute")
    assert "emory" in last["error"]
    assert place.left() == []
    await still_works(place)


async def test_an_engine_killed_for_its_memory_counts_as_a_crash(place: Place) -> None:
    """The kernel's kill takes the child and nothing else: tried again as a crash, poison at the third."""
    job = place.job("killed")
    first = await place.run(job)
    assert isinstance(first, Retry)
    assert first.kind == "crash"
    assert not alive(place.pid)
    last = record_of(await place.run(job, crashes=2))
    assert last["error_type"] == "poison"
    assert last["job"]["payload"]["fault"] == "killed"
    assert place.left() == []
    await still_works(place)


@pytest.mark.parametrize(
    ("fault", "said"),
    [("silent", "silent"), ("clipped", "clipped"), ("cut", "cut short"), ("nan", "NaN")],
)
async def test_rubbish_is_no_result(place: Place, fault: str, said: str) -> None:
    """Audio that nobody could listen to fails its job for good where the engine would only repeat it.

    Where the engine samples anew the job is tried again; nothing of it is stored either way.
    """
    record = record_of(await place.run(place.job(fault)))
    assert (record["error_type"], record["stage"]) == ("permanent", "execute")
    assert said in record["error"]
    assert isinstance(await place.run(place.job(fault, deterministic=False)), Retry)
    assert not (place.root / "output" / ".store").exists()
    assert place.left() == []
    await still_works(place)
