"""`job-runner cache`: why a job was made or taken from an earlier one, and clearing what is out of date."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from docs.generate.shapes import SHAPES, misfits
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.jobqueue.artifact_key import artifact_key, content_parts
from lib.settings import Settings
from lib.stores import s3_client
from lib.stores.artifacts import LocalArtifacts
from lib.stores.cache import Made
from lib.stores.cache_disk import DiskCache
from lib.tasks.base import Output
from lib.voice_synth.clip_folder import ClipFolder
from lib.voice_synth.made_by import makers_of
from lib.voice_synth.voices import VoiceRegistry
from tests.lib.voice_synth.kept_clips import clip
from tests.support.buckets import CREDENTIALS
from tests.support.servers import free_port

if TYPE_CHECKING:
    from pathlib import Path

    from lib.jobqueue.protocol import Lease
    from lib.stores.cache import Why
    from tests.job_runner.conftest import JobRunner
    from tests.support.hand import HandWatcher

LONG_AGO = datetime.now(UTC) - timedelta(days=90)


def line(name: str = "a", **fields: Any) -> dict[str, Any]:
    """One job of the built-in voice."""
    return {"request_id": name, "output_name": f"show/{name}", "voice": "newsroom", "text": "Good evening.", **fields}


def queued(runner: JobRunner, row: dict[str, Any], *flags: str) -> JobSpec:
    """Queue it; the job."""
    fields = "".join(f"  {name}: {value}\n" for name, value in row.items())
    assert runner("enqueue", runner.file(f"-{fields[1:]}", f"{row['request_id']}.yaml"), *flags).code == 0
    return normalize_job_spec(row)


def made_by(spec: JobSpec, **parts: Any) -> dict[str, Any]:
    """What speaks it here, but for what is given."""
    return {**makers_of(VoiceRegistry())["metal"](spec), **parts}


def noted(row: dict[str, Any], tmp_path: Path, *, why: Why = "new", at: datetime | None = None, **parts: Any) -> Path:
    """Store a file as a job made it, and its entry; where the file is."""
    spec = normalize_job_spec(row)
    root = Settings.load().watcher_output_root
    source = tmp_path / "take_01.wav"
    source.write_bytes(b"sound")
    when = at or datetime.now(UTC)
    made = Made(
        artifact_key(spec.content_hash, made_by(spec, **parts)),
        content_parts(spec),
        spec.request_id,
        "metal",
        when,
        why,
        {},
    )

    async def keep() -> None:
        stored = await LocalArtifacts(root).put(f"{spec.request_id}/1-1", [Output("take_01.wav", source, "take")])
        await DiskCache(root).keep(made, stored)

    asyncio.run(keep())
    return root / ".store" / spec.request_id / "1-1" / "take_01.wav"


def ended(runner: JobRunner, **result: Any) -> None:
    """End everything that waits with a result like that of speech."""

    async def work(watcher: HandWatcher) -> None:
        for lease in await watcher.lease():
            await watcher.done(lease, result={**_spoken(lease), **result}, seconds=0.0)

    runner.by_hand(work)


def _spoken(lease: Lease) -> dict[str, Any]:
    model = made_by(JobSpec.from_json(lease.job))
    seed = model.pop("seed")
    return {"model": model, "takes": [{"seed": seed}]}


def explained(runner: JobRunner, name: str) -> dict[str, Any]:
    """The document, without its version."""
    outcome = runner("cache", "explain", name, "--json")
    assert outcome.code == 0, outcome.err
    assert misfits(SHAPES["job-runner cache explain"], outcome.document) == []
    return outcome.document


def test_nobody_knows_it(runner: JobRunner) -> None:
    """Exit code 4, and the document says so too."""
    missing = runner("cache", "explain", "nobody", "--json")
    assert (missing.code, missing.document["status"], missing.document["verdict"]) == (4, "not_found", "unknown")
    assert "no job 'nobody'" in runner("cache", "explain", "nobody").err


def test_a_job_that_was_taken_says_from_where(runner: JobRunner) -> None:
    """As its record has it."""
    queued(runner, line())
    ended(runner, cached={"request_id": "earlier", "key": "sha256:a1:00"})
    found = explained(runner, "a")
    assert (found["verdict"], found["from"], found["key"]) == ("taken", "earlier", "sha256:a1:00")
    assert "its key is that of earlier" in runner("cache", "explain", "a").out


@pytest.mark.parametrize(
    ("why", "says"),
    [("new", "nothing had its key"), ("gone", "was gone"), ("asked", "made anew"), ("unknown", "could not be asked")],
)
def test_a_job_that_was_made_says_why(runner: JobRunner, tmp_path: Path, why: Why, says: str) -> None:
    """As its entry has it, which the watcher wrote when it had looked."""
    spec = queued(runner, line())
    ended(runner)
    noted(line(), tmp_path, why=why)
    found = explained(runner, "a")
    assert found["verdict"] == "made"
    assert says in found["says"]
    assert found["key"] == artifact_key(spec.content_hash, made_by(spec)).text
    assert found["nearest"] is None


def test_a_changed_word_is_named(runner: JobRunner, tmp_path: Path) -> None:
    """The field, and the job that comes nearest; among several the one with the fewest other parts."""
    noted(line("far", text="Farewell.", profile="stable"), tmp_path, at=LONG_AGO)
    noted(line("near", text="Good morning."), tmp_path, at=LONG_AGO - timedelta(days=1))
    queued(runner, line())
    ended(runner)
    noted(line(), tmp_path)
    nearest = explained(runner, "a")["nearest"]
    assert nearest["request_id"] == "near"
    assert nearest["differs"] == [{"part": "text", "this": None, "other": None}]
    shown = runner("cache", "explain", "a").out
    assert "nearest: near, made" in shown
    assert shown.endswith("    text\n")


def test_another_model_is_named_with_both_versions(runner: JobRunner, tmp_path: Path) -> None:
    """The content is the same: then it is compared with nothing else."""
    noted(line("old"), tmp_path, at=LONG_AGO, version="hibari-tts-0.1")
    noted(line("other", text="Good morning."), tmp_path, at=LONG_AGO)
    queued(runner, line())
    ended(runner)
    noted(line(), tmp_path)
    nearest = explained(runner, "a")["nearest"]
    assert nearest["request_id"] == "old"
    (difference,) = nearest["differs"]
    assert (difference["part"], difference["other"]) == ("version", "hibari-tts-0.1")
    assert f"version: {difference['this']}, there hibari-tts-0.1" in runner("cache", "explain", "a").out


def test_what_was_made_later_explains_nothing(runner: JobRunner, tmp_path: Path) -> None:
    """A job that ran after it cannot have been what it was compared with."""
    queued(runner, line())
    ended(runner)
    noted(line("later"), tmp_path, at=datetime.now(UTC) + timedelta(hours=1))
    found = explained(runner, "a")
    assert found["nearest"] is None
    assert "only of a later job" in found["says"]


def test_a_waiting_job_says_what_would_become_of_it(runner: JobRunner, tmp_path: Path) -> None:
    """Before anything is paid for: taken, or made, and then what comes nearest."""
    queued(runner, line())
    found = explained(runner, "a")
    assert (found["status"], found["verdict"], found["nearest"]) == ("queued", "would_make", None)
    noted(line("earlier"), tmp_path)
    found = explained(runner, "a")
    assert (found["verdict"], found["from"]) == ("would_take", "earlier")
    assert "a: queued, would take" in runner("cache", "explain", "a").out
    queued(runner, line("b", text="Good night."))
    assert explained(runner, "b")["nearest"]["differs"][0]["part"] == "text"


def test_a_failed_job_is_explained_by_the_job_in_its_record(runner: JobRunner, tmp_path: Path) -> None:
    """What a retry would meet."""
    queued(runner, line())

    async def fail(watcher: HandWatcher) -> None:
        for lease in await watcher.lease():
            await watcher.failed(lease)

    runner.by_hand(fail)
    noted(line("earlier"), tmp_path)
    found = explained(runner, "a")
    assert (found["status"], found["verdict"], found["from"]) == ("failed", "would_take", "earlier")


def test_without_the_cache_a_job_asks_to_be_made(runner: JobRunner, tmp_path: Path) -> None:
    """By the flag or by the field: the same job to the queue in all else."""
    noted(line("earlier"), tmp_path)
    queued(runner, line(), "--no-cache")
    queued(runner, line("b", cache="no"))
    for name in ("a", "b"):
        found = explained(runner, name)
        assert (found["verdict"], found["says"], found["from"]) == ("would_make", "it asks to be made anew", None)
    again = runner("enqueue", "a.yaml", "--json").document
    assert again["summary"] == {"duplicate_request": 1}


def test_a_flag_is_no_other_content(runner: JobRunner) -> None:
    """What is done stays done: --no-cache alone makes nothing of it again."""
    queued(runner, line())
    ended(runner)
    assert runner("enqueue", "a.yaml", "--no-cache", "--json").document["summary"] == {"already_done": 1}
    assert runner("enqueue", "a.yaml", "--no-cache", "--replace", "--json").document["summary"] == {"already_done": 1}


def test_a_kind_without_a_part_in_it_says_so(runner: JobRunner) -> None:
    """Waiting or done."""
    runner("enqueue", runner.file("- {request_id: n, task: debug}\n"))
    assert explained(runner, "n")["verdict"] == "no_part"
    runner.by_hand(lambda watcher: watcher.all_done())
    assert explained(runner, "n")["verdict"] == "no_part"
    assert "the kind debug are always made" in runner("cache", "explain", "n").out


def test_what_nobody_here_speaks_cannot_be_said(runner: JobRunner) -> None:
    """A voice of the watcher's machine."""
    queued(runner, line(voice="anna"), "--any-voice")
    found = explained(runner, "a")
    assert (found["verdict"], found["key"]) == ("unknown", None)
    assert "no voice is named 'anna'" in found["says"]


def test_gc_drops_what_is_gone_and_says_how_much(runner: JobRunner, tmp_path: Path) -> None:
    """No file of a job is removed; with an age also what is older."""
    kept = noted(line("kept"), tmp_path)
    old = noted(line("old", text="Old."), tmp_path, at=LONG_AGO)
    noted(line("gone", text="Gone."), tmp_path).unlink()
    shown = runner("cache", "gc").out.splitlines()
    assert shown[0] == "3 entries: 1 dropped (1 without their files, 0 old, 0 unreadable)"
    assert shown[1].startswith("0 sentences in ")
    document = runner("cache", "gc", "--older-than", "30d", "--json").document
    assert misfits(SHAPES["job-runner cache gc"], document) == []
    assert {name: document[name] for name in ("entries", "dropped", "kept", "gone", "old", "unreadable")} == {
        "entries": 2,
        "dropped": 1,
        "kept": 1,
        "gone": 0,
        "old": 1,
        "unreadable": 0,
    }
    assert runner("cache", "gc", "--older-than", "52w").out.startswith("1 entry: 0 dropped")
    assert kept.exists()
    assert old.exists()


def test_gc_clears_sentences_of_this_machine(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond their bound, or with an age those that were not used for so long; both are counted."""
    folder = ClipFolder(Settings.load().jobs_state_dir / "clips", 1 << 30, least_free_bytes=0)
    for number in range(3):
        folder.keep(f"{number}" * 64, clip(number, size=40_000))
    os.utime(next(iter(folder.directory.glob("0*/*"))), (LONG_AGO.timestamp(),) * 2)
    document = runner("cache", "gc", "--older-than", "30d", "--json").document
    assert misfits(SHAPES["job-runner cache gc"], document) == []
    assert document["sentences"] == {"dropped": 1, "kept": 2, "bytes": folder.kept().bytes}
    monkeypatch.setenv("SENTENCE_CACHE_BYTES", "50000")
    assert "2 sentences in " in (shown := runner("cache", "gc").out)
    assert shown.endswith(": 1 dropped, 0.0 MiB kept\n")


def test_a_job_made_by_the_sentence_says_how_many_were_at_hand(runner: JobRunner, tmp_path: Path) -> None:
    """In words and as numbers; a job that was taken whole says nothing of the kind."""
    queued(runner, line(chunk="yes"))
    ended(runner, sentences={"at_hand": 39, "of": 40})
    noted(line(chunk=True), tmp_path)
    found = explained(runner, "a")
    assert found["sentences"] == {"at_hand": 39, "of": 40}
    assert found["says"] == "nothing had its key then; 39 of 40 sentences were at hand"
    queued(runner, line("b", chunk="yes"))
    assert explained(runner, "b")["sentences"] is None


@pytest.mark.parametrize("age", ["30", "d", "-1d", "0d", "1.5d", "30 days", "1y", "", "999999999w"])
def test_an_age_that_is_none_is_refused(runner: JobRunner, age: str) -> None:
    """Exit code 2, what was typed, and what may be; nothing is dropped."""
    outcome = runner("cache", "gc", "--older-than", age)
    assert outcome.code == 2
    assert repr(age) in outcome.err
    assert "as 30d" in outcome.err


def test_a_bucket_that_is_away_is_another_service(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 3, as when Redis does not answer; the queue's own answer is still there for who asks it."""
    for name, value in {
        **CREDENTIALS,
        "S3_BUCKET": "tapes",
        "S3_ENDPOINT_URL": f"http://127.0.0.1:{free_port()}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_client, "TRIES", 1)
    queued(runner, line())
    for words in (["explain", "a"], ["gc"]):
        outcome = runner("cache", *words)
        assert outcome.code == 3, outcome.err
        assert "tapes" in outcome.err


def test_the_shared_flags_stand_after_both(runner: JobRunner) -> None:
    """The same as everywhere."""
    for command in ("explain", "gc"):
        shown = runner("cache", command, "--help").out
        assert all(flag in shown for flag in ("--json", "--quiet", "--no-color"))
        assert f"  job-runner cache {command}" in shown.partition("Examples:")[2]
