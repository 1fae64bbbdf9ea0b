"""Samples to WAV, measured on the way, so that a take that nobody could listen to is an error and not a result.

A recording is written piece by piece (an hour of speech never stands in memory) and gets its name only when
it is whole. The checks know no engine: silence, clipping, broken numbers, and a length that the text cannot fit in.
"""

from __future__ import annotations

import contextlib
import math
import os
import wave
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from types import TracebackType

    from lib.voice_synth.engines.base import Samples

# Below -34 dBFS at its loudest a take cannot be heard beside others; the quietest word of the default voice
# peaks at -20 dBFS.
SILENT_PEAK: Final = 0.02
SILENT_RMS: Final = 0.002
# Speech may touch full scale for a few samples; beyond one in a thousand it crackles.
CLIPPED_LEVEL: Final = 0.999
CLIPPED_SHARE: Final = 0.001
# Conversational English is 12-18 letters and digits a second; no voice fits 40 into one.
FASTEST_CHARACTERS_PER_SECOND: Final = 40.0
USUAL_CHARACTERS_PER_SECOND: Final = 12.5
QUIET_FRAME_RMS: Final = 0.003

_FRAME_SECONDS: Final = 0.05
_FULL_SCALE: Final = 32_767


class BrokenSamplesError(ValueError):
    """A piece held numbers that are no sound: NaN or infinity, or it was not mono."""


@dataclass(frozen=True, slots=True)
class Loudness:
    """What was measured of a whole recording; levels on the scale where 1.0 is full, shares from 0 to 1."""

    seconds: float
    peak: float
    rms: float
    clipped_share: float
    quiet_share: float

    @property
    def rms_db(self) -> float:
        """The mean level in dBFS, -120 for nothing."""
        return 20 * math.log10(max(self.rms, 1e-6))


@dataclass(frozen=True, slots=True)
class Piece:
    """Sound as it stands in a file, and what was measured of it before it was rounded to 16 bits.

    `pcm` is 16-bit mono, little-endian. `energy` is the sum of squares on the scale where 1.0 is full; `quiet` of the
    whole `frames` of 50 ms are no speech.
    """

    pcm: bytes
    peak: float
    energy: float
    clipped: int
    frames: int
    quiet: int

    @property
    def samples(self) -> int:
        """How many."""
        return len(self.pcm) // 2


def piece_of(samples: Samples, sample_rate: int) -> Piece | None:
    """What an engine gave, measured; None for nothing, `BrokenSamplesError` if it is no sound."""
    import numpy as np  # noqa: PLC0415 - 0.1 s that only the process that speaks pays for

    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 1:
        raise BrokenSamplesError(f"not mono: {samples.ndim} dimensions")
    if not samples.size:
        return None
    # This runs between two pieces of speech, so each pass over the samples has to be worth its time.
    peak = max(float(samples.max()), -float(samples.min()))
    if not math.isfinite(peak):
        raise BrokenSamplesError("NaN or infinity among the samples")
    clipped = 0
    if peak >= CLIPPED_LEVEL:
        clipped = int(np.count_nonzero(np.abs(samples) >= CLIPPED_LEVEL))
        samples = np.clip(samples, -1.0, 1.0)
    squares = np.square(samples)
    frame = max(1, round(_FRAME_SECONDS * sample_rate))
    end = samples.size - samples.size % frame
    frames = squares[:end].reshape(-1, frame).sum(axis=1)
    energy = float(frames.sum(dtype=np.float64)) + float(squares[end:].sum(dtype=np.float64))
    quiet = int(np.count_nonzero(frames < frame * QUIET_FRAME_RMS**2))
    scaled = np.multiply(samples, _FULL_SCALE, out=squares)
    pcm = np.rint(scaled, out=scaled).astype("<i2").tobytes()
    return Piece(pcm, peak, energy, clipped, len(frames), quiet)


def loudness_of(pieces: Iterable[Piece], sample_rate: int) -> Loudness:
    """What a recording of these alone would measure."""
    sums = _Sums()
    for piece in pieces:
        sums.add(piece)
    return sums.loudness(sample_rate)


@dataclass(slots=True)
class _Sums:
    """What is known of all pieces so far."""

    samples: int = 0
    peak: float = 0.0
    energy: float = 0.0
    clipped: int = 0
    frames: int = 0
    quiet: int = 0

    def add(self, piece: Piece) -> None:
        """One more."""
        self.samples += piece.samples
        self.peak = max(self.peak, piece.peak)
        self.energy += piece.energy
        self.clipped += piece.clipped
        self.frames += piece.frames
        self.quiet += piece.quiet

    def loudness(self, sample_rate: int) -> Loudness:
        """All in all."""
        return Loudness(
            seconds=self.samples / sample_rate,
            peak=self.peak,
            rms=math.sqrt(self.energy / self.samples) if self.samples else 0.0,
            clipped_share=self.clipped / self.samples if self.samples else 0.0,
            quiet_share=self.quiet / self.frames if self.frames else 0.0,
        )


class Recording:
    """A 16-bit mono WAV in the making; use it as a context, which removes it unless `finish` was reached."""

    def __init__(self, path: Path, sample_rate: int, *, durable: bool = False) -> None:
        self._path = path
        self._partial = path.with_name(f".{path.name}.part")
        self._rate = sample_rate
        self._durable = durable
        self._sums = _Sums()

    def __enter__(self) -> Self:
        self._file = self._partial.open("wb")
        self._wave = wave.open(self._file, "wb")
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(self._rate)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file.closed:
            return
        with contextlib.suppress(OSError):
            self._wave.close()
        with contextlib.suppress(OSError):
            self._file.close()
        self._partial.unlink(missing_ok=True)

    @property
    def seconds(self) -> float:
        """Recorded so far."""
        return self._sums.samples / self._rate

    def add(self, piece: Piece) -> None:
        """Append one piece."""
        self._sums.add(piece)
        self._wave.writeframesraw(piece.pcm)

    def add_silence(self, seconds: float) -> None:
        """Append silence that counts in the length, not as quiet speech."""
        count = round(seconds * self._rate)
        self._sums.samples += count
        self._wave.writeframesraw(bytes(2 * count))

    def finish(self) -> Loudness:
        """Write the header, give the file its name, and say what was measured."""
        self._wave.close()
        self._file.flush()
        if self._durable:
            os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        return self.measured()

    def measured(self) -> Loudness:
        """What was recorded so far."""
        return self._sums.loudness(self._rate)


def spoken_characters(text: str) -> int:
    """Letters and digits: what takes time to say."""
    return sum(char.isalnum() for char in text)


def fault_of(loudness: Loudness, text: str) -> str | None:
    """Why nobody could listen to this as that text, or None."""
    if loudness.seconds <= 0:
        return "no sound came out: the text has nothing that can be spoken"
    if loudness.peak < SILENT_PEAK or loudness.rms < SILENT_RMS:
        return f"the audio is silent (peak {loudness.peak:.4f}, mean {loudness.rms:.4f} of full scale)"
    if loudness.clipped_share > CLIPPED_SHARE:
        return f"the audio is clipped ({100 * loudness.clipped_share:.1f} % of its samples at full scale)"
    shortest = spoken_characters(text) / FASTEST_CHARACTERS_PER_SECOND
    if loudness.seconds < shortest:
        return f"the audio is cut short: {loudness.seconds:.2f} s for a text that takes at least {shortest:.2f} s"
    return None
