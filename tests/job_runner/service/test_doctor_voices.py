"""What doctor says of speech: the default engine must speak, another may be missing, a broken voice is named."""

from __future__ import annotations

from importlib import util
from typing import TYPE_CHECKING

from job_runner.service.doctor.voices import voice_checks
from lib.calling import install_extra
from lib.settings import Settings
from lib.voice_synth.engines import hibari, piper
from tests.lib.voice_synth.own_voices import own_voice

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from job_runner.service.doctor.checks import Check


def checks(tmp_path: Path) -> dict[str, Check]:
    """By the first word of what was found."""
    settings = Settings.load({"WATCHER_VOICES_DIR": str(tmp_path / "state" / "voices")})
    return {check.found.split()[0].rstrip(":,"): check for check in voice_checks(settings)}


def test_an_engine_that_was_never_installed_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to do for whoever wants it."""
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    monkeypatch.setattr(hibari.HibariEngine, "missing", lambda *_: None)
    monkeypatch.setenv("PATH", "/nowhere")
    found = checks(tmp_path)
    assert {name: check.state for name, check in found.items()} == dict.fromkeys(
        ("hibari", "piper", "qwen", "espeak", "newsroom"), "ok"
    )
    assert found["piper"].found == f"piper is not here, nor needed; for it: {install_extra('piper')}"
    assert "apt-get install espeak-ng" in found["espeak"].found


def test_the_default_engine_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it nothing of the examples can be spoken."""
    monkeypatch.setattr(util, "find_spec", lambda _: None)
    found = checks(tmp_path)["hibari"]
    assert (found.state, found.found) == ("wrong", "hibari lacks the package hibari-tts")
    assert found.mend == "pip install hibari-tts"


def test_an_engine_that_is_there_must_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an installation is a fault, whatever it raises."""

    def broken(_: object) -> None:
        raise RuntimeError("a library of another version")

    monkeypatch.setattr(piper.PiperEngine, "missing", lambda *_: None)
    monkeypatch.setattr(piper.PiperEngine, "load", broken)
    found = checks(tmp_path)["piper"]
    assert (found.state, found.found) == ("wrong", "piper: a library of another version")


def test_voices_of_the_directory_are_named(tmp_path: Path) -> None:
    """Whole ones in a row; one whose file has changed since it was registered has a line of its own."""
    place = tmp_path / "state" / "voices"
    own_voice(place, "anna")
    own_voice(place, "berta")
    assert checks(tmp_path)["newsroom"].found == "newsroom, anna, berta"
    next((place / "berta").glob("*.onnx")).write_bytes(b"another")
    found = checks(tmp_path)
    assert found["newsroom"].found == "newsroom, anna"
    assert found["berta"].state == "wrong"
    assert "another" not in found["berta"].found
    assert found["berta"].mend
