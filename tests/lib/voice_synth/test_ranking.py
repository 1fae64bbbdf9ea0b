"""Takes are ranked by what was measured, always the same way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib.voice_synth.audio import Loudness
from lib.voice_synth.ranking import HEARD, MEASURED, Heard, method_of, rank_takes

TEXT = "The quick brown fox jumps over the lazy dog."  # 35 letters: 2.8 s at the usual pace
GOOD = Loudness(seconds=2.8, peak=0.5, rms=0.05, clipped_share=0.0, quiet_share=0.2)


@pytest.mark.parametrize(
    "worse",
    [
        replace(GOOD, seconds=1.4),
        replace(GOOD, seconds=6.0),
        replace(GOOD, rms=0.005),
        replace(GOOD, rms=0.5),
        replace(GOOD, quiet_share=0.7),
        replace(GOOD, clipped_share=0.0009),
    ],
)
def test_each_measure_counts(worse: Loudness) -> None:
    """Too fast, too slow, too soft, too loud, full of pauses, crackling: each ranks below a good take."""
    assert [rank.take for rank in rank_takes([worse, GOOD], TEXT, 1.0)] == [2, 1]


def test_the_first_of_equals_wins() -> None:
    """Equal takes keep their order, so the choice is the same in every run."""
    assert [rank.take for rank in rank_takes([GOOD, GOOD, GOOD], TEXT, 1.0)] == [1, 2, 3]


def test_the_pace_asked_for_is_the_pace_expected() -> None:
    """A take twice as fast is the best one when twice the speed was asked for."""
    fast = replace(GOOD, seconds=1.4)
    assert rank_takes([GOOD, fast], TEXT, 2.0)[0].take == 2


def test_dropped_words_outweigh_a_poor_level() -> None:
    """Half of the length missing is worse than a soft recording."""
    assert rank_takes([replace(GOOD, seconds=1.4), replace(GOOD, rms=0.02)], TEXT, 1.0)[0].take == 2


def test_scores_are_shares() -> None:
    """Every part and the score lie between 0 and 1, even for absurd takes."""
    absurd = Loudness(seconds=1e6, peak=1.0, rms=1.0, clipped_share=1.0, quiet_share=1.0)
    for rank in rank_takes([absurd, GOOD, Loudness(0.0, 0.0, 0.0, 0.0, 0.0)], "", 1.0):
        for value in (rank.score, rank.pace, rank.level, rank.pauses, rank.clipping):
            assert 0 <= value <= 1


def test_a_word_that_was_heard_wrong_outweighs_every_flaw_of_the_sound() -> None:
    """The take that says the text wins over the one that sounds better and says something else."""
    poor = replace(GOOD, rms=0.01, quiet_share=0.5)
    heard = [Heard("the quick brown box jumps over a lazy dog", 7 / 9), Heard(TEXT, 1.0)]
    best, other = rank_takes([GOOD, poor], TEXT, 1.0, heard)
    assert (best.take, best.intelligibility, best.heard) == (2, 1.0, TEXT)
    assert other.intelligibility == pytest.approx(0.7778)


def test_of_takes_that_are_understood_alike_the_better_sound_wins() -> None:
    """Listening adds to what is measured and does not replace it."""
    heard = [Heard(TEXT, 1.0), Heard(TEXT, 1.0)]
    assert [rank.take for rank in rank_takes([replace(GOOD, seconds=1.6), GOOD], TEXT, 1.0, heard)] == [2, 1]


def test_the_method_says_whether_anybody_listened() -> None:
    """Nobody takes a measured score for one that was heard."""
    assert method_of([]) is None
    assert method_of(rank_takes([GOOD], TEXT, 1.0)) == MEASURED
    assert method_of(rank_takes([GOOD], TEXT, 1.0, [Heard(TEXT, 1.0)])) == HEARD
