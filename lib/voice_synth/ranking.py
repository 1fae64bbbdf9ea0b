"""Which take is best: what a recogniser understood of it, where one is installed, and what can be measured.

Without a recogniser nobody hears words: a take that says the wrong thing at the right pace ranks well. What was
measured and heard stands beside each score in result.json, so nobody takes it for more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lib.voice_synth.audio import USUAL_CHARACTERS_PER_SECOND, Loudness, spoken_characters

if TYPE_CHECKING:
    from collections.abc import Sequence

MEASURED: Final = "pace, level, pauses and clipping"
HEARD: Final = f"intelligibility, {MEASURED}"

# Weights sum to 1: the pace shows dropped or repeated words, the rest only a poor recording.
_PACE_WEIGHT: Final = 0.5
_LEVEL_WEIGHT: Final = 0.2
_PAUSES_WEIGHT: Final = 0.2
_CLIPPING_WEIGHT: Final = 0.1
# Beside what was measured: a wrong word is worse than any flaw of the sound.
_HEARD_WEIGHT: Final = 0.6

_WANTED_RMS_DB: Final = -26.0
_LEVEL_RANGE_DB: Final = 20.0
# A quarter of speech is pauses and closures; more than that is a stumble.
_USUAL_QUIET_SHARE: Final = 0.25
_WORST_CLIPPED_SHARE: Final = 0.001


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recogniser wrote down of one take, and the share of the text's words in it, 0 to 1."""

    words: str
    intelligibility: float


@dataclass(frozen=True, slots=True)
class Rank:
    """One take's score, 0 to 1, and its parts, each 0 (bad) to 1 (good).

    The last two are None where nobody listened.
    """

    take: int
    score: float
    pace: float
    level: float
    pauses: float
    clipping: float
    intelligibility: float | None = None
    heard: str | None = None


def rank_takes(takes: Sequence[Loudness], text: str, speed: float, heard: Sequence[Heard] | None = None) -> list[Rank]:
    """The takes, counted from 1, best first; of equals the first made.

    `speed` is the pace that was asked for; `heard` has one entry a take, or is None where nobody listened.
    """
    usual_seconds = max(0.3, spoken_characters(text) / (USUAL_CHARACTERS_PER_SECOND * speed))
    ranks = [
        _rank(number, loudness, usual_seconds, heard[number - 1] if heard is not None else None)
        for number, loudness in enumerate(takes, start=1)
    ]
    return sorted(ranks, key=lambda rank: (-rank.score, rank.take))


def method_of(ranking: Sequence[Rank]) -> str | None:
    """What a ranking was made from, in words; None for none."""
    if not ranking:
        return None
    return MEASURED if ranking[0].intelligibility is None else HEARD


def _rank(number: int, loudness: Loudness, usual_seconds: float, heard: Heard | None) -> Rank:
    pace = _within(1 - abs(math.log2(max(loudness.seconds, 1e-3) / usual_seconds)))
    level = _within(1 - abs(loudness.rms_db - _WANTED_RMS_DB) / _LEVEL_RANGE_DB)
    pauses = _within(1 - max(0.0, loudness.quiet_share - _USUAL_QUIET_SHARE) / (1 - _USUAL_QUIET_SHARE))
    clipping = _within(1 - loudness.clipped_share / _WORST_CLIPPED_SHARE)
    score = _PACE_WEIGHT * pace + _LEVEL_WEIGHT * level + _PAUSES_WEIGHT * pauses + _CLIPPING_WEIGHT * clipping
    if heard is not None:
        score = _HEARD_WEIGHT * heard.intelligibility + (1 - _HEARD_WEIGHT) * score
    return Rank(
        number,
        round(score, 4),
        round(pace, 4),
        round(level, 4),
        round(pauses, 4),
        round(clipping, 4),
        None if heard is None else round(heard.intelligibility, 4),
        None if heard is None else heard.words,
    )


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))
