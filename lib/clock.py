"""The two clocks, behind one object that tests and the simulator can own.

`now()` is wall time for people and records. `elapsed()` only ever rises and runs through suspend: a watcher
measures with it how long ago its session was renewed, so that a laptop that slept knows that it slept.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What code that waits or measures may ask for."""

    def now(self) -> datetime:
        """Wall time, UTC."""

    def elapsed(self) -> float:
        """Seconds from an arbitrary start, through suspend, never falling."""

    async def sleep(self, seconds: float) -> None:
        """Wait; returns early only by cancellation."""


# Linux stops CLOCK_MONOTONIC during suspend and has CLOCK_BOOTTIME for what we need; on macOS
# CLOCK_MONOTONIC itself runs through sleep.
_ELAPSED_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        """Wall time, UTC."""
        return datetime.now(UTC)

    def elapsed(self) -> float:
        """Seconds since boot, suspend included."""
        return time.clock_gettime(_ELAPSED_CLOCK)

    async def sleep(self, seconds: float) -> None:
        """`asyncio.sleep`."""
        await asyncio.sleep(seconds)


_NO_OFFSET = timedelta(0)


def iso(moment: datetime) -> str:
    """UTC ISO-8601 with milliseconds and `Z`, the form of every timestamp that leaves the program."""
    # Nearly every moment is in UTC already, if by another name for it: to convert it takes longer than to write it.
    utc = moment if moment.utcoffset() == _NO_OFFSET else moment.astimezone(UTC)
    return utc.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


def iso_from_ms(milliseconds: int) -> str:
    """The same from Unix milliseconds."""
    return iso(datetime.fromtimestamp(milliseconds / 1000, tz=UTC))
