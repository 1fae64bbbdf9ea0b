"""Whether a WAV file that somebody else made can be listened to, by the same measures as when we make one ourselves.

Blocks; called by `arrivals` in a thread. The file may be anything: whatever is odd about it is its fault.
"""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING, Final

from lib.voice_synth.audio import CLIPPED_LEVEL, Loudness, fault_of

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_FRAMES: Final = 1 << 18
_FULL_SCALE: Final = 32_767
_SAMPLE_BYTES: Final = 2
_RATES: Final = range(8_000, 192_001)


def fault_in(path: Path, text: str) -> str | None:
    """Why nobody could listen to this file as that text, or None.

    Raises:
        OSError: it cannot be read.

    """
    try:
        with wave.open(str(path), "rb") as opened:
            if (opened.getnchannels(), opened.getsampwidth()) != (1, _SAMPLE_BYTES):
                return "it is no 16-bit mono WAV"
            if opened.getframerate() not in _RATES:
                return f"its sample rate is {opened.getframerate()}"
            return _measured_fault(opened, text)
    except (wave.Error, EOFError, ValueError) as exc:
        return f"it is no whole WAV file: {str(exc) or 'it ends early'}"


def _measured_fault(opened: wave.Wave_read, text: str) -> str | None:
    import numpy as np  # noqa: PLC0415 - 25 MB that only a watcher with rented hosts pays for

    samples = clipped = 0
    peak = energy = 0.0
    while block := opened.readframes(_BLOCK_FRAMES):
        heard = np.frombuffer(block[: len(block) & ~1], dtype="<i2").astype(np.float32) / _FULL_SCALE
        level = np.abs(heard)
        samples += heard.size
        peak = max(peak, float(level.max(initial=0.0)))
        clipped += int(np.count_nonzero(level >= CLIPPED_LEVEL))
        energy += float(np.square(heard).sum(dtype=np.float64))
    if samples != opened.getnframes():
        return f"it is cut off: {samples} samples of {opened.getnframes()}"
    loudness = Loudness(
        seconds=samples / opened.getframerate(),
        peak=peak,
        rms=(energy / samples) ** 0.5 if samples else 0.0,
        clipped_share=clipped / samples if samples else 0.0,
        quiet_share=0.0,
    )
    return fault_of(loudness, text)
