"""A clock that the test turns by hand, for duties whose waiting is what is tested."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


class HandClock:
    """A clock that stands until the test moves it; `sleep` returns when the time has come."""

    def __init__(self) -> None:
        self.at = 1000.0
        self.sleepers = 0
        self._moved = asyncio.Condition()

    def now(self) -> datetime:
        """Some day."""
        return datetime.fromtimestamp(self.at, tz=UTC)

    def elapsed(self) -> float:
        """The hand's position."""
        return self.at

    async def sleep(self, seconds: float) -> None:
        """Until the hand has passed."""
        until = self.at + seconds
        self.sleepers += 1
        async with self._moved:
            await self._moved.wait_for(lambda: self.at >= until)
        self.sleepers -= 1

    async def move(self, seconds: float) -> None:
        """Turn the hand on."""
        self.at += seconds
        async with self._moved:
            self._moved.notify_all()
