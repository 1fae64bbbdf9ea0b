"""The recogniser of the extra [qa] hears real speech, and words are counted as a person would."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING

import pytest

from lib.capabilities.speech import WarmEngines
from lib.errors import PermanentError
from lib.voice_synth import listening
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.listening import WhisperListener, intelligibility, listener_here, missing
from lib.voice_synth.request import SpeechRequest
from lib.voice_synth.takes import Speaking
from tests.lib.voice_synth.scripted_engine import ScriptedEngine

if TYPE_CHECKING:
    from pathlib import Path

    from lib.voice_synth.takes import Report

TEXT = "The old lighthouse keeper climbed the stairs every night, and lit the lamp with a steady hand."


class ByName:
    """Hears what the test wrote down for each file."""

    def __init__(self, heard: dict[str, str]) -> None:
        self.heard = heard
        self.asked: list[str] = []

    def hear(self, wav: Path) -> str:
        """The words of this file."""
        self.asked.append(wav.name)
        return self.heard[wav.name]


def spoken(request: SpeechRequest, engines: WarmEngines, directory: Path) -> Report:
    """All steps to the end."""
    speaking = Speaking(request, engines, directory)
    for _ in speaking.steps():
        pass
    return speaking.report()


@pytest.mark.parametrize(
    ("said", "heard", "share"),
    [
        ("One two three four.", "one, two, three, four", 1.0),
        ("One two three four.", "one two three", 0.75),
        ("Don\u2019t stop.", "don't stop", 1.0),
        ("One.", "none of these words", 0.0),
        ("...", "anything", 1.0),
    ],
)
def test_words_are_counted_without_punctuation_and_never_below_zero(said: str, heard: str, share: float) -> None:
    """Case, commas and curved apostrophes are no mistakes; more wrong words than there are is still only 0."""
    assert intelligibility(said, heard) == share


@pytest.mark.hearing
def test_real_speech_is_understood(tmp_path: Path) -> None:
    """Takes of the bundled voice are heard word for word, and the ranking in result.json says what was heard."""
    assert missing() is None
    request = SpeechRequest(TEXT, voice="newsroom", variants=2, select_best=True)
    report = spoken(request, WarmEngines(make_engine, listener_here), tmp_path)
    ranking = report.document["selection"]["ranking"]
    assert [rank["intelligibility"] for rank in ranking] == [1.0, 1.0]
    assert "lighthouse keeper" in ranking[0]["heard"]
    assert report.document["selection"]["method"].startswith("intelligibility")


def scripted(listener: ByName | None) -> WarmEngines:
    """An engine that is quick to speak, and this listener."""
    engine = ScriptedEngine()
    return WarmEngines(lambda _: engine, lambda: listener)


def test_the_take_that_was_understood_is_the_best(tmp_path: Path) -> None:
    """best.wav is the take that says the text, though the takes sound alike."""
    heard = {"take_01.wav": "the wrong words", "take_02.wav": TEXT, "take_03.wav": "nothing"}
    listener = ByName(heard)
    request = SpeechRequest(TEXT, speaker="Ryan", variants=3, select_best=True)
    report = spoken(request, scripted(listener), tmp_path)
    assert report.document["selection"]["selected_take"] == 2
    assert listener.asked == sorted(heard)
    assert (tmp_path / "best.wav").read_bytes() == (tmp_path / "take_02.wav").read_bytes()


@pytest.mark.parametrize(
    "fields",
    [
        {"variants": 3},
        {"variants": 1, "select_best": True},
        {"variants": 2, "select_best": True, "language": "French"},
    ],
)
def test_nobody_listens_in_vain(tmp_path: Path, fields: dict[str, object]) -> None:
    """Without a choice to make, or in a language that the recogniser does not know, no second is spent on it."""
    listener = ByName({})
    request = SpeechRequest(TEXT, speaker="Ryan", **fields)  # type: ignore[arg-type]  # a table of fields
    spoken(request, scripted(listener), tmp_path)
    assert listener.asked == []


def test_without_the_extra_takes_are_ranked_by_what_is_measured(tmp_path: Path) -> None:
    """A machine without a recogniser still picks, and says how."""
    request = SpeechRequest(TEXT, speaker="Ryan", variants=2, select_best=True)
    selection = spoken(request, scripted(None), tmp_path).document["selection"]
    assert selection["method"] == "pace, level, pauses and clipping"
    assert all("intelligibility" not in rank for rank in selection["ranking"])


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """`capabilities` and the doctor can say which package is not there."""
    monkeypatch.setattr(listening, "_NEEDED", ("json", "no_such_recogniser"))
    assert missing() == "not installed: no_such_recogniser (the extra [qa])"
    assert listener_here() is None


def test_a_file_that_is_no_sound_is_an_error_of_ours(tmp_path: Path) -> None:
    """A broken recogniser or file ends the job with a message, not the child with a traceback."""
    bad = tmp_path / "bad.wav"
    with wave.open(str(bad), "wb") as empty:
        empty.setnchannels(1)
        empty.setsampwidth(2)
        empty.setframerate(24_000)
    bad.write_bytes(b"no sound at all")
    with pytest.raises(PermanentError, match=r"listening to bad\.wav"):
        WhisperListener().hear(bad)
