"""The day of the API: from midnight to midnight in Los Angeles, also where a day has 23 or 25 hours."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import SettingsError
from lib.redisqueue import pacific
from lib.redisqueue.pacific import day_around

HOUR_MS = 3_600_000


def ms(text: str) -> int:
    """Unix milliseconds of a moment."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("now", "begin", "hours"),
    [
        ("2026-01-15T12:00:00", "2026-01-15T08:00:00", 24),
        ("2026-01-15T07:59:59", "2026-01-14T08:00:00", 24),
        ("2026-07-15T07:00:00", "2026-07-15T07:00:00", 24),
        ("2026-03-08T20:00:00", "2026-03-08T08:00:00", 23),
        ("2026-11-01T20:00:00", "2026-11-01T07:00:00", 25),
    ],
)
def test_a_day_in_winter_in_summer_and_between(now: str, begin: str, hours: int) -> None:
    """Days of 23 and 25 hours too."""
    assert day_around(ms(now)) == (ms(begin), ms(begin) + hours * HOUR_MS)


@given(st.integers(ms("2024-01-01T00:00:00"), ms("2036-01-01T00:00:00")))
def test_every_moment_is_in_exactly_one_day(now: int) -> None:
    """The next day begins where this one ends."""
    begin, end = day_around(now)
    assert begin <= now < end
    assert day_around(end)[0] == end
    assert day_around(begin - 1)[1] == begin


def test_a_system_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than counting the wrong day."""

    def unknown(_: str) -> ZoneInfo:
        raise ZoneInfoNotFoundError

    pacific._zone.cache_clear()
    monkeypatch.setattr(pacific, "ZoneInfo", unknown)
    try:
        with pytest.raises(SettingsError, match="America/Los_Angeles") as caught:
            day_around(0)
        assert "tzdata" in (caught.value.hint or "")
    finally:
        pacific._zone.cache_clear()
