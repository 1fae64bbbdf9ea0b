"""The one error boundary, the same for every program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from job_runner.cli.app import PROGRAM as JOB_RUNNER
from job_watcher.cli import PROGRAM as JOB_WATCHER
from lib.command_line.boundary import DEBUG_VARIABLE, explain
from lib.command_line.output import Output
from lib.errors import InvalidJobsError, JobRunnerError, Problem
from lib.voice_synth.cli.app import PROGRAM as VOICE_SYNTH
from lib.voice_synth.cli.output import Output as VoiceOutput

if TYPE_CHECKING:
    from pathlib import Path

    from lib.command_line.boundary import Program

PROGRAMS = pytest.mark.parametrize("program", [JOB_RUNNER, JOB_WATCHER, VOICE_SYNTH], ids=lambda each: each.name)
CANARY = "canary-that-nobody-may-see"


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DEBUG_VARIABLE, raising=False)
    monkeypatch.setenv("JOBS_STATE_DIR", str(tmp_path / "state"))


@PROGRAMS
def test_a_wrong_flag_shows_how_it_is_typed(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and the usage line, by the name that was typed."""
    assert program.run(["--no-such-flag"], Output()) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert program.name in said.err
    assert "--no-such-flag" in said.err


@PROGRAMS
def test_what_is_quoted_of_a_secret_is_blackened(
    program: Program, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the words of the library that reads the command line."""
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    assert program.run([f"--{CANARY}"], Output()) == 2
    assert CANARY not in capsys.readouterr().err


def test_a_line_of_env_that_is_none_is_told_by_every_program_that_reads_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In our words, with the line, once; and the command goes on."""
    (tmp_path / ".env").write_text("METAL_CONCURRENCY=1\nthis is no setting\n")
    for program, words in ((JOB_RUNNER, ["logs"]), (JOB_WATCHER, ["ping"]), (VOICE_SYNTH, ["list-voices"])):
        program.run(words, Output())
        said = capsys.readouterr().err
        assert said.count(".env") == 1, (program.name, said)
        assert "2" in said
        assert "python-dotenv" not in said


def test_an_error_hides_its_secrets_and_keeps_its_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On stderr and in the document that voice-synth prints."""
    monkeypatch.setenv("SOME_API_KEY", CANARY)
    explain(JobRunnerError(f"refused {CANARY}", hint=f"not {CANARY}"), VoiceOutput(as_json=True))
    said = capsys.readouterr()
    assert json.loads(said.out)["error"] == {"code": JobRunnerError.code, "message": "refused ***", "hint": "not ***"}
    assert said.err == "error: refused ***\nhint: not ***\n"


def test_all_problems_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Line by line before the sum of them; what drives a terminal is shown, not sent."""
    problems = (Problem("a.yaml", 3, "jobs[0].voice", "no \x1b[31mvoice"), Problem("b.yaml", 9, "", "x"))
    explain(InvalidJobsError(problems), Output())
    assert capsys.readouterr().err.splitlines() == [
        r"a.yaml:3: jobs[0].voice: no \x1b[31mvoice",
        "b.yaml:9: x",
        "error: 2 problems, nothing was queued",
        "hint: mend the lines above and run it again",
    ]
