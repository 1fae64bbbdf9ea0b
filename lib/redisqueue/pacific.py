"""The day of the Gemini API: it begins at midnight in Los Angeles, winter and summer.

The quota asks for it before each call; the queue then compares it with the server's clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from lib.errors import SettingsError

ZONE: Final = "America/Los_Angeles"


def day_around(now_ms: int) -> tuple[int, int]:
    """When the day that this moment is in began, and when the next one begins, in Unix milliseconds.

    Raises:
        SettingsError: this system knows no time zones.

    """
    zone = _zone()
    today = datetime.fromtimestamp(now_ms / 1000, tz=UTC).astimezone(zone).date()
    begin, end = (datetime.combine(day, time(), tzinfo=zone) for day in (today, today + timedelta(days=1)))
    return int(begin.timestamp()) * 1000, int(end.timestamp()) * 1000


@cache
def _zone() -> ZoneInfo:
    try:
        return ZoneInfo(ZONE)
    except ZoneInfoNotFoundError as exc:
        raise SettingsError(
            f"this system does not know the time zone {ZONE}, by which GEMINI_RPD counts days",
            hint="install its package tzdata, or `pip install tzdata`; or set GEMINI_RPD=0",
        ) from exc
