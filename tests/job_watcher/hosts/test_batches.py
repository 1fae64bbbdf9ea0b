"""Jobs on a host, one by one and many at once: what they make, in which order, and what ends one and not the others."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from job_watcher.crashes import ChildCrashedError
from job_watcher.hosts.batches import BatchRunner, WorkerOn
from job_watcher.hosts.errors import HostError, HostLostError
from lib.errors import PermanentError, TaskTimeoutError
from lib.voice_synth.library import VoiceLibrary
from tests.job_watcher.hosts.batching import Jobs, job
from tests.job_watcher.hosts.local_host import LocalHost, Nursery
from tests.lib.voice_synth.own_voices import own_voice
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path


async def test_each_job_comes_back_with_its_files_and_how_far_it_was(jobs: Jobs) -> None:
    """Its outputs lie in its work directory, sound and in the order of a record; the wait before its body is told."""
    spec = job(variants=2, select_best=True)
    result = await jobs.give(spec)
    assert [(each.name, each.kind) for each in result.outputs] == [
        ("take_01.wav", "take"),
        ("take_02.wav", "take"),
        ("best.wav", "best"),
        ("takes.meta.json", "meta"),
        ("text.txt", "meta"),
        ("result.json", "meta"),
    ]
    assert all(each.path.is_file() for each in result.outputs)
    assert result.result is not None
    assert [take["file"] for take in result.result["takes"]] == ["take_01.wav", "take_02.wav"]
    assert result.waited > 0
    assert set(jobs.progress[spec.request_id][0]) == {"percent", "step", "total", "message"}


async def test_what_waits_goes_in_one_batch_by_priority_and_by_source(jobs: Jobs) -> None:
    """While one is at work: the high ones first; of the others those of one voice together, and at most four."""
    first = jobs.give(job("[waits gate] first"))
    await wait_until(lambda: jobs.host.manifests)
    given = [
        jobs.give(job("two", priority="low")),
        jobs.give(job("three")),
        jobs.give(job("four", voice=None, speaker="Ryan")),
        jobs.give(job("five")),
        jobs.give(job("six", priority="high")),
    ]
    await wait_until(lambda: jobs.runner.in_hand == 6)
    jobs.open("gate")
    await asyncio.gather(first, *given)
    assert jobs.host.manifests == [
        ["job-0000001"],
        ["job-0000006", "job-0000003", "job-0000005", "job-0000004"],
        ["job-0000002"],
    ]


async def test_a_job_that_fails_fails_alone(jobs: Jobs) -> None:
    """With the words and the kind of error that it has on any machine; its neighbours are done."""
    bad, good = jobs.give(job("...")), jobs.give(job("good"))
    with pytest.raises(PermanentError, match="nothing that can be spoken") as caught:
        await bad
    assert caught.value.hint == "write words, not only punctuation"
    assert (await good).outputs


async def test_the_death_of_a_worker_is_blamed_on_one_job_and_the_others_go_on(jobs: Jobs) -> None:
    """What had not begun is done by a new worker; what had ended stays."""
    before, dies, after = (jobs.give(job(text)) for text in ("before", "[dies] here", "after"))
    with pytest.raises(ChildCrashedError, match="host-1") as caught:
        await dies
    assert caught.value.exit_name == "SIGKILL"
    assert (await before).outputs
    assert (await after).outputs
    assert len(jobs.host.processes) == 2


async def test_a_cancelled_job_that_has_not_begun_is_skipped(jobs: Jobs) -> None:
    """It is taken from its batch, no process is ended for it, and the rest goes on."""
    first, second, third = (jobs.give(job(text)) for text in ("[waits gate] one", "[stays] two", "three"))
    await jobs.at_work(job("[waits gate] one"))
    await wait_until(lambda: len(jobs.host.manifests[0]) == 3 or len(jobs.host.manifests) > 1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    jobs.open("gate")
    assert (await first).outputs
    assert (await third).outputs
    assert len(jobs.host.processes) == 1
    assert not jobs.progress["id-[stays] two"]


async def test_a_cancelled_job_at_work_ends_with_its_process_and_no_other_job(jobs: Jobs) -> None:
    """When the cancellation is through nothing of it runs; the next jobs are done by a new worker, at no cost."""
    first, second = jobs.give(job("[stays] one")), jobs.give(job("two"))
    await jobs.at_work(job("[stays] one"))
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert jobs.host.processes[0].code == -9
    assert (await second).outputs
    assert len(jobs.host.processes) == 2


async def test_the_deadline_counts_from_the_beginning_of_the_body(jobs: Jobs) -> None:
    """A job that waited for long has its whole time; one that exceeds it is ended, and the next goes on."""
    first = jobs.give(job("[stays] one", timeout_seconds=0.3))
    second = jobs.give(job("two", timeout_seconds=0.3))
    with pytest.raises(TaskTimeoutError, match=r"deadline of 0\.3 s"):
        await first
    result = await second
    assert result.waited > 0.3


async def test_a_deadline_holds_though_another_job_is_skipped_meanwhile(jobs: Jobs) -> None:
    """The word of a job that ends beside it is not taken for its own."""
    first, second = jobs.give(job("[stays] one", timeout_seconds=0.5)), jobs.give(job("two"))
    await jobs.at_work(job("[stays] one"))
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    with pytest.raises(TaskTimeoutError):
        await first


async def test_a_suspect_is_alone(jobs: Jobs) -> None:
    """Nothing is beside it there: it waits for the end of the others, and they for its end."""
    first = jobs.give(job("[waits gate] one"))
    await jobs.at_work(job("[waits gate] one"))
    suspect = jobs.give(job("two"), deaths=2)
    others = [jobs.give(job(text)) for text in ("three", "four")]
    jobs.open("gate")
    await asyncio.gather(first, suspect, *others)
    assert jobs.host.manifests == [["job-0000001"], ["job-0000002"], ["job-0000003", "job-0000004"]]


async def test_a_lost_host_costs_no_job_an_attempt(jobs: Jobs) -> None:
    """Those at work and those that wait get the same word, and whoever comes later at once."""
    given = [jobs.give(job(text)) for text in ("[stays] one", "two", "three")]
    await jobs.at_work(job("[stays] one"))
    jobs.host.lose()
    for each in given:
        with pytest.raises(HostLostError):
            await each
    assert isinstance(await jobs.runner.unfit(), HostLostError)
    with pytest.raises(HostLostError):
        await jobs.give(job("four"))


async def test_a_host_that_is_given_back_leaves_no_process(jobs: Jobs) -> None:
    """Its jobs are told so at no cost; nothing of the worker is left, nor what it had been sent."""
    given = [jobs.give(job(text)) for text in ("[stays] one", "two")]
    await jobs.at_work(job("[stays] one"))
    await jobs.runner.aclose()
    for each in given:
        with pytest.raises(HostError, match="given back"):
            await each
    assert not jobs.host.living
    assert not list((jobs.host.root / "job-runner-work").iterdir())


async def test_a_host_where_no_worker_runs_is_unfit(nursery: Nursery, tmp_path: Path) -> None:
    """Three that die before any job: the jobs go elsewhere, and it says what the worker said last."""
    (tmp_path / "work").mkdir()
    host = LocalHost(tmp_path / "host", nursery, [{"BROKEN": "yes"}] * 3)
    runner = BatchRunner(host, VoiceLibrary(tmp_path / "voices"), most_jobs=4, worker=WorkerOn())
    with pytest.raises(HostError, match="does not run: it ended by status 3"):
        await Jobs(runner, host, tmp_path / "work").give(job())
    assert len(host.processes) == 3
    await runner.aclose()


async def test_what_is_done_is_deleted_there(jobs: Jobs) -> None:
    """The disk of a host does not fill up with what is here already."""
    await asyncio.gather(*(jobs.give(job(text)) for text in ("one", "two")))
    place = next((jobs.host.root / "job-runner-work").iterdir())
    await wait_until(lambda: not list(place.glob("batch-*")))


async def test_a_job_that_has_ended_survives_the_death_of_its_worker(jobs: Jobs) -> None:
    """Its files are fetched from the disk of the host, and nobody is blamed."""
    jobs.host.environments.append({"JOB_RUNNER_FAILPOINT": "follow.ended"})
    results = await asyncio.gather(*(jobs.give(job(text)) for text in ("one", "two")))
    assert all(result.outputs for result in results)
    assert len(jobs.host.processes) == 2


async def test_a_voice_of_somebodys_own_is_sent_once_and_a_missing_one_is_refused(jobs: Jobs, tmp_path: Path) -> None:
    """A job whose voice cannot be sent fails with the reason, and nothing of it is sent; its neighbours are done."""
    own_voice(tmp_path / "voices")
    good = [jobs.give(job(text, voice="anna")) for text in ("one", "two")]
    missing = jobs.give(job("three", voice="nobody"))
    with pytest.raises(PermanentError, match="no voice is named 'nobody'"):
        await missing
    for each in good:
        result = await each
        assert result.result is not None
        assert result.result["model"]["engine"] == "piper"
    assert sum(name.startswith("anna/piper-model") for name in jobs.host.puts) == 1
    assert jobs.host.puts.count("anna/voice.json") == 1
    own_voice(tmp_path / "voices", content=b"another", replace=True)
    await jobs.give(job("four", voice="anna"))
    assert jobs.host.puts.count("anna/voice.json") == 2
