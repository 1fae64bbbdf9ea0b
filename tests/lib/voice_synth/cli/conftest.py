"""The program in this process, on a voice directory of the test's own."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lib.calling import RUN_VARIABLE
from lib.voice_synth.cli import main

PROGRAM = (sys.executable, "-m", "lib.voice_synth.cli")
"""The program as a process of its own."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        loaded: dict[str, Any] = json.loads(self.out)
        return loaded


@dataclass(slots=True)
class VoiceSynth:
    """The program `voice-synth`; `home` is its working directory, `voices` where its voices are."""

    home: Path
    voices: Path
    capture: pytest.CaptureFixture[str]
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> Outcome:
        """Run one command line."""
        self.capture.readouterr()
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        code = main([str(word) for word in words])
        captured = self.capture.readouterr()
        return Outcome(code, captured.out, captured.err)


@pytest.fixture
def synth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> VoiceSynth:
    """The program in an empty working directory, with nothing of the machine's environment."""
    home, voices = tmp_path / "home", tmp_path / "voices"
    home.mkdir()
    monkeypatch.chdir(home)
    monkeypatch.delenv(RUN_VARIABLE, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))
    monkeypatch.setenv("JOBS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("WATCHER_VOICES_DIR", str(voices))
    return VoiceSynth(home, voices, capsys, monkeypatch)
