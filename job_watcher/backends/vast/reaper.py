"""Looks now and then for rented machines that nobody owns, and ends them. A duty of every watcher that rents.

Machines of dead watchers that have a row are taken over by the fleet, at its own interval. Here it is about those that
only the market knows: rented by one who died before it could say so, or forgotten by a server that lost its data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loguru import logger

from lib.errors import JobRunnerError
from lib.renting.ending import destroy, forget_damaged, survey

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.clock import Clock
    from lib.market.base import GpuMarket
    from lib.renting.ending import Survey
    from lib.renting.keeping import Books

EVERY_SECONDS: Final = 60.0
"""A listing is a request or more at the market, and a machine that is found so late has cost a cent."""


@dataclass(slots=True)
class Reaper:
    """`books` are the fleet's of this life; None until it has some.

    `ended` is how many were ended so far, `left` how many of each market the last look could not prove gone.
    """

    markets: Mapping[str, GpuMarket]
    clock: Clock
    books: Callable[[], Books | None]
    every: float = EVERY_SECONDS
    ended: int = 0
    left: dict[str, int] = field(default_factory=dict)
    _unknown: set[str] = field(default_factory=set)

    @property
    def unlisted(self) -> int:
        """How many markets did not say for sure what is rented there, when they were last asked."""
        return len(self._unknown)

    async def run_once(self) -> None:
        """Look once at every market, and wait."""
        books = self.books()
        if books is None:
            await self.clock.sleep(1.0)
            return
        surveys = {name: await self._reap(books, market) for name, market in self.markets.items()}
        await forget_damaged(books, surveys)
        await self.clock.sleep(self.every)

    async def flush(self) -> None:
        """Nothing is kept."""

    async def _reap(self, books: Books, market: GpuMarket) -> Survey | None:
        try:
            found = await survey(books, market)
        except JobRunnerError as exc:
            # Unknown is not empty: nothing is ended and nothing forgotten.
            if market.name not in self._unknown:
                logger.warning("what is rented at {} is not known: {}", market.name, exc.message)
            self._unknown.add(market.name)
            return None
        self._unknown.discard(market.name)
        left = 0
        for stray in found.strays:
            if await destroy(market, stray, self.clock):
                self.ended += 1
            else:
                left += 1
                logger.error("{} {} was asked to end and may still cost money", market.name, stray.market_id)
        self.left[market.name] = left
        return found
