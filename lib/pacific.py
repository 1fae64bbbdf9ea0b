"""The day of the Gemini API: it begins at midnight in Los Angeles, winter and summer.

The one place that reckons it: for the quota before each call (which the queue compares with the server's clock), for
how long a 429 of a day holds, and for quotes. Where a system knows no time zones, the rule of the law is reckoned here,
as it has stood since 2007: a container without them must neither stop nor count another day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE: Final = "America/Los_Angeles"

_WINTER: Final = timedelta(hours=8)
_SUMMER: Final = timedelta(hours=7)
_DAY: Final = timedelta(days=1)
_SUNDAY: Final = 6


def day_around(now_ms: int) -> tuple[int, int]:
    """When the day that this moment is in began, and when the next one begins, in Unix milliseconds."""
    # In winter the date is this one; in summer the last hour of each day is the next one's first.
    today = (datetime.fromtimestamp(now_ms / 1000, tz=UTC) - _WINTER).date()
    begin, end = _begin_ms(today), _begin_ms(today + _DAY)
    return (begin, end) if now_ms < end else (end, _begin_ms(today + 2 * _DAY))


def seconds_left(now: datetime) -> float:
    """How much of the day is left."""
    now_ms = int(now.timestamp() * 1000)
    return day_around(now_ms)[1] / 1000 - now.timestamp()


def _begin_ms(day: date) -> int:
    zone = _zone()
    if zone is not None:
        return int(datetime.combine(day, time(), tzinfo=zone).timestamp()) * 1000
    behind = _SUMMER if _is_summer_at_midnight(day) else _WINTER
    return int((datetime.combine(day, time(), tzinfo=UTC) + behind).timestamp()) * 1000


def _is_summer_at_midnight(day: date) -> bool:
    """From the second Sunday in March to the first in November; both changes come two hours after midnight."""
    return _sunday(day.year, 3, 2) < day <= _sunday(day.year, 11, 1)


def _sunday(year: int, month: int, number: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=_SUNDAY - first.weekday(), weeks=number - 1)


@cache
def _zone() -> ZoneInfo | None:
    try:
        return ZoneInfo(ZONE)
    except ZoneInfoNotFoundError:
        return None
