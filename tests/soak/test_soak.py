"""The soak says what grows: its arithmetic, and one short run of everything in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.soak.run import Plan, Report, soak
from tests.soak.watch import COUNTS, THREADS, Sample, line_through

if TYPE_CHECKING:
    from pathlib import Path

EVEN = Sample(
    seconds=0.0,
    rss=60.0,
    fds=20,
    threads=5,
    tasks=17,
    children=2,
    children_rss=70.0,
    work_dirs=1,
    connections=9,
    sessions=2,
    consumers=4,
    keys=20,
    records=100,
    server=4.0,
    kept=1.0,
)


def _report(*samples: Sample, after: Sample = EVEN) -> Report:
    return Report(Plan(minutes=1), samples=list(samples), before=EVEN, after=after)


def _over_a_minute(**per_second: float) -> list[Sample]:
    """Samples of which these figures rise by so much a second."""
    return [
        replace(EVEN, seconds=at, **{name: getattr(EVEN, name) + gain * at for name, gain in per_second.items()})
        for at in range(0, 60, 5)
    ]


def test_a_line_says_what_is_gained_in_an_hour() -> None:
    """By least squares, with its error."""
    straight = line_through([(at, 5.0 + at / 1800) for at in range(0, 600, 10)])
    assert (straight.per_hour, straight.error) == pytest.approx((2.0, 0.0), abs=1e-9)
    rough = line_through([(at, 5.0 + at / 1800 + (-1) ** at) for at in range(600)])
    assert rough.error > 0.8
    assert rough.mean == pytest.approx(5.17, abs=0.01)


def test_noise_is_no_growth_and_growth_is() -> None:
    """What is allowed must be passed by more than twice the error, and by more than a step of an allocator."""
    rough = line_through([(at, 5.0 + at / 1800 + (-1) ** at) for at in range(600)])
    assert not rough.rises(1.0, step=0.1)
    straight = line_through([(at, 5.0 + at / 1800) for at in range(601)])
    assert straight.gained == pytest.approx(1 / 3)
    assert straight.rises(1.9, step=0.3)
    assert not straight.rises(1.9, step=0.4)


def test_two_points_are_no_line() -> None:
    """Any two would be a perfect one."""
    with pytest.raises(ValueError, match="2 points"):
        line_through([(0.0, 1.0), (1.0, 2.0)])


def test_an_even_run_is_flat_though_caches_filled_first() -> None:
    """The first fifth does not count, nor what the server keeps."""
    warming = replace(EVEN, seconds=1.0, rss=20.0, fds=7)
    report = _report(warming, *_over_a_minute(kept=0.1, server=0.1))
    assert report.problems() == []
    assert report.document()["verdict"] == "flat"
    assert report.text().endswith("verdict: flat")


@pytest.mark.parametrize("figure", ["rss", "fds", "tasks", "server"])
def test_a_rise_under_load_is_told(figure: str) -> None:
    """Memory that the server's keys do not explain too."""
    name = "other" if figure == "server" else figure
    report = _report(*_over_a_minute(**{figure: 0.1}))
    assert report.problems() == [f"{name} rises"]
    assert report.text().endswith(f"verdict: not flat: {name} rises")


def test_threads_may_fill_their_pool_and_no_more() -> None:
    """A pool makes its threads as calls meet: one more within its bound is no leak, one beyond it is."""
    assert _report(*_over_a_minute(), after=replace(EVEN, threads=THREADS)).problems() == []
    over = _report(*_over_a_minute(), after=replace(EVEN, threads=THREADS + 1))
    assert over.problems() == [f"threads: {EVEN.threads} before, {THREADS + 1} after"]


@pytest.mark.parametrize("name", [name for name in COUNTS if name != "threads"])
def test_what_is_left_over_at_rest_is_told(name: str) -> None:
    """One more of anything; fewer is none of it."""
    was = getattr(EVEN, name)
    assert _report(*_over_a_minute(), after=replace(EVEN, **{name: was - 1})).problems() == []
    left = _report(*_over_a_minute(), after=replace(EVEN, **{name: was + 1}))
    assert left.problems() == [f"{name}: {was} before, {was + 1} after"]


async def test_a_short_run_ends_every_job_and_leaves_nothing(tmp_path: Path) -> None:
    """Too short to judge memory; all else must be as in a long one: every kind of end, a death, and no leftovers."""
    report = await soak(
        Plan(minutes=0.05, rate=20, prelude_seconds=1.0, rest_seconds=0.0, settle_seconds=1.0), tmp_path
    )
    assert report.findings == []
    # All else is made as it is first needed, up to its bound, and this run is too short for that.
    assert not report.differences().keys() & {"work_dirs", "sessions", "consumers"}, report.text()
    assert sum(report.ended.values()) == report.submitted
    assert report.told > 0
    assert len(report.samples) > 2
