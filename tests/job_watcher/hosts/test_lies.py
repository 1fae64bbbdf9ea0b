"""A host that lies is refused, named and given nothing more; only what it lied about has used an attempt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.hosts import micro_batch
from job_watcher.hosts.batch_host import HostUnfitError
from job_watcher.hosts.batches import BatchRunner
from job_watcher.hosts.errors import HostAnswerError
from lib.errors import TemporaryError, WaitError
from lib.voice_synth.library import VoiceLibrary
from tests.job_watcher.hosts.batching import Jobs, job
from tests.job_watcher.hosts.local_host import LocalHost, Nursery
from tests.job_watcher.hosts.lying_worker import LyingHost, event, file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Script = Callable[[dict[str, Any]], Iterable[str]]

TEXT = b"A line to say."
SOUND = b"RIFF"
DONE = '{"event":"batch_done","batch":"batch-000001"}'


def saying(*lines: str) -> Script:
    """Say these when the first micro-batch comes."""
    return lambda order: lines if "run" in order else ()


def ended(*files: Any) -> Script:
    """Say that the first job has made these files."""
    return saying(event("begun"), event("ended", status="ok", files=list(files)))


def whole(**changed: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The claims of an honest host, some changed or left out."""
    honest = {
        "take": file("take_01.wav", SOUND),
        "meta": file("takes.meta.json", b"{}", "meta"),
        "text": file("text.txt", TEXT, "text"),
        "result": file("result.json", b"{}", "result"),
    }
    return [{**each, **(changed.get(name) or {})} for name, each in honest.items() if changed.get(name, {}) is not None]


PROTOCOL: dict[str, tuple[Script, str]] = {
    "no event": (saying("hello"), "which is no event"),
    "an unknown event": (saying('{"event":"paid"}'), "which is no event"),
    "nested without end": (saying("[" * 100_000), "which is no event"),
    "an unknown job": (saying(event("begun", "job-0000009")), "not its turn"),
    "begun twice": (saying(event("begun"), event("begun")), "not its turn"),
    "ended before it began": (saying(event("ended", status="ok", files=[])), "has not begun"),
    "progress of another": (saying(event("progress", percent=1)), "has not begun"),
    "skipped without being asked": (saying(event("ended", status="skipped")), "was to do"),
    "ready twice": (saying('{"event":"ready"}'), "twice that it listens"),
    "an upload that nobody asked for": (saying(event("uploaded")), "was not asked for"),
    "a batch done that it was not given": (saying(DONE.replace("1", "9")), "which it was not given"),
    "a batch done without its jobs": (saying(DONE), "not what became of its jobs"),
    "progress without end": (
        saying(event("begun"), *[event("progress", percent=1)] * (micro_batch._PROGRESS_AT_ONCE + 50)),
        "without end",
    ),
    "no number": (saying(event("begun"), event("progress", percent=float("nan"))), "which is no event"),
    "a refused folder": (saying('{"event":"refused","batch":"x","error":"no manifest"}'), "cannot read"),
}

CLAIMS: dict[str, tuple[Script, str]] = {
    "a name that leads elsewhere": (ended(*whole(take=file("../../take_01.wav", SOUND))), "cannot be"),
    "another name": (ended(*whole(), file("more.wav", SOUND)), "cannot be"),
    "a name twice": (ended(*whole(), file("take_01.wav", SOUND)), "cannot be"),
    "a missing file": (ended(*whole(take=None)), "take_01.wav was not made"),
    "another kind": (ended(*whole(take={"kind": "best"})), "cannot be"),
    "a size of a terabyte": (ended(*whole(take={"bytes": 1 << 40})), "cannot be"),
    "no size": (ended(*whole(take={"bytes": True})), "cannot be"),
    "no digest": (ended(*whole(take={"sha256": "x" * 64})), "cannot be"),
    "another text": (ended(*whole(text=file("text.txt", b"Another line.", "text"))), "another text"),
    "no file at all": (ended(17), "cannot be"),
}


async def told_by(script: Script, nursery: Nursery, base: Path) -> tuple[TemporaryError, TemporaryError]:
    """What the job that was lied about gets, and one that came later."""
    runner = BatchRunner(LyingHost(base / "host", nursery, script), VoiceLibrary(base / "voices"), most_jobs=1)
    jobs = Jobs(runner, LocalHost(base / "host", nursery), base)
    first, second = jobs.give(job()), jobs.give(job("later"))
    with pytest.raises(TemporaryError) as one:
        await first
    with pytest.raises(TemporaryError) as two:
        await second
    assert isinstance(await runner.unfit(), HostUnfitError)
    await runner.aclose()
    return one.value, two.value


@pytest.mark.parametrize("name", PROTOCOL)
async def test_what_no_worker_says_ends_the_trust_at_no_cost_for_jobs(
    name: str, nursery: Nursery, tmp_path: Path
) -> None:
    """Nothing was claimed of a job: all go elsewhere, with the host's name."""
    script, said = PROTOCOL[name]
    one, two = await told_by(script, nursery, tmp_path)
    assert isinstance(one, WaitError)
    assert isinstance(two, WaitError)
    assert said in one.message
    assert "host-1" in one.message


@pytest.mark.parametrize("name", CLAIMS)
async def test_files_that_cannot_be_are_refused(name: str, nursery: Nursery, tmp_path: Path) -> None:
    """Before any of them is fetched. The job has used an attempt, in case it was its own doing; the others have not."""
    script, said = CLAIMS[name]
    one, two = await told_by(script, nursery, tmp_path)
    assert isinstance(one, HostAnswerError)
    assert not isinstance(one, WaitError)
    assert said in one.message
    assert one.message.startswith("host-1: ")
    assert isinstance(two, WaitError)


TAMPERED: dict[str, tuple[Callable[[str, bytes], bytes], str]] = {
    "one bit of the sound": (
        lambda name, content: content[:-1] + bytes([content[-1] ^ 1]) if name.endswith(".wav") else content,
        r"take_01.wav is not what was claimed",
    ),
    "a cut file": (lambda name, content: content[:100] if name.endswith(".wav") else content, "not what was claimed"),
    "a longer file": (lambda name, content: content + b"x" if name.endswith(".wav") else content, "has more than"),
    "another document": (
        lambda name, content: content.replace(b'"seed": 0', b'"seed": 1') if name == "takes.meta.json" else content,
        "takes.meta.json is not what was claimed",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
async def test_tampered_bytes_are_refused(name: str, jobs: Jobs) -> None:
    """What was made is honest and what comes is not."""
    jobs.host.tamper, said = TAMPERED[name]
    with pytest.raises(HostAnswerError, match=said) as caught:
        await jobs.give(job())
    assert "host-1" in caught.value.message
    assert isinstance(jobs.runner.fault, HostUnfitError)
