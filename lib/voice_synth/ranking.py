"""Which take is best, by what can be measured without listening: pace, level, pauses, clipping.

It does not hear words: a take that says the wrong thing at the right pace ranks well. What it measured stands
beside each score in result.json, so nobody takes it for more. A recogniser's score would be one more part here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lib.voice_synth.audio import USUAL_CHARACTERS_PER_SECOND, Loudness, spoken_characters

if TYPE_CHECKING:
    from collections.abc import Sequence

METHOD: Final = "pace, level, pauses and clipping"

# Weights sum to 1: the pace shows dropped or repeated words, the rest only a poor recording.
_PACE_WEIGHT: Final = 0.5
_LEVEL_WEIGHT: Final = 0.2
_PAUSES_WEIGHT: Final = 0.2
_CLIPPING_WEIGHT: Final = 0.1

_WANTED_RMS_DB: Final = -26.0
_LEVEL_RANGE_DB: Final = 20.0
# A quarter of speech is pauses and closures; more than that is a stumble.
_USUAL_QUIET_SHARE: Final = 0.25
_WORST_CLIPPED_SHARE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Rank:
    """One take's score, 0 to 1, and its parts, each 0 (bad) to 1 (good)."""

    take: int
    score: float
    pace: float
    level: float
    pauses: float
    clipping: float


def rank_takes(takes: Sequence[Loudness], text: str, speed: float) -> list[Rank]:
    """The takes, counted from 1, best first; of equals the first made. `speed` is the pace that was asked for."""
    usual_seconds = max(0.3, spoken_characters(text) / (USUAL_CHARACTERS_PER_SECOND * speed))
    ranks = [_rank(number, loudness, usual_seconds) for number, loudness in enumerate(takes, start=1)]
    return sorted(ranks, key=lambda rank: (-rank.score, rank.take))


def _rank(number: int, loudness: Loudness, usual_seconds: float) -> Rank:
    pace = _within(1 - abs(math.log2(max(loudness.seconds, 1e-3) / usual_seconds)))
    level = _within(1 - abs(loudness.rms_db - _WANTED_RMS_DB) / _LEVEL_RANGE_DB)
    pauses = _within(1 - max(0.0, loudness.quiet_share - _USUAL_QUIET_SHARE) / (1 - _USUAL_QUIET_SHARE))
    clipping = _within(1 - loudness.clipped_share / _WORST_CLIPPED_SHARE)
    score = _PACE_WEIGHT * pace + _LEVEL_WEIGHT * level + _PAUSES_WEIGHT * pauses + _CLIPPING_WEIGHT * clipping
    return Rank(number, *(round(value, 4) for value in (score, pace, level, pauses, clipping)))


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))
