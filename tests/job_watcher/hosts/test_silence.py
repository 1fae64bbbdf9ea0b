"""A worker that goes silent on its host is ended for sure; who was in it is named, and the others go back unharmed."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from job_watcher.hosts.batches import BatchRunner, WorkerOn
from job_watcher.hosts.errors import HostError
from lib.errors import TaskTimeoutError
from lib.voice_synth.library import VoiceLibrary
from tests.job_watcher.hosts.batching import Jobs, job
from tests.job_watcher.hosts.local_host import LocalHost, Nursery
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MUTE = {"MUTE": "yes"}
SHORT_SECONDS = 0.4


@pytest.fixture
async def wary(nursery: Nursery, tmp_path: Path) -> AsyncIterator[Jobs]:
    """A runner that lets a worker which has jobs be silent for no longer than this; a live one speaks far sooner."""
    (tmp_path / "work").mkdir()
    worker = WorkerOn(stall_seconds=SHORT_SECONDS)
    host = LocalHost(tmp_path / "host", nursery)
    runner = BatchRunner(host, VoiceLibrary(tmp_path / "voices"), most_jobs=4, worker=worker)
    yield Jobs(runner, host, tmp_path / "work")
    await runner.aclose()
    await wait_until(lambda: not host.living, what="the end of every worker")


def freeze(jobs: Jobs) -> None:
    """Its worker stands still: it is there, holds its pipes and says nothing."""
    os.kill(jobs.host.processes[-1].pid, signal.SIGSTOP)


async def test_one_that_begins_nothing_is_ended_and_nobody_is_blamed(wary: Jobs) -> None:
    """It listened, was given two jobs and stood still: both are done by the next worker, each at its first attempt."""
    await wary.give(job("before"))
    freeze(wary)
    results = await asyncio.gather(*(wary.give(job(text)) for text in ("one", "two")))
    assert all(result.outputs for result in results)
    assert wary.host.processes[0].code == -9
    assert wary.host.processes[-1].code is None


async def test_one_that_stands_still_in_a_job_ends_with_that_job_alone(wary: Jobs) -> None:
    """The job's own deadline counts, not the shorter one of silence: it is named, what waits behind it is done."""
    first = wary.give(job("[stays] one", timeout_seconds=3 * SHORT_SECONDS))
    await wary.at_work(job("[stays] one"))
    second = wary.give(job("two"))
    freeze(wary)
    with pytest.raises(TaskTimeoutError, match=r"deadline of 1\.2 s"):
        await first
    assert (await second).outputs
    assert wary.host.processes[0].code == -9


async def test_one_that_never_says_a_word_is_ended_and_at_last_the_host_is_unfit(
    nursery: Nursery, tmp_path: Path
) -> None:
    """Three are tried; then the job goes elsewhere without an attempt used, and the reason says that it was silence."""
    (tmp_path / "work").mkdir()
    host = LocalHost(tmp_path / "host", nursery, [MUTE] * 3)
    worker = WorkerOn(ready_seconds=SHORT_SECONDS)
    runner = BatchRunner(host, VoiceLibrary(tmp_path / "voices"), most_jobs=4, worker=worker)
    with pytest.raises(HostError, match="does not run: it said nothing for too long; it ended by SIGKILL"):
        await Jobs(runner, host, tmp_path / "work").give(job())
    assert [process.code for process in host.processes] == [-9] * 3
    await runner.aclose()
