"""A spoken sentence that may be used again: its key, its bytes, and whoever keeps it.

A text that is spoken by the sentence differs from its last version in one of them, as a rule. Each is given to the
engine by itself and with the seed of its take, so what comes out follows from the key alone. A clip holds the sound as
it stands in a file and what was measured of it, so that a take that is joined of clips is the same to the last byte as
one that was spoken. `lib.voice_synth.sentences` asks, `lib.voice_synth.clip_folder` keeps; nothing here fails a job.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from lib.jobqueue.content_hash import canonical
from lib.voice_synth.audio import Piece, loudness_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.voice_synth.audio import Loudness
    from lib.voice_synth.engines.base import SynthesisSettings

MOST_CLIP_BYTES: Final = 32 << 20
"""More than ten minutes of speech; what is longer is no sentence, and is not kept in memory for this."""

_FORM: Final = b"clip1 "
_DIGEST_DIGITS: Final = 64


@dataclass(frozen=True, slots=True)
class Clip:
    """What an engine gave for one sentence, piece by piece."""

    sample_rate: int
    pieces: tuple[Piece, ...]

    @property
    def loudness(self) -> Loudness:
        """What was measured of it alone."""
        return loudness_of(self.pieces, self.sample_rate)


class Clips(Protocol):
    """Clips by key. Nothing of it raises for trouble of a disk: a clip that cannot be had is spoken."""

    def find(self, key: str) -> Clip | None:
        """The clip of this key, proven whole; None where there is none."""

    def keep(self, key: str, clip: Clip) -> None:
        """Have it found from now on, in place of any other of this key."""

    def forget(self, keys: Iterable[str]) -> None:
        """Have these found no more."""


class NoClips:
    """Stands where every sentence is spoken anew and none is kept."""

    def find(self, key: str) -> Clip | None:
        """None."""

    def keep(self, key: str, clip: Clip) -> None:
        """Nothing."""

    def forget(self, keys: Iterable[str]) -> None:
        """Nothing."""


class SpokenAnew:
    """Finds nothing, and has what is made kept in the place of what was: for a job that asks to be made anew."""

    def __init__(self, clips: Clips) -> None:
        self._clips = clips

    def find(self, key: str) -> Clip | None:
        """None."""

    def keep(self, key: str, clip: Clip) -> None:
        """As they do."""
        self._clips.keep(key, clip)

    def forget(self, keys: Iterable[str]) -> None:
        """As they do."""
        self._clips.forget(keys)


def clip_key(text: str, model: Mapping[str, Any], settings: SynthesisSettings, again: int = 0) -> str:
    """64 hex digits of all that decides how a sentence comes out.

    `text` is what the engine is given, `model` what `documents.model_of` says of it: engine, version, voice with pace
    and digest, sample rate. `again` counts, for an engine that samples, how often the text stood before in the take.
    """
    told = {
        "language": settings.language,
        "seed": settings.seed,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "repetition_penalty": settings.repetition_penalty,
        "max_new_tokens": settings.max_new_tokens,
        "tone": settings.tone,
        "instruct": settings.instruct,
        "instruct_style": settings.instruct_style,
        "again": again,
    }
    return hashlib.sha256(canonical({"text": text, "model": dict(model), "told": told})).hexdigest()


def to_bytes(key: str, clip: Clip) -> bytes:
    """`clip1 SHA256`, a line of JSON with what was measured, the samples; the digest is of all that follows it."""
    measured = [astuple(piece)[1:] for piece in clip.pieces]
    head = {
        "key": key,
        "sample_rate": clip.sample_rate,
        "bytes": [len(piece.pcm) for piece in clip.pieces],
        "measured": measured,
    }
    # Numbers are written so that reading gives the same ones to the last bit.
    line = json.dumps(head, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    body = b"".join((line, *(piece.pcm for piece in clip.pieces)))
    return _FORM + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def of_bytes(key: str, raw: bytes) -> Clip | None:
    """The clip that `to_bytes` wrote for this key; None for anything else."""
    start = len(_FORM) + _DIGEST_DIGITS + 1
    view = memoryview(raw)
    if raw[: len(_FORM)] != _FORM or raw[start - 1 : start] != b"\n":
        return None
    if hashlib.sha256(view[start:]).hexdigest().encode() != raw[len(_FORM) : start - 1]:
        return None
    end = raw.find(b"\n", start)
    try:
        head = json.loads(raw[start:end])
        if head["key"] != key:
            return None
        pieces, at = [], end + 1
        for size, measured in zip(head["bytes"], head["measured"], strict=True):
            pieces.append(_piece(raw[at : at + size], size, *measured))
            at += size
        rate = head["sample_rate"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    return Clip(rate, tuple(pieces)) if at == len(raw) and type(rate) is int and rate > 0 else None


def _piece(pcm: bytes, size: int, peak: float, energy: float, clipped: int, frames: int, quiet: int) -> Piece:
    """One piece; what nobody can have measured is refused."""
    levels = all(type(level) is float and math.isfinite(level) and level >= 0 for level in (peak, energy))
    if not levels or not all(type(count) is int and count >= 0 for count in (clipped, frames, quiet)):
        raise ValueError("no measures of a piece")
    if type(size) is not int or size <= 0 or size % 2 or len(pcm) != size:
        raise ValueError("no samples of a piece")
    return Piece(pcm, peak, energy, clipped, frames, quiet)
