"""What is said before a job is spoken is what its result says afterwards."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lib.capabilities.speech import WarmEngines
from lib.errors import PermanentError
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.library import VoiceLibrary
from lib.voice_synth.made_by import PARTS, made_by_of_result, made_by_there, makers_of
from lib.voice_synth.request import request_of_job
from lib.voice_synth.takes import Speaking
from lib.voice_synth.voices import VoiceRegistry
from tests.lib.voice_synth.own_voices import LOADABLE, own_voice

if TYPE_CHECKING:
    from pathlib import Path

VOICES = VoiceRegistry()


@pytest.fixture(scope="module")
def engines() -> WarmEngines:
    """Warm for all tests here."""
    return WarmEngines(make_engine)


def job(**given: Any) -> JobSpec:
    """A job of the built-in voice, or of the speaker that is given."""
    voice = {} if "speaker" in given else {"voice": "newsroom"}
    return normalize_job_spec({"request_id": "a", "text": "Good evening.", **voice, **given})


@pytest.mark.parametrize("fields", [{}, {"speaker": "Ryan"}, {"variants": 2, "select_best": True, "profile": "stable"}])
def test_what_is_said_before_is_what_came_out(engines: WarmEngines, tmp_path: Path, fields: dict[str, Any]) -> None:
    """Of the built-in voice and of a speaker: all parts are equal, or no job would find what was made for its like."""
    spec = job(**fields)
    speaking = Speaking(request_of_job(spec), engines, tmp_path)
    for _ in speaking.steps():
        pass
    said = makers_of(VOICES)["metal"](spec)
    assert tuple(said) == PARTS
    assert made_by_of_result(speaking.report().summary) == said


def test_the_cloud_speaks_with_its_own_model() -> None:
    """By the model's name; without one there is no maker. A voice of somebody's own is spoken on no cloud."""
    assert set(makers_of(VOICES)) == {"metal"}
    makers = makers_of(VOICES, "gemini-tts-1")
    said = makers["cloud"](job(speaker="Ryan"))
    assert (said["engine"], said["version"], said["voice"]) == ("gemini", "gemini-tts-1", "Fenrir")
    assert makers_of(VOICES, "gemini-tts-2")["cloud"](job(speaker="Ryan"))["version"] == "gemini-tts-2"
    assert makers["metal"](job(speaker="Ryan"))["engine"] == "hibari"
    with pytest.raises(PermanentError, match="no sound on the engine gemini"):
        makers["cloud"](job())


def test_a_voice_that_sounds_different_is_another(tmp_path: Path) -> None:
    """A registered voice whose file has changed; where the files lie changes nothing."""
    own_voice(tmp_path / "voices")
    spec = job(voice="anna")
    before = made_by_there(spec, "piper", VoiceLibrary(tmp_path / "voices"))
    shutil.move(tmp_path / "voices", tmp_path / "moved")
    assert made_by_there(spec, "piper", VoiceLibrary(tmp_path / "moved")) == before
    own_voice(tmp_path / "others", content=LOADABLE)
    changed = made_by_there(spec, "piper", VoiceLibrary(tmp_path / "others"))
    assert {name for name in before if before[name] != changed[name]} == {"voice_digest"}


def test_an_engine_elsewhere_need_not_be_here() -> None:
    """All is said but the version of a model that this machine may lack."""
    said = made_by_there(job(speaker="Vivian"), "qwen", VOICES)
    assert set(said) == {*PARTS} - {"version"}
    assert said["voice"] == "Vivian"
    with pytest.raises(PermanentError, match="no speech engine is named"):
        made_by_there(job(), "nobody", VOICES)


@pytest.mark.parametrize(
    "result",
    [
        None,
        {},
        {"model": None, "takes": [{"seed": 0}]},
        {"model": {"engine": "hibari"}, "takes": [{"seed": 0}]},
        {"model": dict.fromkeys(PARTS, "x"), "takes": []},
        {"model": dict.fromkeys(PARTS, "x"), "takes": [{}]},
        {"model": {**dict.fromkeys(PARTS, "x"), "speed": None}, "takes": [{"seed": 0}]},
        {"model": {**dict.fromkeys(PARTS, "x"), "speed": True}, "takes": [{"seed": 0}]},
        {"model": "hibari", "takes": "none"},
    ],
)
def test_a_result_that_does_not_say_all_has_no_key(result: dict[str, Any] | None) -> None:
    """Of another program or version: nothing is noted, rather than something wrong."""
    assert made_by_of_result(result) is None


def test_what_nothing_here_speaks_is_refused() -> None:
    """As the body refuses it, which then says so."""
    with pytest.raises(PermanentError, match="no voice is named"):
        makers_of(VOICES)["metal"](job(voice="nobody"))
