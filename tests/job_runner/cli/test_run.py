"""`run`, `execute-manifest` and `logs`: audio without a queue, exit codes, what is said, what is shown later."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lib.voice_synth.engines import registry
from tests.lib.voice_synth.scripted_engine import ScriptedEngine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner

ONE_BAD = """\
    defaults: {voice: newsroom}
    jobs:
      - {output_name: story/one, text: "One."}
      - {output_name: story/two, text: "Two.", variants: 2}
    """


@pytest.fixture(autouse=True)
def _quick_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that needs no model, under the name of the bundled one: what is tested here is around it."""
    engines = {**registry.ENGINES, "hibari": lambda: ScriptedEngine(name="hibari")}
    monkeypatch.setattr(registry, "ENGINES", engines)


def broken(home: Path) -> None:
    """Another text in the place of one that was compiled."""
    (home / "batch/story/one/text.txt").write_text("Other.")


def test_run_makes_the_audio_and_says_where(runner: JobRunner, home: Path) -> None:
    """A table with the file to open, the folder at the end; again nothing is made twice."""
    done = runner("run", runner.file(ONE_BAD), "--out", "batch", "--no-color")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["REQUEST", "ID", "STATUS", "AUDIO", "TOOK"]
    assert lines[2] == f"  {home}/batch/story/one/take_01.wav"
    assert lines[4] == f"  {home}/batch/story/two/take_01.wav"
    assert lines[6].startswith("2 jobs: 2 ok, in ")
    assert done.err.endswith(f"execution: {home}/batch/execution.json\nthe audio is in {home}/batch\n")
    assert (home / "batch/story/two/take_01.wav").stat().st_size > 1_000
    again = runner("run", "jobs.yaml", "--out", "batch")
    assert again.code == 0
    assert again.out.splitlines()[6].startswith("2 jobs: 2 already made, in ")
    anew = runner("run", "jobs.yaml", "--out", "batch", "--again", "--json")
    assert [each["status"] for each in anew.document["jobs"]] == ["ok", "ok"]


def test_run_json_is_the_execution_document(runner: JobRunner, home: Path) -> None:
    """With where it stands; stdout holds nothing else, stderr what is asked for."""
    done = runner("run", runner.file(ONE_BAD), "--out", "batch", "--json", "--quiet")
    assert done.err == ""
    document = done.document
    assert document.pop("execution_path") == f"{home}/batch/execution.json"
    assert document == json.loads((home / "batch/execution.json").read_bytes())
    assert (document["job_count"], document["success"]) == (2, True)


def test_without_out_the_file_has_a_folder_of_its_own(runner: JobRunner, tmp_path: Path) -> None:
    """In the state directory, by the file's path: an edited file makes only what has changed."""
    first = runner("run", runner.file(ONE_BAD), "--json").document
    path = tmp_path / "state" / "runs"
    assert first["execution_path"].startswith(f"{path}/jobs-")
    edited = runner("run", runner.file(ONE_BAD.replace('"One."', '"Another one."')), "--json").document
    assert edited["execution_path"] == first["execution_path"]
    assert [each["status"] for each in edited["jobs"]] == ["ok", "skipped"]
    runner.file(ONE_BAD, "other.yaml")
    assert runner("run", "other.yaml", "--dry-run", "--json").document["execution_path"] != first["execution_path"]


def test_a_dry_run(runner: JobRunner, home: Path) -> None:
    """Says what would be made; no audio, and `logs` does not take it for a run."""
    done = runner("run", runner.file(ONE_BAD), "--out", "batch", "--dry-run", "--json")
    assert (done.code, done.document["dry_run"], done.document["success"]) == (0, True, True)
    assert [each["reason"] for each in done.document["jobs"]] == ["dry_run", "dry_run"]
    assert done.document["execution_path"] == f"{home}/batch/execution.dry-run.json"
    assert not list(home.rglob("*.wav"))
    none = runner("logs")
    assert (none.code, none.err) == (4, "error: nothing was executed here yet\nhint: `job-runner run FILE` does it\n")


def test_a_file_with_mistakes_runs_nothing(runner: JobRunner, home: Path) -> None:
    """Exit 2, the lines, nothing written; a voice must be here."""
    refused = runner("run", runner.file('- {output_name: a, voice: stranger, text: "A."}\n'), "--out", "batch")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("jobs.yaml:1: jobs[0].voice: no voice is named 'stranger'")
    assert "nothing was compiled" in refused.err
    assert not (home / "batch").exists()


def test_no_jobs_are_a_success(runner: JobRunner) -> None:
    """And it says so."""
    done = runner("run", runner.file("jobs: []\n"), "--out", "batch")
    assert (done.code, done.out) == (0, "0 jobs: nothing, in 0.0 s\n")
    assert "no jobs in jobs.yaml" in done.err


def test_a_failed_job_is_exit_1(runner: JobRunner, home: Path) -> None:
    """Its error stands in its row, the others are made; `logs` shows it again."""
    runner("compile", runner.file(ONE_BAD), "--out", "batch")
    broken(home)
    done = runner("execute-manifest", "batch/manifest.json")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[1].split()[:2] == ["story:one", "failed"]
    assert "is not what was compiled (content_hash differs)" in lines[2]
    assert lines[3].startswith("  hint: compile again")
    assert "2 jobs: 1 failed, 1 ok, in " in done.out
    assert "failed" in done.err.splitlines()[0]
    assert "failed jobs: mend them and run it again" in done.err
    shown = runner("logs")
    assert shown.code == 0
    assert shown.out == done.out
    assert shown.err == f"execution: {home}/batch/execution.json\n"


def test_fail_fast(runner: JobRunner, home: Path) -> None:
    """The rest is skipped and says so."""
    runner("compile", runner.file(ONE_BAD), "--out", "batch")
    broken(home)
    done = runner("execute-manifest", "batch", "--fail-fast", "--json")
    assert (done.code, done.document["executed_count"], done.document["failed_count"]) == (1, 1, 1)
    assert [each.get("reason") for each in done.document["jobs"]] == [None, "fail_fast"]


@pytest.mark.parametrize("change", [{"argv": ["rm", "-rf", "x"]}, {"out_exact": "../x"}, {"output_name": "/x"}])
def test_a_hostile_manifest_is_exit_2(runner: JobRunner, home: Path, change: dict[str, object]) -> None:
    """Nothing is run, and no document is written."""
    runner("compile", runner.file(ONE_BAD), "--out", "batch")
    manifest = home / "batch/manifest.json"
    document = json.loads(manifest.read_bytes())
    document["jobs"][1].update(change)
    manifest.write_text(json.dumps(document))
    refused = runner("execute-manifest", "batch", "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "is not executed, it is not sound" in refused.err
    assert not (home / "batch/execution.json").exists()
    assert not list(home.rglob("*.wav"))


def test_a_folder_can_be_carried_away(runner: JobRunner, home: Path) -> None:
    """Compiled here, executed there: the manifest knows no place."""
    runner("compile", runner.file(ONE_BAD), "--out", "batch")
    (home / "batch").rename(home / "carried")
    done = runner("execute-manifest", "carried", "--json")
    assert done.code == 0
    assert (home / "carried/story/one/take_01.wav").exists()


def test_logs_of_a_run_that_was_named(runner: JobRunner, home: Path) -> None:
    """By its document, its folder or its manifest; --json is the document as it was written."""
    runner("run", runner.file(ONE_BAD), "--out", "batch")
    wanted = json.loads((home / "batch/execution.json").read_bytes())
    for name in ("batch", "batch/manifest.json", "batch/execution.json"):
        assert runner("logs", name, "--json").document == wanted
    assert runner("logs", "nowhere").code == runner("logs", "batch/manifest.json/x").code == 4
    assert runner("logs", "--json").document == wanted


def test_logs_of_a_run_that_was_cut_off(runner: JobRunner, home: Path) -> None:
    """It says so, and in which job."""
    runner("run", runner.file(ONE_BAD), "--out", "batch")
    path = home / "batch/execution.json"
    document = json.loads(path.read_bytes())
    path.write_text(
        json.dumps({**document, "completed_at": None, "current": "story:two", "jobs": document["jobs"][:1]})
    )
    assert "2 jobs: 1 ok; it runs still, or was cut off at story:two\n" in runner("logs").out


def test_logs_of_a_damaged_document(runner: JobRunner, home: Path) -> None:
    """Exit 2 with the mend, with --json too; what is foreign in a sound one does not reach the terminal as it is."""
    runner("run", runner.file(ONE_BAD), "--out", "batch")
    path = home / "batch/execution.json"
    document = json.loads(path.read_bytes())
    path.write_text(json.dumps({**document, "completed_at": None, "current": "\x1b[2J"}))
    assert "cut off at \\x1b[2J\n" in runner("logs").out
    for damage in ({"jobs": ["x"]}, {"job_count": "abc"}, {"duration_sec": float("inf")}):
        path.write_text(json.dumps({**document, **damage}))
        for flags in ((), ("--json",)):
            refused = runner("logs", *flags)
            assert (refused.code, refused.out) == (2, "")
            assert "or a damaged one" in refused.err
            assert "hint: run the manifest again" in refused.err


def test_a_state_directory_that_cannot_be_written_stops_nothing(
    runner: JobRunner, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only `logs` alone needs it."""
    (home / "file").write_text("")
    monkeypatch.setenv("JOBS_STATE_DIR", str(home / "file" / "below"))
    assert runner("run", runner.file(ONE_BAD), "--out", "batch", "--quiet").code == 0
