"""Ratios, medians, targets and what counts as flat: what every figure of the report rests on."""

from __future__ import annotations

import pytest

from bench.figure import (
    Figure,
    Found,
    Spread,
    at_most,
    percentile,
    rate,
    ratio_at_least,
    ratio_at_most,
    ratios,
)


def figure(**fields: object) -> Figure:
    """A drain that was measured three times."""
    given: dict[str, object] = {
        "part": "drain",
        "what": "one watcher",
        "unit": "/s",
        "ours": (800.0, 900.0, 500.0),
        "beside": (1000.0, 1000.0, 1000.0),
    }
    return Figure(**{**given, **fields})  # type: ignore[arg-type]  # the caller names fields of a Figure


def test_a_ratio_is_of_pairs_and_its_middle_is_told() -> None:
    """Each run of ours is divided by the one beside it: the ratio of medians would mix minutes."""
    told = figure(ours=(100.0, 10.0, 30.0), beside=(200.0, 10.0, 10.0)).ratio
    assert told == Spread(median=1.0, low=0.5, high=3.0)


def test_without_anything_beside_there_is_no_ratio() -> None:
    """A nought beside makes none either."""
    assert figure(beside=()).ratio is None
    assert figure(beside=(0.0, 1.0, 1.0)).ratio is None
    assert figure(beside=()).other is None


def test_what_was_measured_minutes_apart_is_no_pair() -> None:
    """Medians are divided then, and the spread reaches from lows to highs; the numbers of runs may differ."""
    told = figure(ours=(80.0, 90.0, 100.0), beside=(50.0, 100.0, 200.0, 100.0), paired=False).ratio
    assert told == Spread(median=0.9, low=0.4, high=2.0)
    assert figure(beside=(), paired=False).ratio is None


def test_pairs_must_be_pairs() -> None:
    """A run that is missing on one side is a mistake, not a shorter list."""
    with pytest.raises(ValueError, match="shorter"):
        ratios((1.0, 2.0), (1.0,))


@pytest.mark.parametrize(
    ("target", "met"),
    [
        (ratio_at_least(0.8), True),
        (ratio_at_least(0.81), False),
        (ratio_at_most(0.8), True),
        (ratio_at_most(0.79), False),
        (at_most(800), True),
        (at_most(799), False),
        (None, None),
    ],
)
def test_a_target_is_held_against_the_median(target: object, met: bool | None) -> None:  # noqa: FBT001 - the expectation
    """Of the ratio or of ours, and the bound itself is met."""
    assert figure(target=target).met is met


def test_a_target_of_a_ratio_that_cannot_be_had_is_not_judged() -> None:
    """Neither met nor missed."""
    assert figure(target=ratio_at_least(0.8), beside=()).met is None


@pytest.mark.parametrize(
    ("target", "missed_by"),
    [
        (ratio_at_least(1), 0.2),
        (ratio_at_most(0.4), 1.0),
        (at_most(400), 1.0),
        (at_most(800), None),
        (ratio_at_least(0.8), None),
        (None, None),
    ],
)
def test_a_miss_is_told_with_its_distance(target: object, missed_by: float | None) -> None:
    """As a part of the bound, whichever side it lies on."""
    missed = figure(target=target).missed_by
    assert missed == (None if missed_by is None else pytest.approx(missed_by))
    assert figure(target=target).document()["missed_by"] == (missed_by and pytest.approx(missed_by))


def test_a_percentile_is_of_what_was_measured() -> None:
    """Never above the highest."""
    values = [float(number) for number in range(1, 102)]
    assert (percentile(values, 50), percentile(values, 99)) == (51, 100)
    assert percentile([1.0, 2.0], 99) <= 2


def test_a_rate_is_jobs_a_second() -> None:
    """And nothing else."""
    assert rate(500, 0.25) == 2000


def test_the_document_of_a_figure_has_what_a_program_needs() -> None:
    """Medians with their spread, four digits, and the verdict."""
    told = figure(target=ratio_at_least(0.55), note="200 slots", ours=(812.3456, 900.0, 500.0)).document()
    assert told["ours"] == {"median": 812.3, "low": 500.0, "high": 900.0}
    assert told["ratio"]["median"] == pytest.approx(0.8123)
    assert told["target"] == {"of": "ratio", "bound": "at least", "at": 0.55}
    assert (told["met"], told["runs"], told["beside_is"], told["who"]) == (True, 3, "raw", "job-runner")


def test_what_measures_found_is_put_together() -> None:
    """In the order in which they ran."""
    whole = Found([figure(what="a")])
    whole.add(Found([figure(what="b")], failures={"plan": "no room"}))
    assert [each.what for each in whole.figures] == ["a", "b"]
    assert whole.failures == {"plan": "no room"}
