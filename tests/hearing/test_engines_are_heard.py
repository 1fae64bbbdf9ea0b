"""What each engine that is installed here really says, a listener understands."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lib.capabilities.speech import WarmEngines
from lib.voice_synth.engines.registry import make_engine
from lib.voice_synth.request import SpeechRequest
from lib.voice_synth.takes import Speaking
from tests.hearing.hearing import MOST_WRONG_WORDS, transcribe, word_error_rate

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (
    "It was the best of times, it was the worst of times, it was the age of wisdom, "
    "it was the age of foolishness. The king was dead, and the people danced in the streets."
)


@pytest.fixture(scope="module")
def engines() -> WarmEngines:
    """The engines of one process, warm for all tests here."""
    return WarmEngines(make_engine)


def heard(engines: WarmEngines, directory: Path, **given: str) -> str:
    """What a listener writes down of the one take."""
    lacking = engines.known(given["engine"]).missing()
    if lacking is not None:
        said = f"this machine lacks {lacking}"
        pytest.fail(said) if os.environ.get("CI") == "true" else pytest.skip(said)
    who = {} if "speaker" in given else {"voice": "newsroom"}
    for _ in Speaking(SpeechRequest(TEXT, **who, **given), engines, directory).steps():  # type: ignore[arg-type]  # texts
        pass
    return transcribe(directory / "take_01.wav")


@pytest.mark.hearing
@pytest.mark.parametrize(
    "given",
    [
        {"engine": "hibari"},
        {"engine": "piper", "profile": "stable"},
        {"engine": "piper", "profile": "expressive", "speaker": "Ryan"},
    ],
    ids=lambda given: "-".join(given.values()),
)
def test_the_natural_voices_are_understood(given: dict[str, str], engines: WarmEngines, tmp_path: Path) -> None:
    """At most a quarter of the words wrong, at either end of the profiles and by the quickest stand-in."""
    words = heard(engines, tmp_path, **given)
    assert word_error_rate(TEXT, words) <= MOST_WRONG_WORDS, words


@pytest.mark.hearing
def test_the_machines_voice_says_these_words(engines: WarmEngines, tmp_path: Path) -> None:
    """It is no pleasure to hear, and yet most of the words are there: nothing is skipped or read by other rules."""
    words = heard(engines, tmp_path, engine="espeak")
    assert word_error_rate(TEXT, words) <= 2 * MOST_WRONG_WORDS, words
