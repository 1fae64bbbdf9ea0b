"""Whose turn it is to ask a market: few at once, none while it wants fewer requests, and destroys before all others.

A machine that shall end costs money in every second, so whoever destroys one waits only for the market's own word,
never for a search or a listing. One limiter for all callers of one account in this process. It sends nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import random
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from lib.clock import Clock

LONGEST_WAIT_SECONDS: Final = 60.0
"""A longer word of the market closes the gate for this long, then one call tries: a bill runs while nobody asks."""

DESTROYS_WAIT_SECONDS: Final = 5.0
"""A refusal of another call holds a destroy up for no longer: the market counts each kind of call by itself."""

FIRST_WAIT_SECONDS: Final = 1.0
"""After a refusal that says no time; each further one in a row doubles it."""


class Urgency(IntEnum):
    """Who goes first."""

    DESTROY = 0
    CREATE = 1
    LOOK = 2
    SEARCH = 3


class Limiter:
    """Turns, in the order of urgency and then of coming. `jitter` gives numbers from 0 to 1; times are seconds."""

    def __init__(
        self,
        clock: Clock,
        *,
        at_once: int = 4,
        spacing_seconds: float = 0.2,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._at_once = at_once
        self._spacing = spacing_seconds
        self._jitter = jitter
        self._waiting: list[tuple[int, int]] = []
        self._came = 0
        self._running = 0
        self._open_at = self._open_for_destroys_at = clock.elapsed()
        self._refusals = 0
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def turn(self, urgency: Urgency) -> AsyncIterator[None]:
        """Wait for a turn and hold it for the length of the block. Whoever is cancelled leaves the line."""
        await self._enter(urgency)
        try:
            yield
        finally:
            self._running -= 1
            self._tell()

    def refused(self, after_seconds: float | None, urgency: Urgency = Urgency.LOOK) -> float:
        """The market wants fewer requests, from now for `after_seconds` if it said so; how long the gate is closed.

        A little later than it said, by chance: others of this account wait for the same moment.
        """
        self._refusals += 1
        said = FIRST_WAIT_SECONDS * 2 ** min(self._refusals - 1, 10) if after_seconds is None else after_seconds
        wait = min(max(said, 0.0), LONGEST_WAIT_SECONDS)
        wait += self._jitter() * max(wait, FIRST_WAIT_SECONDS) / 2
        held = wait if urgency == Urgency.DESTROY else min(wait, DESTROYS_WAIT_SECONDS)
        self._close(wait, held)
        return wait

    def answered(self) -> None:
        """The market answered: the next refusal begins again with a short wait."""
        self._refusals = 0

    async def _enter(self, urgency: Urgency) -> None:
        self._came += 1
        ticket = (int(urgency), self._came)
        heapq.heappush(self._waiting, ticket)
        self._tell()
        try:
            while not await self._may_go(ticket):
                pass
        finally:
            self._waiting.remove(ticket)
            heapq.heapify(self._waiting)
            self._tell()
        self._running += 1
        self._close(self._spacing, self._spacing)

    async def _may_go(self, ticket: tuple[int, int]) -> bool:
        # One place more for those who destroy: calls that hang must not keep them out.
        room = self._at_once + (1 if ticket[0] == Urgency.DESTROY else 0)
        if self._waiting[0] != ticket or self._running >= room:
            changed = self._changed
            await changed.wait()
            return False
        opens = self._open_for_destroys_at if ticket[0] == Urgency.DESTROY else self._open_at
        wait = opens - self._clock.elapsed()
        if wait > 0:
            await self._clock.sleep(wait)
            return False
        return True

    def _close(self, seconds: float, seconds_for_destroys: float) -> None:
        now = self._clock.elapsed()
        self._open_at = max(self._open_at, now + seconds)
        self._open_for_destroys_at = max(self._open_for_destroys_at, now + seconds_for_destroys)

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
