"""What there is to speak with: true of this machine, and said without loading anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lib.voice_synth.engines.registry import ENGINES, make_engine
from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.library_facts import capabilities_here, speakers_here, voices_here
from lib.voice_synth.voices import SPEAKERS, Choice, VoiceRegistry
from tests.lib.voice_synth.own_voices import own_voice, placed

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[3]


def test_every_engine_says_what_it_can_or_lacks() -> None:
    """In the order in which they are asked; the default one can always speak."""
    found = capabilities_here()
    assert [engine["engine"] for engine in found["engines"]] == list(ENGINES)
    for engine in found["engines"]:
        assert (engine["why_not"] is None) == engine["usable"]
        assert isinstance(engine["deterministic"], bool)
    hibari = found["engines"][0]
    assert (hibari["engine"], hibari["usable"], hibari["sample_rate"]) == ("hibari", True, 24_000)
    assert "English" in hibari["languages"]
    assert "hibari-tts-" in hibari["version"]
    assert (found["qa"]["why_not"] is None) == found["qa"]["usable"]


def test_a_broken_engine_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that fails whatever it is asked is not usable, and the rest of the list stands."""
    program = tmp_path / "espeak-ng"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    found = {engine["engine"]: engine for engine in capabilities_here()["engines"]}
    assert list(found) == list(ENGINES)
    assert (found["hibari"]["usable"], found["espeak"]["usable"]) == (True, False)
    assert "espeak-ng --version failed" in found["espeak"]["why_not"]


def test_the_parts_of_a_voice_are_shown() -> None:
    """Whoever registers one reads here what to bring."""
    [piper] = [engine for engine in capabilities_here()["engines"] if engine["engine"] == "piper"]
    assert {"role": "model", "kind": "file", "required": True, "what": "the .onnx model"} in piper["voice_parts"]


def test_every_listed_speaker_has_somebody_to_speak() -> None:
    """The engine and voice that a job would get, stand-in or not."""
    found = speakers_here()
    assert [each["speaker"] for each in found] == list(SPEAKERS)
    for each in found:
        engine = make_engine(each["engine"])
        choice = VoiceRegistry().choose(engine, voice=None, speaker=each["speaker"])
        assert (choice.voice.name, choice.voice.speed) == (each["voice"], each["speed"])
        assert each["stand_in"] == (choice.substituted is not None)


def test_voices_and_their_digests(tmp_path: Path) -> None:
    """The digest of a voice on an engine is the one that a record has, and follows what is in its files."""
    voices = tmp_path / "s" / "voices"
    own_voice(voices, description="Reads softly.", language="English")
    by_slug = {each["slug"]: each for each in voices_here(voices)}
    assert list(by_slug) == ["newsroom", "anna"]
    newsroom = VoiceRegistry().choose(make_engine("hibari"), voice="newsroom", speaker=None)
    assert by_slug["newsroom"]["engines"]["hibari"]["digest"] == newsroom.digest
    first = by_slug["anna"]["engines"]["piper"]["digest"]
    anna = VoiceLibrary(voices).require("anna").on_engine["piper"]
    assert first == Choice("piper", anna, None).digest
    own_voice(voices, content=b"another", replace=True)
    second = {each["slug"]: each for each in voices_here(voices)}["anna"]["engines"]["piper"]["digest"]
    assert first != second
    own_voice(voices, replace=True)
    third = {each["slug"]: each for each in voices_here(voices)}["anna"]["engines"]["piper"]["digest"]
    assert first == third


def test_a_voice_for_an_engine_that_is_not_known_here(tmp_path: Path) -> None:
    """Listed, not usable, and said why."""
    placed(tmp_path)
    [anna] = [each for each in voices_here(tmp_path) if each["slug"] == "anna"]
    assert (anna["usable"], anna["broken"]) == (False, None)
    assert "elsewhere" in anna["engines"]["elsewhere"]["why_not"]


def test_nothing_is_loaded_to_know_it() -> None:
    """No model, no numpy: a look before queueing costs less than a job."""
    code = (
        "import sys, pathlib\n"
        "from lib.voice_synth.library_facts import capabilities_here, speakers_here, voices_here\n"
        "capabilities_here(); speakers_here(); voices_here(pathlib.Path('nowhere'))\n"
        "print(' '.join(m for m in ('numpy', 'onnxruntime', 'torch', 'faster_whisper') if m in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
