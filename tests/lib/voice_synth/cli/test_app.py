"""The program as a whole: its help, its list of commands, and what it does not import."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer.main

from lib.voice_synth.cli.app import COMMANDS, module_of
from tests.lib.voice_synth.cli.conftest import PROGRAM

if TYPE_CHECKING:
    from tests.lib.voice_synth.cli.conftest import VoiceSynth

ROOT = Path(__file__).parents[4]
_HEAVY = ("numpy", "hibari", "onnxruntime", "piper", "faster_whisper")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_where_the_list_says(name: str, synth: VoiceSynth) -> None:
    """Its help begins with the line of the list, and shows examples that begin with the program."""
    command = typer.main.get_command(importlib.import_module(f"lib.voice_synth.cli.{module_of(name)}").app)
    assert (command.name, command.help) == (name, COMMANDS[name])
    done = synth(name, "--help")
    assert (done.code, done.err) == (0, "")
    assert f"Examples:\n    voice-synth {name} " in done.out or f"Examples:\n    voice-synth {name}\n" in done.out
    assert "--json" in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_an_example_fits_a_narrow_terminal(name: str, synth: VoiceSynth) -> None:
    """They are shown as they are written, and a broken line could not be copied."""
    examples = synth(name, "--help").out.partition("Examples:")[2].partition("\n\n")[0]
    assert [line for line in examples.splitlines() if len(line) > 80] == []


def test_no_module_is_left_out_of_the_list() -> None:
    """A command that nobody lists could not be called."""
    parts = {"__init__", "__main__", "app", "options", "output", "places"}
    modules = {path.stem for path in (ROOT / "lib/voice_synth/cli").glob("*.py")} - parts
    assert modules == {module_of(name) for name in COMMANDS}


@pytest.mark.parametrize("words", [["--help"], ["speak", "--help"], ["register", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    """It answers at once, on a machine without any engine too."""
    code = (
        f"import sys\nfrom lib.voice_synth.cli import main\nmain({words!r})\n"
        f"sys.stderr.write(' '.join(m for m in {_HEAVY!r} if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout


def test_the_program_runs_by_its_module_name(synth: VoiceSynth) -> None:
    """As a process of its own, its exit code is that of the command."""
    done = subprocess.run([*PROGRAM, "delete", "anna", "--yes"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith(f"error: no voice 'anna' in {synth.voices}")


def test_a_reader_that_goes_away_is_no_error(synth: VoiceSynth) -> None:
    """`voice-synth capabilities | head -1` ends as it would have."""
    line = f"{' '.join(PROGRAM)} list-speakers | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, cwd=synth.home)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SPEAKER")


def test_an_error_that_nobody_foresaw_is_one_sentence(synth: VoiceSynth, monkeypatch: pytest.MonkeyPatch) -> None:
    """No traceback for people."""
    monkeypatch.setattr("lib.voice_synth.library_facts.speakers_here", lambda: 1 // 0)
    done = synth("list-speakers")
    assert (done.code, done.out) == (1, "")
    assert "ZeroDivisionError" in done.err
    assert "Traceback" not in done.err


CANARY = "hf_0123456789abcdef"


@pytest.mark.parametrize("words", [["delete", CANARY, "--yes"], ["speak", f"--{CANARY}"], [CANARY]])
def test_no_error_shows_a_secret(words: list[str], synth: VoiceSynth, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the environment holds as a secret is blackened, in usage errors and in documents too."""
    monkeypatch.setenv("HF_TOKEN", CANARY)
    done = synth(*words, "--json")
    assert done.code in {2, 4}
    assert "***" in done.err
    assert CANARY not in done.err + done.out


def test_a_wrong_flag_is_a_document_too(synth: VoiceSynth) -> None:
    """As the help says of every error with --json."""
    done = synth("list-voices", "--bogus", "--json")
    assert (done.code, done.document["error"]["code"]) == (2, "invalid_input")
    assert "--bogus" in done.document["error"]["message"]
    assert "--bogus" in done.err
