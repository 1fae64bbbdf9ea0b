"""Executing: every job its own fate, nothing made twice, the document in order however it ends."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import RefusedError, TemporaryError
from lib.manifest import EXECUTION
from lib.manifest.folder import held
from tests.lib.manifest.folders import Seen, compiled, executed, job, scripted, statuses
from tests.lib.voice_synth.kept_clips import ClipsInMemory
from tests.lib.voice_synth.scripted_engine import ScriptedEngine, spoken, tone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.manifest import ExecutedJob
    from lib.voice_synth.engines.base import Samples, SynthesisSettings

JOBS = (job("a/one", "One."), job("a/two", "Two."), job("a/three", "Three."))


def failing_on(word: str, error: BaseException | None = None) -> ScriptedEngine:
    """An engine that raises, or is silent, when it reads this word."""

    def script(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        if word not in text:
            yield from spoken(text, settings)
        elif error is None:
            yield tone(1.0, 0.0)
        else:
            raise error

    return ScriptedEngine(script=script, name="hibari")


def test_every_job_is_made(tmp_path: Path) -> None:
    """Files in each directory, `ok` for each in the order of the manifest, exit 0."""
    manifest = compiled(tmp_path, *JOBS)
    done = executed(manifest)
    assert statuses(done) == {"a:one": "ok", "a:three": "ok", "a:two": "ok"}
    assert (done.success, done.aborted, done.exit_code) == (True, False, 0)
    for name in ("one", "two", "three"):
        assert {path.name for path in (tmp_path / "a" / name).iterdir()} == {
            "text.txt",
            "take_01.wav",
            "takes.meta.json",
            "result.json",
        }


def test_the_document_is_that_of_the_contract(tmp_path: Path) -> None:
    """On the disk and in the answer, the same."""
    manifest = compiled(tmp_path, job("a", variants=2, select_best=True))
    done = executed(manifest)
    written = json.loads((tmp_path / EXECUTION).read_bytes())
    assert written == done.document
    assert written["jobs"] == [
        {
            "request_id": "a",
            "output_name": "a",
            "status": "ok",
            "return_code": 0,
            "duration_sec": written["jobs"][0]["duration_sec"],
            "audio": "best.wav",
            "audio_sec": written["jobs"][0]["audio_sec"],
            "takes": 2,
            "engine": "hibari",
        }
    ]
    assert {name: written[name] for name in ("schema_version", "job_count", "executed_count", "failed_count")} == {
        "schema_version": 1,
        "job_count": 1,
        "executed_count": 1,
        "failed_count": 0,
    }
    assert written["success"] is True
    assert written["aborted"] is written["dry_run"] is False
    assert written["started_at"].endswith("Z")
    assert written["completed_at"].endswith("Z")


def test_one_bad_job_never_stops_the_others(tmp_path: Path) -> None:
    """It has its error and the code that the program would have had; exit 1."""
    done = executed(compiled(tmp_path, *JOBS), scripted(failing_on("Three")))
    assert statuses(done) == {"a:one": "ok", "a:three": "failed", "a:two": "ok"}
    assert (done.success, done.exit_code) == (False, 1)
    bad = done.jobs[1].document()
    assert bad["return_code"] == 1
    assert "silent" in bad["error"]
    assert bad["hint"] == "change the text; it would be the same again"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TemporaryError("no memory"), "no memory"),
        (RuntimeError("boom"), "RuntimeError: boom"),
        (MemoryError(), "MemoryError"),
        (RecursionError("deep"), "RecursionError: deep"),
    ],
)
def test_whatever_a_job_raises_is_its_own(tmp_path: Path, error: BaseException, said: str) -> None:
    """An error nobody thought of ends one job."""
    done = executed(compiled(tmp_path, *JOBS), scripted(failing_on("Three", error)))
    assert statuses(done)["a:three"] == "failed"
    assert said in str(done.jobs[1].error)
    assert [each.status for each in done.jobs].count("ok") == 2


def test_fail_fast_stops_at_the_first(tmp_path: Path) -> None:
    """What was not reached is skipped and says why."""
    done = executed(compiled(tmp_path, *JOBS), scripted(failing_on("Three")), fail_fast=True)
    assert statuses(done) == {"a:one": "ok", "a:three": "failed", "a:two": "fail_fast"}
    assert (done.success, done.aborted, done.exit_code) == (False, False, 1)
    assert done.document["executed_count"] == 2


def test_a_dry_run_makes_nothing_and_hides_nothing(tmp_path: Path) -> None:
    """It says what would be made, in a document of its own."""
    manifest = compiled(tmp_path, *JOBS)
    engine = ScriptedEngine(name="hibari")
    executed(compiled(tmp_path, JOBS[0]))
    before = (tmp_path / EXECUTION).read_bytes()
    compiled(tmp_path, *JOBS)
    dry = executed(manifest, scripted(engine), dry_run=True)
    assert statuses(dry) == {"a:one": "already_made", "a:three": "dry_run", "a:two": "dry_run"}
    assert (dry.success, dry.exit_code, dry.document["dry_run"]) == (True, 0, True)
    assert (engine.loads, engine.asked) == (0, [])
    assert dry.path == tmp_path / "execution.dry-run.json"
    assert (tmp_path / EXECUTION).read_bytes() == before


def test_a_dry_run_finds_what_would_fail(tmp_path: Path) -> None:
    """A voice that is not here, a text that is gone."""
    manifest = compiled(tmp_path, *JOBS, job("b", voice="stranger"))
    (tmp_path / "a/one/text.txt").unlink()
    dry = executed(manifest, dry_run=True)
    assert statuses(dry) == {"a:one": "failed", "a:three": "dry_run", "a:two": "dry_run", "b": "failed"}
    assert (dry.success, dry.exit_code) == (False, 1)
    assert [each.return_code for each in dry.jobs if each.status == "failed"] == [2, 2]


def test_again_makes_only_what_is_not_made(tmp_path: Path) -> None:
    """After a failure the second run does that job alone; the document speaks of all."""
    manifest = compiled(tmp_path, *JOBS)
    executed(manifest, scripted(failing_on("Three")))
    engine = ScriptedEngine(name="hibari")
    done = executed(manifest, scripted(engine))
    assert statuses(done) == {"a:one": "already_made", "a:three": "ok", "a:two": "already_made"}
    assert done.success
    assert [text for text, _ in engine.asked] == ["Three."]
    assert done.jobs[0].result["audio"] == "take_01.wav"
    assert statuses(executed(manifest, again=True)) == dict.fromkeys(statuses(done), "ok")


def test_of_an_edited_text_the_new_sentence_is_spoken(tmp_path: Path) -> None:
    """In any folder, with the clips of the machine; all of it with --again, and where the job asks to be made anew."""
    engine, clips = ScriptedEngine(name="hibari"), ClipsInMemory()

    def spoken_in(place: str, text: str, *, again: bool = False, **fields: Any) -> list[str]:
        engine.asked.clear()
        manifest = compiled(tmp_path / place, job("a/one", text, chunk=True, **fields))
        assert executed(manifest, scripted(engine, clips), again=again).success
        return [text for text, _ in engine.asked]

    assert spoken_in("one", "One came. Two left.") == ["One came.", "Two left."]
    assert spoken_in("one", "One came. Three left.") == ["Three left."]
    assert spoken_in("two", "One came. Four left.") == ["Four left."]
    assert spoken_in("two", "One came. Four left.", again=True) == ["One came.", "Four left."]
    assert spoken_in("three", "One came. Four left.", cache=False) == ["One came.", "Four left."]


@pytest.mark.parametrize("name", ["take_01.wav", "takes.meta.json", "result.json"])
@pytest.mark.parametrize("how", ["cut", "gone", "other"])
def test_what_is_damaged_is_made_anew(tmp_path: Path, name: str, how: str) -> None:
    """A file that is short, gone or other than it was is no finished job."""
    manifest = compiled(tmp_path, job("a", "Now."))
    executed(manifest)
    whole = (tmp_path / "a/take_01.wav").read_bytes()
    path = tmp_path / "a" / name
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(b"{}")
    compiled(tmp_path, job("a", "Now."))
    assert statuses(executed(manifest)) == {"a": "ok"}
    assert (tmp_path / "a/take_01.wav").read_bytes() == whole


@pytest.mark.parametrize("fields", [{"text": "Then."}, {"chunk": True}, {"variants": 2}, {"tone": "warm"}])
def test_another_wish_is_made_anew(tmp_path: Path, fields: dict[str, str]) -> None:
    """An edited job in the same folder does not keep its old audio."""
    executed(compiled(tmp_path, job("a", "Now.")))
    done = executed(compiled(tmp_path, job("a", **{"text": "Now.", **fields})))
    assert statuses(done) == {"a": "ok"}
    assert statuses(executed(tmp_path)) == {"a": "already_made"}


def test_another_model_is_made_anew(tmp_path: Path) -> None:
    """A new version of the engine may sound different."""
    manifest = compiled(tmp_path, job("a"))
    executed(manifest)
    assert statuses(executed(manifest, scripted(ScriptedEngine(name="hibari", model_version="2")))) == {"a": "ok"}


def test_a_text_that_was_changed_is_not_spoken(tmp_path: Path) -> None:
    """The hash in the manifest says what was compiled."""
    manifest = compiled(tmp_path, *JOBS)
    (tmp_path / "a/two/text.txt").write_text("Something else.")
    (tmp_path / "a/one/text.txt").write_bytes(b"\xff")
    done = executed(manifest)
    assert statuses(done) == {"a:one": "failed", "a:three": "ok", "a:two": "failed"}
    assert "is not what was compiled (content_hash differs)" in str(done.jobs[2].error)
    assert "no UTF-8" in str(done.jobs[0].error)
    assert not (tmp_path / "a/two/take_01.wav").exists()


def test_a_symlink_planted_meanwhile_fails_its_job(tmp_path: Path) -> None:
    """Also one that appears after the manifest was checked, in a place that speaking would write through."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "batch"
    manifest = compiled(folder, *JOBS)

    def script(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        (folder / "a/two/.take_01.wav.part").unlink(missing_ok=True)
        (folder / "a/two/.take_01.wav.part").symlink_to(victim)
        yield from spoken(text, settings)

    done = executed(manifest, scripted(ScriptedEngine(script=script, name="hibari")))
    assert statuses(done)["a:two"] == "failed"
    assert "is a symlink" in str(done.jobs[2].error)
    assert victim.read_text() == "precious"


def test_one_load_for_all_jobs(tmp_path: Path) -> None:
    """The model stays from job to job."""
    engine = ScriptedEngine(name="hibari")
    executed(compiled(tmp_path, *JOBS, job("z", voice=None, speaker="Ryan")), scripted(engine))
    assert len(engine.asked) == 4
    assert engine.loads == 1


def test_progress_is_told(tmp_path: Path) -> None:
    """Each job's begin, steps that rise to 100, and its end."""
    seen = Seen()
    executed(compiled(tmp_path, *JOBS), seen=seen)
    assert seen.began == [each.request_id for each in seen.done] == ["a:one", "a:three", "a:two"]
    assert seen.percents.count(100.0) == 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_mid_job(tmp_path: Path, number: int) -> None:
    """What was made stays and is said; the job at work and the rest are skipped; nothing half-written stays."""

    def script(text: str, settings: SynthesisSettings) -> Iterator[Samples]:
        for piece in spoken(text, settings):
            yield piece
            if "Three" in text:
                os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    done = executed(compiled(tmp_path, *JOBS), scripted(ScriptedEngine(script=script, name="hibari")))
    assert statuses(done) == {"a:one": "ok", "a:three": "interrupted", "a:two": "interrupted"}
    assert (done.success, done.aborted, done.exit_code) == (False, True, 130)
    assert [path.name for path in (tmp_path / "a/three").iterdir()] == ["text.txt"]
    assert json.loads((tmp_path / EXECUTION).read_bytes())["aborted"] is True
    assert signal.getsignal(number) is before
    assert statuses(executed(tmp_path)) == {"a:one": "already_made", "a:three": "ok", "a:two": "ok"}


class Impatient(Seen):
    """Sends both signals when a job has ended, after so many."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def ended(self, job: ExecutedJob) -> None:
        """Remember its end, and interrupt if it is the one."""
        super().ended(job)
        if len(self.done) == self._after:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)


def test_an_interrupt_between_jobs(tmp_path: Path) -> None:
    """What was made stays; the rest is skipped, and a second signal breaks nothing."""
    done = executed(compiled(tmp_path, *JOBS), seen=Impatient(2))
    assert statuses(done) == {"a:one": "ok", "a:three": "ok", "a:two": "interrupted"}
    assert done.exit_code == 130
    assert json.loads((tmp_path / EXECUTION).read_bytes()) == done.document


def test_an_interrupt_after_the_last_job_comes_too_late(tmp_path: Path) -> None:
    """Everything is made, so the run is whole and says so."""
    done = executed(compiled(tmp_path, *JOBS), seen=Impatient(3))
    assert (done.success, done.aborted, done.exit_code) == (True, False, 0)
    written = json.loads((tmp_path / EXECUTION).read_bytes())
    assert written == done.document
    assert written["completed_at"] is not None


def test_an_interrupt_after_the_first_failure_comes_too_late(tmp_path: Path) -> None:
    """With fail_fast the failed job is the last."""
    done = executed(compiled(tmp_path, *JOBS), scripted(failing_on("Three")), Impatient(2), fail_fast=True)
    assert statuses(done) == {"a:one": "ok", "a:three": "failed", "a:two": "fail_fast"}
    assert (done.aborted, done.exit_code) == (False, 1)


def test_one_at_a_time_in_a_folder(tmp_path: Path) -> None:
    """A second program there is refused before it touches the document."""
    manifest = compiled(tmp_path, *JOBS)
    with held(tmp_path), pytest.raises(RefusedError, match="another job-runner is at work"):
        executed(manifest)
    assert not (tmp_path / EXECUTION).exists()
    assert executed(manifest).success


def test_an_empty_manifest_is_a_success(tmp_path: Path) -> None:
    """Nothing to do, nothing failed."""
    manifest = compiled(tmp_path, job("a"))
    document = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({**document, "jobs": []}))
    done = executed(manifest)
    assert (done.success, done.exit_code, done.document["jobs"]) == (True, 0, [])
