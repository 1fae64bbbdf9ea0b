"""Clips of a test: small ones with a known sound, and a place to keep them in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib.voice_synth.audio import piece_of
from lib.voice_synth.clips import Clip
from tests.lib.voice_synth.scripted_engine import RATE, tone

if TYPE_CHECKING:
    from collections.abc import Iterable


def clip(number: int = 0, *, size: int = 4000) -> Clip:
    """A tone of so many bytes; another one for each number."""
    piece = piece_of(tone(size / 2 / RATE, 0.2 + 0.001 * number), RATE)
    assert piece is not None
    return Clip(RATE, (piece,))


@dataclass
class ClipsInMemory:
    """Keeps all, and remembers who was asked for."""

    kept: dict[str, Clip] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def find(self, key: str) -> Clip | None:
        """As a folder does."""
        self.asked.append(key)
        return self.kept.get(key)

    def keep(self, key: str, clip: Clip) -> None:
        """As a folder does."""
        self.kept[key] = clip

    def forget(self, keys: Iterable[str]) -> None:
        """As a folder does."""
        for key in keys:
            self.kept.pop(key, None)
