"""Only known voices and speakers speak, and what stands in for another is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.errors import PermanentError
from lib.voice_synth.engines.base import EngineVoice
from lib.voice_synth.engines.hibari import HibariEngine
from lib.voice_synth.voices import NEWSROOM, SPEAKERS, Choice, UnknownVoiceError, Voice, VoiceRegistry
from tests.lib.voice_synth.scripted_engine import ScriptedEngine

if TYPE_CHECKING:
    from pathlib import Path

HIBARI = HibariEngine()
VOICES = VoiceRegistry()


def test_newsroom_is_built_in() -> None:
    """The voice of the first example file needs no registration and is nobody's substitute."""
    choice = VOICES.choose(HIBARI, voice="newsroom", speaker=None)
    assert (choice.engine, choice.voice.name, choice.substituted) == ("hibari", "heart", None)


def test_every_listed_speaker_is_spoken_by_a_stand_in() -> None:
    """On the default engine all nine names work, sound at a sane pace, and are said to be substituted."""
    assert set(SPEAKERS) == {
        "Vivian",
        "Serena",
        "Uncle_Fu",
        "Dylan",
        "Eric",
        "Ryan",
        "Aiden",
        "Ono_Anna",
        "Sohee",
    }
    for speaker in SPEAKERS:
        choice = VOICES.choose(HIBARI, voice=None, speaker=speaker)
        assert choice.voice.name in HIBARI.voices
        assert 0.85 <= choice.voice.speed <= 1.15
        assert choice.substituted == {"asked": speaker, "used": "heart", "engine": "hibari"}


def test_an_engine_that_has_the_speaker_gives_it() -> None:
    """No stand-in and no note where the speaker is real."""
    choice = VOICES.choose(ScriptedEngine(), voice=None, speaker="Ryan")
    assert (choice.voice, choice.substituted) == (EngineVoice("Ryan"), None)


@pytest.mark.parametrize("name", ["ryan", "Rian", "RYAN"])
def test_a_near_miss_is_told_the_name(name: str) -> None:
    """An unlisted speaker is refused for good, and the hint has the one that was meant."""
    with pytest.raises(UnknownVoiceError) as caught:
        VOICES.choose(HIBARI, voice=None, speaker=name)
    assert name in caught.value.message
    assert "Ryan" in (caught.value.hint or "")
    assert isinstance(caught.value, PermanentError)


def test_an_unknown_name_is_told_all_names() -> None:
    """With nothing near, every known name is listed."""
    with pytest.raises(UnknownVoiceError) as caught:
        VOICES.choose(HIBARI, voice=None, speaker="Zaphod")
    assert all(speaker in (caught.value.hint or "") for speaker in SPEAKERS)
    with pytest.raises(UnknownVoiceError, match="newsrom") as caught:
        VOICES.choose(HIBARI, voice="newsrom", speaker=None)
    assert "newsroom" in (caught.value.hint or "")


def test_an_unlisted_name_is_no_speaker_even_if_the_engine_has_such_a_voice() -> None:
    """`heart` is a voice inside the engine, not a name that a job may ask for."""
    with pytest.raises(UnknownVoiceError):
        VOICES.choose(HIBARI, voice=None, speaker="heart")


def test_neither_voice_nor_speaker() -> None:
    """A job without either is refused, not given some voice."""
    with pytest.raises(UnknownVoiceError):
        VOICES.choose(HIBARI, voice=None, speaker=None)


def test_a_voice_or_speaker_that_this_engine_cannot_sound() -> None:
    """Known names without a sound on the engine at hand are permanent errors that name the engine."""
    with pytest.raises(PermanentError, match="scripted"):
        VOICES.choose(ScriptedEngine(), voice="newsroom", speaker=None)
    with pytest.raises(PermanentError, match="no stand-in"):
        VOICES.choose(ScriptedEngine(), voice=None, speaker="Sohee")


def test_registered_voices_join_the_built_in_one() -> None:
    """A registry of more voices is a new object; of two with one slug the later counts."""
    slow = Voice("newsroom", "slower", {"hibari": EngineVoice("heart", 0.8)})
    own = Voice("mine", "mine", {"scripted": EngineVoice("plain")})
    more = VoiceRegistry((NEWSROOM, slow, own))
    assert more.choose(HIBARI, voice="newsroom", speaker=None).voice.speed == 0.8
    assert more.choose(ScriptedEngine(), voice="mine", speaker=None).voice.name == "plain"
    assert VOICES.slugs == ("newsroom",)
    assert VOICES.require("newsroom") is NEWSROOM


def test_the_digest_follows_the_sound() -> None:
    """The same choice has the same digest for ever; another pace, voice or engine has another."""
    digests = {VOICES.choose(HIBARI, voice=None, speaker=speaker).digest for speaker in SPEAKERS}
    paces = {VOICES.choose(HIBARI, voice=None, speaker=speaker).voice.speed for speaker in SPEAKERS}
    assert len(digests) == len(paces)
    newsroom = VOICES.choose(HIBARI, voice="newsroom", speaker=None)
    assert newsroom.digest == VOICES.choose(HIBARI, voice=None, speaker="Eric").digest


def test_the_digest_follows_what_a_voice_brings(tmp_path: Path) -> None:
    """Another file or another text is another sound; the place of a file is not, and one that is gone is said."""

    def digest(where: str, content: bytes, **texts: str) -> str:
        path = tmp_path / where
        path.write_bytes(content)
        return Choice("qwen", EngineVoice("", files={"reference_audio": path}, texts=texts), None).digest

    assert digest("a.wav", b"one") == digest("b.wav", b"one")
    assert len({digest("a.wav", b"one"), digest("a.wav", b"other"), digest("a.wav", b"one", reference_text="hi")}) == 3
    with pytest.raises(PermanentError, match=r"gone\.wav"):
        _ = Choice("qwen", EngineVoice("", files={"reference_audio": tmp_path / "gone.wav"}), None).digest
