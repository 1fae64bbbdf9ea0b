"""The day of the API: from midnight to midnight in Los Angeles, also where a day has 23 or 25 hours."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import pacific
from lib.pacific import day_around, seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    """Unix milliseconds of a moment."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@contextmanager
def without_time_zones() -> Iterator[None]:
    """A system that has none, as small containers."""

    def unknown(_: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacific, "ZoneInfo", unknown)
        pacific._zone.cache_clear()
        try:
            yield
        finally:
            pacific._zone.cache_clear()


DAYS = pytest.mark.parametrize(
    ("now", "begin", "hours"),
    [
        ("2026-01-15T12:00:00", "2026-01-15T08:00:00", 24),
        ("2026-01-15T07:59:59", "2026-01-14T08:00:00", 24),
        ("2026-07-15T07:00:00", "2026-07-15T07:00:00", 24),
        ("2026-03-08T20:00:00", "2026-03-08T08:00:00", 23),
        ("2026-11-01T20:00:00", "2026-11-01T07:00:00", 25),
        ("2026-11-02T07:30:00", "2026-11-01T07:00:00", 25),
    ],
)


@DAYS
def test_a_day_in_winter_in_summer_and_between(now: str, begin: str, hours: int) -> None:
    """Days of 23 and 25 hours too."""
    assert day_around(ms(now)) == (ms(begin), ms(begin) + hours * HOUR_MS)


@DAYS
def test_a_system_without_time_zones_counts_the_same_days(now: str, begin: str, hours: int) -> None:
    """No call waits for ever because a container was built without them."""
    with without_time_zones():
        assert pacific._zone() is None
        assert day_around(ms(now)) == (ms(begin), ms(begin) + hours * HOUR_MS)


MOMENTS = st.integers(ms("2024-01-01T00:00:00"), ms("2036-01-01T00:00:00"))


@given(MOMENTS)
def test_every_moment_is_in_exactly_one_day(now: int) -> None:
    """The next day begins where this one ends."""
    begin, end = day_around(now)
    assert begin <= now < end
    assert day_around(end)[0] == end
    assert day_around(begin - 1)[1] == begin


@given(MOMENTS)
def test_the_rule_of_the_law_is_that_of_the_time_zones(now: int) -> None:
    """At every moment: two watchers of one queue, one of them without time zones, count one day."""
    known = day_around(now)
    with without_time_zones():
        assert day_around(now) == known


def test_what_is_left_of_it() -> None:
    """In seconds, with their parts."""
    assert seconds_left(datetime(2026, 1, 1, 12, tzinfo=UTC)) == 20 * 3600
    assert seconds_left(datetime(2026, 7, 1, 6, 59, 59, 250_000, tzinfo=UTC)) == 0.75
