"""A recording is measured as it is written, gets its name only when whole, and must be listenable."""

from __future__ import annotations

import math
import wave
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lib.voice_synth.audio import (
    BrokenSamplesError,
    Loudness,
    Recording,
    fault_of,
    piece_of,
    spoken_characters,
)
from tests.lib.voice_synth.scripted_engine import RATE, tone

if TYPE_CHECKING:
    from pathlib import Path

    from lib.voice_synth.engines.base import Samples


def add(recording: Recording, samples: Samples) -> None:
    """As a take does with what an engine gives."""
    piece = piece_of(samples, RATE)
    if piece is not None:
        recording.add(piece)


def recorded(path: Path, *pieces: Samples, silence: float = 0.0) -> Loudness:
    """These pieces, written with silence between them."""
    with Recording(path, RATE) as recording:
        for number, piece in enumerate(pieces):
            if number:
                recording.add_silence(silence)
            add(recording, piece)
        return recording.finish()


def read(path: Path) -> tuple[wave._wave_params, np.ndarray[tuple[int], np.dtype[np.int16]]]:
    """The file as any player reads it."""
    with wave.open(str(path), "rb") as opened:
        return opened.getparams(), np.frombuffer(opened.readframes(opened.getnframes()), dtype="<i2")


def test_a_wav_is_16_bit_mono_and_holds_what_was_said(tmp_path: Path) -> None:
    """A player reads the given rate, one channel, two bytes a sample, and each sample within one step."""
    sound = tone(0.5)
    recorded(tmp_path / "t.wav", sound)
    params, samples = read(tmp_path / "t.wav")
    assert (params.nchannels, params.sampwidth, params.framerate) == (1, 2, RATE)
    assert len(samples) == len(sound)
    assert np.max(np.abs(samples / 32767 - sound)) <= 1 / 32767


def test_pieces_are_joined_with_exactly_the_silence_asked_for(tmp_path: Path) -> None:
    """Two pieces and 300 ms between: the lengths add up and the middle is zero."""
    recorded(tmp_path / "t.wav", tone(0.25), tone(0.25), silence=0.3)
    _, samples = read(tmp_path / "t.wav")
    assert len(samples) == round(0.8 * RATE)
    assert not samples[round(0.25 * RATE) : round(0.55 * RATE)].any()
    assert samples[round(0.55 * RATE) + 5 :].any()


def test_levels_are_those_of_the_sound(tmp_path: Path) -> None:
    """A sine of level 0.5 has peak 0.5 and mean 0.5/√2, and -9 dBFS."""
    loudness = recorded(tmp_path / "t.wav", tone(1.0, 0.5))
    assert loudness.peak == pytest.approx(0.5, abs=1e-3)
    assert loudness.rms == pytest.approx(0.5 / math.sqrt(2), rel=1e-3)
    assert loudness.rms_db == pytest.approx(-9.03, abs=0.05)
    assert loudness.seconds == pytest.approx(1.0)
    assert loudness.quiet_share == 0


def test_measures_do_not_depend_on_how_the_sound_was_cut(tmp_path: Path) -> None:
    """One piece or many small ones of whole frames: the same bytes and the same measures."""
    sound = tone(2.0)
    whole = recorded(tmp_path / "a.wav", sound)
    parts = recorded(tmp_path / "b.wav", *np.split(sound, 10))
    assert (parts.seconds, parts.peak, parts.clipped_share) == (whole.seconds, whole.peak, whole.clipped_share)
    assert parts.rms == pytest.approx(whole.rms)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_pauses_are_counted(tmp_path: Path) -> None:
    """Half sound, half hush: half of the frames are quiet."""
    hush = np.zeros(RATE, dtype=np.float32)
    loudness = recorded(tmp_path / "t.wav", np.concatenate([tone(1.0), hush]))
    assert loudness.quiet_share == pytest.approx(0.5, abs=0.03)


def test_an_abandoned_recording_leaves_nothing(tmp_path: Path) -> None:
    """An error in mid-take: neither the final name nor the partial file stands there."""

    def abandoned() -> None:
        with Recording(tmp_path / "t.wav", RATE) as recording:
            add(recording, tone(0.1))
            assert not (tmp_path / "t.wav").exists()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        abandoned()
    assert list(tmp_path.iterdir()) == []


def test_an_older_take_survives_a_failed_new_one(tmp_path: Path) -> None:
    """The file of an earlier run is replaced only by a whole one."""
    recorded(tmp_path / "t.wav", tone(0.1))
    before = (tmp_path / "t.wav").read_bytes()
    with pytest.raises(BrokenSamplesError), Recording(tmp_path / "t.wav", RATE) as recording:
        add(recording, np.array([0.1, math.nan], dtype=np.float32))
    assert (tmp_path / "t.wav").read_bytes() == before


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_no_sound_are_refused(tmp_path: Path, bad: float) -> None:
    """NaN and infinity never reach a file, wherever in the piece they stand."""
    sound = tone(0.1)
    sound[len(sound) // 2] = bad
    with pytest.raises(BrokenSamplesError, match="NaN or infinity"):
        recorded(tmp_path / "t.wav", sound)


def test_stereo_is_refused(tmp_path: Path) -> None:
    """Samples in two dimensions are a mistake of the adapter, not something to guess about."""
    with pytest.raises(BrokenSamplesError, match="not mono"):
        recorded(tmp_path / "t.wav", tone(0.1).reshape(2, -1))


def test_too_loud_samples_are_held_at_full_scale(tmp_path: Path) -> None:
    """Beyond ±1.0 the file stays at full scale instead of wrapping round to the other sign."""
    recorded(tmp_path / "t.wav", np.array([2.0, -2.0], dtype=np.float32))
    _, samples = read(tmp_path / "t.wav")
    assert samples.tolist() == [32767, -32767]


TEXT = "The birds began to sing."  # 19 letters: between 0.5 s and a few seconds


@pytest.mark.parametrize(
    ("loudness", "said"),
    [
        (Loudness(0.0, 0.0, 0.0, 0.0, 0.0), "no sound"),
        (Loudness(2.0, 0.0, 0.0, 0.0, 1.0), "silent"),
        (Loudness(2.0, 0.01, 0.001, 0.0, 1.0), "silent"),
        (Loudness(2.0, 0.9, 0.0001, 0.0, 0.9), "silent"),
        (Loudness(2.0, 1.0, 0.4, 0.02, 0.0), "clipped"),
        (Loudness(0.4, 0.3, 0.05, 0.0, 0.2), "cut short"),
    ],
)
def test_what_nobody_could_listen_to_is_a_fault(loudness: Loudness, said: str) -> None:
    """Empty, silent, nearly silent, one click in silence, clipped, and too short for its words."""
    fault = fault_of(loudness, TEXT)
    assert fault is not None
    assert said in fault


@pytest.mark.parametrize(
    "loudness",
    [
        Loudness(1.7, 0.3, 0.04, 0.0, 0.3),
        Loudness(0.6, 0.3, 0.04, 0.0, 0.1),
        Loudness(1.7, 0.9995, 0.2, 0.0005, 0.1),
        Loudness(1.7, 0.05, 0.01, 0.0, 0.3),
    ],
)
def test_ordinary_speech_is_no_fault(loudness: Loudness) -> None:
    """Usual, hurried, touching full scale once, and soft speech all pass."""
    assert fault_of(loudness, TEXT) is None


def test_only_letters_and_digits_take_time() -> None:
    """Signs, spaces and line breaks are not counted as something to say."""
    assert spoken_characters("A b-c, 12!\n…") == 5
    assert spoken_characters("...") == 0
