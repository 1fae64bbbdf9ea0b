"""Dealing equal jobs out in one step comes to what dealing them out one by one comes to."""

from __future__ import annotations

from math import isinf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.routing.filling import NEVER, Calendar, Length, Ration, hand_out
from tests.lib.routing.one_by_one import ExactCalendar, hand_out_one_by_one

LENGTHS = st.floats(0.1, 300).map(lambda seconds: round(seconds, 2))
COUNTS = st.integers(1, 80)
SLOTS = st.integers(1, 12)
JOBS = {"jobs": 1.0}
TWO_A_MINUTE = Ration("jobs", 2, 60, 2, 60)


@given(slots=SLOTS, groups=st.lists(st.tuples(COUNTS, LENGTHS), min_size=1, max_size=6))
def test_one_pool_is_filled_as_if_one_by_one(slots: int, groups: list[tuple[int, float]]) -> None:
    """Groups of equal jobs, one after the other: every end is that of the slow way."""
    quick, exact = Calendar([0.0] * slots), ExactCalendar([0.0] * slots)
    for count, seconds in groups:
        length = Length(seconds)
        assert hand_out(count, [(quick, length)])[1] == pytest.approx(hand_out_one_by_one(count, [(exact, length)])[1])
        assert sorted(quick.free) == pytest.approx(sorted(exact.free))


@given(
    local=st.integers(1, 4),
    cloud=SLOTS,
    groups=st.lists(st.tuples(COUNTS, LENGTHS, LENGTHS), min_size=1, max_size=4),
)
def test_two_pools_share_as_if_one_by_one(local: int, cloud: int, groups: list[tuple[int, float, float]]) -> None:
    """The same with a choice, to within a job: of two that can go at one moment either may be the last."""
    quick = (Calendar([0.0] * local), Calendar([0.0] * cloud))
    exact = (ExactCalendar([0.0] * local), ExactCalendar([0.0] * cloud))
    longest = max(max(here, there) for _, here, there in groups)
    for count, *seconds in groups:
        lengths = [Length(each) for each in seconds]
        shares, end = hand_out(count, list(zip(quick, lengths, strict=True)))
        right, last = hand_out_one_by_one(count, list(zip(exact, lengths, strict=True)))
        assert sum(shares) == count
        assert end == pytest.approx(last, abs=longest * 1.001)
        assert shares[0] == pytest.approx(right[0], abs=local * len(groups))


@settings(max_examples=60)
@given(
    cloud=SLOTS,
    per_minute=st.integers(1, 30),
    count=st.integers(1, 120),
    here=LENGTHS,
    there=LENGTHS,
    waiting=st.integers(0, 2),
)
def test_a_limit_a_minute_is_kept_as_if_one_by_one(
    cloud: int, per_minute: int, count: int, here: float, there: float, waiting: int
) -> None:
    """With a window on one side the quick way is off by a job and a window at most."""
    ration = Ration("jobs", per_minute, 60.5, per_minute, 60.5)
    quick = (Calendar([0.0], waiting), Calendar([0.0] * cloud, 0.5, (ration,)))
    exact = (ExactCalendar([0.0], waiting), ExactCalendar([0.0] * cloud, 0.5, (ration,)))
    lengths = (Length(here), Length(there, JOBS))
    _, end = hand_out(count, list(zip(quick, lengths, strict=True)))
    _, last = hand_out_one_by_one(count, list(zip(exact, lengths, strict=True)))
    assert end == pytest.approx(last, abs=60.5 + (1 + waiting) * here + 2 * there)


def test_two_a_minute_beside_one_slot() -> None:
    """Ten jobs of two minutes: the free slot takes three, the cloud two at once and two in each minute after."""
    shares, end = hand_out(
        10, [(Calendar([0.0]), Length(118)), (Calendar([0.0] * 10, 0, (TWO_A_MINUTE,)), Length(118, JOBS))]
    )
    assert (shares, end) == ([2, 8], 180 + 118)


@pytest.mark.parametrize(
    ("wanted", "moment"), [(0, 0), (2, 0), (3, 60), (4, 60), (5, 120), (100, 49 * 60), (101, 50 * 60)]
)
def test_when_an_allowance_has_granted_so_much(wanted: int, moment: float) -> None:
    """Two at once, then two a window; `granted` is its inverse."""
    assert TWO_A_MINUTE.when(wanted) == moment
    assert TWO_A_MINUTE.granted(moment) >= wanted
    assert moment == 0 or TWO_A_MINUTE.granted(moment - 1) < wanted


def test_a_limit_that_grants_nothing_more() -> None:
    """Money that is gone and does not come back: never, not an endless search."""
    gone = Ration("usd", 0.0, 86_400, 1.0, 3600)
    cloud = (Calendar([0.0] * 3, 0, (gone,)), Length(5, {"usd": 0.5}))
    assert hand_out(2, [cloud]) == ([2], 5)
    assert isinf(hand_out(1, [cloud])[1])
    other = (Calendar([0.0] * 3, 0, (gone,)), Length(5, {"usd": 2.0}))
    assert hand_out(1, [other, other])[1] == NEVER


def test_two_limits_of_one_kind_are_both_kept() -> None:
    """Requests of the minute and of the day: the day's ends first, the rest waits for the next one."""
    minute, day = Ration("requests", 10, 60, 10, 60), Ration("requests", 25, 86_400, 25, 7200)
    calendar = Calendar([0.0] * 100, 0, (minute, day))
    asked = {"requests": 1.0}
    assert hand_out(25, [(calendar, Length(1, asked))])[1] == 120 + 1
    assert hand_out(1, [(calendar, Length(1, asked))])[1] == 7200 + 1


@given(slots=SLOTS, seconds=LENGTHS, deadline=st.floats(0, 5000))
def test_so_many_end_in_time_and_not_one_more(slots: int, seconds: float, deadline: float) -> None:
    """What `ends_by` answers can be taken and ends in time; one more does not."""
    count = Calendar([0.0] * slots).ends_by(deadline, seconds, {})
    if count:
        assert Calendar([0.0] * slots).take(count, seconds, {}) <= deadline * (1 + 1e-9) + 1e-6
    assert Calendar([0.0] * slots).take(count + 1, seconds, {}) > deadline * (1 - 1e-9) - 1e-6


def test_a_hundred_thousand_jobs_are_two_numbers() -> None:
    """Nothing grows with the jobs but the figures."""
    calendar = Calendar([0.0] * 4)
    assert calendar.take(100_000, 2.0, {}) == 50_000.0
    assert len(calendar.free) == 4
