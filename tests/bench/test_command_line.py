"""Which parts are measured, and where the report goes."""

from __future__ import annotations

import pytest

from bench.__main__ import MEASURES, NOT_QUICK, chosen, parser, parts, place
from bench.growth import Level, figures, short
from bench.sizes import FULL, QUICK


def test_everything_is_measured_unless_told_otherwise() -> None:
    """A quick run leaves out what takes minutes, unless that is named."""
    assert parts("", quick=False) == list(MEASURES)
    assert set(MEASURES) - set(parts("", quick=True)) == set(NOT_QUICK)
    assert parts("killed, drain", quick=True) == ["killed", "drain"]


def test_an_unknown_part_is_refused_with_those_that_there_are() -> None:
    """Before anything is started."""
    with pytest.raises(ValueError, match=r"--only: sumbit is not known; allowed: submit, "):
        parts("sumbit,drain", quick=False)
    with pytest.raises(ValueError, match="--peers: rabbit is not known"):
        chosen("rabbit", "--peers", ["rq"])


def test_only_a_complete_run_goes_into_the_documents() -> None:
    """A quick one would put noise in the place of the last real report."""
    assert place(list(MEASURES), [], quick=False).match("docs/benchmarks")
    for names, peers, quick in ((["drain"], [], False), (list(MEASURES), ["rq"], False), (list(MEASURES), [], True)):
        assert place(names, peers, quick=quick).match(".state/bench/report")


def test_a_run_is_bounded() -> None:
    """About twenty-five minutes in full, three when quick, and each part has an end of its own."""
    full = sum(measure.seconds(quick=False) for measure in MEASURES.values())
    quick = sum(MEASURES[name].seconds(quick=True) for name in parts("", quick=True))
    assert full <= 28 * 60
    assert quick <= 3 * 60
    assert all(measure.deadline(quick=True) >= measure.seconds(quick=True) for measure in MEASURES.values())


def test_the_help_names_the_parts() -> None:
    """So that nobody has to guess."""
    text = parser().format_help()
    assert all(name in text for name in ("submit", "growth", "killed", "--quick", "--json"))


def test_a_quick_run_does_less_of_the_same() -> None:
    """No count of it is higher, and its growth has something to be held against."""
    assert QUICK.jobs < FULL.jobs
    assert QUICK.repeats >= 2
    assert 10_000 in QUICK.waiting
    assert FULL.waiting[-1] == 1_000_000


def level(size: int, ours: float, beside: float = 100.0) -> Level:
    """One with the same figure for everything."""
    made = Level(size, "waiting")
    for what in ("submit", "drain", "status", "history", "report"):
        made.note(what, ours, beside)
    return made


def test_growth_is_judged_by_ratios_to_raw_at_both_ends() -> None:
    """A machine that has become slower slows raw too, and is no growth; a queue that has is."""
    slower_machine = figures([level(10_000, 50), level(1_000_000, 25, beside=50.0)])
    assert {each.met for each in slower_machine} == {None, True}
    slower_queue = {each.what: each.met for each in figures([level(10_000, 50), level(1_000_000, 40)])}
    assert slower_queue["drain, 1M waiting by 10k"] is False
    assert slower_queue["status, 1M waiting by 10k"] is True, "fewer milliseconds than before are no growth"


def test_growth_of_the_views_is_in_milliseconds() -> None:
    """There more is worse."""
    told = {each.what: each.met for each in figures([level(10_000, 50), level(1_000_000, 60)])}
    assert told["report, 1M waiting by 10k"] is False
    assert told["submit, 1M waiting by 10k"] is True


def test_sizes_are_short() -> None:
    """As people say them."""
    assert [short(size) for size in (1_000, 10_000, 100_000, 1_000_000)] == ["1k", "10k", "100k", "1M"]
