"""A clip is found by all that decides how it sounds, and read back to the last bit or not at all."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.voice_synth.audio import Piece, piece_of
from lib.voice_synth.clips import Clip, NoClips, SpokenAnew, clip_key, of_bytes, to_bytes
from lib.voice_synth.documents import sentences_of_result
from lib.voice_synth.engines.base import EngineVoice, SynthesisSettings
from tests.lib.voice_synth.kept_clips import ClipsInMemory, clip
from tests.lib.voice_synth.scripted_engine import RATE

MODEL: dict[str, Any] = {
    "engine": "hibari",
    "version": "hibari-tts-1",
    "voice": "heart",
    "speed": 1.0,
    "voice_digest": "sha256:00",
    "sample_rate": 24_000,
}
SETTINGS = SynthesisSettings(voice=EngineVoice("heart"), language="English", seed=0)
OTHER: dict[str, Any] = {
    "language": "French",
    "seed": 1,
    "temperature": 0.5,
    "top_p": 0.9,
    "repetition_penalty": 1.1,
    "max_new_tokens": 100,
    "tone": "warm",
    "instruct": "softly",
    "instruct_style": "news",
}
KEY = clip_key("Good evening.", MODEL, SETTINGS)


def test_the_same_is_found_again() -> None:
    """The key depends on nothing else, and is a plain name."""
    assert clip_key("Good evening.", dict(MODEL), replace(SETTINGS)) == KEY
    assert (len(KEY), set(KEY) <= set("0123456789abcdef")) == (64, True)


@pytest.mark.parametrize("part", MODEL)
def test_another_model_or_voice_is_another_clip(part: str) -> None:
    """Each part of what speaks."""
    other = "other" if isinstance(MODEL[part], str) else MODEL[part] + 1
    assert clip_key("Good evening.", {**MODEL, part: other}, SETTINGS) != KEY


@pytest.mark.parametrize("name", OTHER)
def test_other_settings_are_another_clip(name: str) -> None:
    """Whatever an engine may be told."""
    assert clip_key("Good evening.", MODEL, replace(SETTINGS, **{name: OTHER[name]})) != KEY


def test_no_setting_is_left_out() -> None:
    """One that is added to the engines' settings must be added to the key; the voice is in the model's parts."""
    assert {field.name for field in fields(SynthesisSettings)} == {*OTHER, "voice"}


def test_another_text_is_another_clip() -> None:
    """One sign is enough; so is a second time, where an engine samples."""
    assert clip_key("Good evening!", MODEL, SETTINGS) != KEY
    assert clip_key("Good evening.", MODEL, SETTINGS, again=1) != KEY


samples = st.lists(st.floats(-1.5, 1.5, width=32), min_size=1, max_size=900)


@given(st.lists(samples, max_size=3))
def test_a_clip_comes_back_to_the_last_bit(sounds: list[list[float]]) -> None:
    """Samples and measures, so that a take of it is measured as the spoken one was."""
    pieces = [piece_of(np.array(sound, dtype=np.float32), RATE) for sound in sounds]
    made = Clip(RATE, tuple(piece for piece in pieces if piece is not None))
    again = of_bytes(KEY, to_bytes(KEY, made))
    assert again == made
    assert again is not None
    assert again.loudness == made.loudness


@given(st.data())
def test_a_clip_that_is_damaged_is_none(data: st.DataObject) -> None:
    """Cut anywhere, longer, or with one byte changed."""
    raw = to_bytes(KEY, clip(3, size=40))
    at = data.draw(st.integers(0, len(raw) - 1))
    other = data.draw(st.integers(1, 255))
    changed = bytearray(raw)
    changed[at] ^= other
    assert of_bytes(KEY, bytes(changed)) is None
    assert of_bytes(KEY, raw[:at]) is None
    assert of_bytes(KEY, raw + b"\0") is None


def test_a_clip_under_another_name_is_none() -> None:
    """A file that was copied or renamed by hand."""
    assert of_bytes("0" * 64, to_bytes(KEY, clip(1))) is None


@pytest.mark.parametrize(
    "odd",
    [
        Piece(b"\0\0", float("nan"), 0.0, 0, 0, 0),
        Piece(b"\0\0", -1.0, 0.0, 0, 0, 0),
        Piece(b"\0\0", 0.0, 0.0, -1, 0, 0),
        Piece(b"\0\0\0", 0.0, 0.0, 0, 0, 0),
        Piece(b"", 0.0, 0.0, 0, 0, 0),
    ],
)
def test_what_nobody_can_have_measured_is_none(odd: Piece) -> None:
    """Whole by its digest, and yet no clip."""
    try:
        raw = to_bytes(KEY, Clip(RATE, (odd,)))
    except ValueError:
        return
    assert of_bytes(KEY, raw) is None


def test_who_asks_anew_finds_nothing_and_leaves_what_was_made() -> None:
    """For the next job; and where nothing is kept there is nothing."""
    clips = ClipsInMemory({KEY: clip(1)})
    anew = SpokenAnew(clips)
    anew.keep(KEY, clip(2))
    assert (anew.find(KEY), clips.find(KEY)) == (None, clip(2))
    anew.forget([KEY])
    assert clips.find(KEY) is None
    none = NoClips()
    none.keep(KEY, clip(1))
    none.forget([KEY])
    assert none.find(KEY) is None


@pytest.mark.parametrize("odd", [None, {}, {"sentences": None}, {"sentences": {"at_hand": 3, "of": 2}}])
def test_a_result_that_says_nothing_of_sentences(odd: dict[str, Any] | None) -> None:
    """Of a text that was spoken whole, or of somebody who cannot count."""
    assert sentences_of_result(odd) is None
