"""`execute-manifest --follow` as a program: events alone on stdout, what engines print on stderr, its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lib.settings import Settings

if TYPE_CHECKING:
    from tests.job_runner.conftest import JobRunner

CHATTERING = """
import sys
from job_runner.cli.app import main
from lib.voice_synth.engines import registry
from tests.lib.voice_synth.scripted_engine import ScriptedEngine, spoken

def chatter(text, settings):
    print("loading", text)
    yield from spoken(text, settings)

registry.ENGINES = {"hibari": lambda: ScriptedEngine(chatter, name="hibari")}
sys.exit(main(sys.argv[1:]))
"""


def test_stdout_has_events_alone_and_the_folders_are_found_below_the_directory(runner: JobRunner, home: Path) -> None:
    """An engine that prints spoils no line; one folder that is none makes the exit code 1, after all others."""
    jobs = (
        "{defaults: {voice: newsroom, chunk: true}, "
        'jobs: [{output_name: a, text: "One. Two."}, {output_name: b, text: "One. Three."}]}'
    )
    assert runner("compile", runner.file(jobs), "--out", "batches/one").code == 0
    done = subprocess.run(
        [sys.executable, "-c", CHATTERING, "execute-manifest", "batches", "--follow"],
        input=b"none\none\n",
        capture_output=True,
        check=False,
        cwd=home,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    said = [(each["event"], each.get("request_id", "")) for each in events if each["event"] != "progress"]
    assert said == [
        ("ready", ""),
        ("refused", ""),
        ("batch_done", ""),
        ("begun", "a"),
        ("ended", "a"),
        ("begun", "b"),
        ("ended", "b"),
        ("batch_done", ""),
    ]
    assert b"loading One." in done.stderr
    assert done.returncode == 1
    assert (home / "batches/one/b/take_01.wav").is_file()
    result = json.loads((home / "batches/one/b/result.json").read_bytes())
    assert result["sentences"] == {"at_hand": 1, "of": 2}
    # They go with the directory: nothing of them is left on somebody's machine.
    assert (home / "batches/.clips").is_dir()
    assert not (Settings.load().jobs_state_dir / "clips").exists()


@pytest.mark.parametrize("flag", ["--dry-run", "--fail-fast", "--again"])
def test_flags_of_one_folder_have_no_place_beside_it(runner: JobRunner, flag: str) -> None:
    """A wrong command line, said before stdin is read."""
    done = runner("execute-manifest", ".", "--follow", flag)
    assert done.code == 2
    assert "--follow goes with none of" in done.err


def test_what_is_no_directory_is_refused(runner: JobRunner) -> None:
    """With --follow it is the directory of the folders."""
    done = runner("execute-manifest", "nowhere", "--follow")
    assert done.code == 2
    assert "nowhere is no directory" in done.err
