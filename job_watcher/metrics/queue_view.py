"""Looks at the whole queue every S, as `job-runner status` does, so that a scrape never asks the server anything.

However often and by however many it is scraped, a watcher costs the server one look an interval; the ledger is read
once more where there is one, and the bills of rented machines when one has gone, and every few minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue import instances, spend
from lib.redisqueue.overview import overview

if TYPE_CHECKING:
    from lib.clock import Clock
    from lib.redisqueue.instances import Bill
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings


BILLS_SECONDS: Final = 300.0
"""How old the bills may be while no machine was seen to go: one may come and go between two looks."""

_NOTHING_PAID: Final = spend.Spent("", 0, 0, {})


@dataclass(slots=True)
class QueueView:
    """The last look at the queue."""

    queue: Queue
    clock: Clock
    settings: Settings
    day: spend.Spent = _NOTHING_PAID
    """What the last look found in today's ledger."""
    bills: tuple[Bill, ...] = ()
    """The newest bills of rented machines, newest first."""
    _document: dict[str, Any] | None = None
    _seen_at: float = float("-inf")
    _rented: frozenset[str] = frozenset()
    _bills_at: float = float("-inf")

    async def run_once(self) -> None:
        """Look, then wait for the next turn."""
        settings = self.settings
        document = await overview(
            self.queue,
            lease_idle_ms=settings.watcher_lease_idle_ms,
            cloud_per_min=settings.cloud_tokens_per_min,
        )
        paid = document["spend"]
        self.day = await spend.today(self.queue) if paid["today_usd"] or paid["reserved_usd"] else _NOTHING_PAID
        await self._read_bills(frozenset(each["intent"] for each in document["instances"]))
        self._document = document
        self._seen_at = self.clock.elapsed()
        await self.clock.sleep(settings.watcher_poll_interval)

    async def _read_bills(self, rented: frozenset[str]) -> None:
        now = self.clock.elapsed()
        if self._rented - rented or now - self._bills_at >= BILLS_SECONDS:
            self.bills = tuple(await instances.bills(self.queue, instances.BILLS_MAX))
            self._bills_at = now
        self._rented = rented

    @property
    def age_seconds(self) -> float:
        """Since the last look; infinite before the first."""
        return self.clock.elapsed() - self._seen_at

    @property
    def document(self) -> dict[str, Any] | None:
        """What `status --json` would say; None when the last look is older than a session's life, or there is none.

        Old figures shown as new ones would have an operator believe that all is quiet.
        """
        too_old = self.settings.watcher_session_ttl + self.settings.watcher_poll_interval
        return self._document if self.age_seconds <= too_old else None
