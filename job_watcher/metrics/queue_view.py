"""Looks at the whole queue every S, as `job-runner status` does, so that a scrape never asks the server anything.

However often and by however many it is scraped, a watcher costs the server one look an interval; the ledger is looked
at once more on a day on which something was paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.money import MICRO
from lib.redisqueue import spend
from lib.redisqueue.overview import overview

if TYPE_CHECKING:
    from lib.clock import Clock
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings


@dataclass(slots=True)
class QueueView:
    """The last look at the queue."""

    queue: Queue
    clock: Clock
    settings: Settings
    settled_usd: dict[str, float] = field(default_factory=dict)
    """What the last look found in today's ledger, in dollars by backend; `other` is what has no backend's name."""
    _document: dict[str, Any] | None = None
    _seen_at: float = float("-inf")

    async def run_once(self) -> None:
        """Look, then wait for the next turn."""
        settings = self.settings
        document = await overview(
            self.queue,
            lease_idle_ms=settings.watcher_lease_idle_ms,
            cloud_per_min=settings.cloud_tokens_per_min,
        )
        self.settled_usd = await self._settled() if document["spend"]["today_usd"] else {}
        self._document = document
        self._seen_at = self.clock.elapsed()
        await self.clock.sleep(settings.watcher_poll_interval)

    async def _settled(self) -> dict[str, float]:
        day = await spend.today(self.queue)
        unnamed = day.settled - sum(day.by_backend.values())
        shares = day.by_backend | ({"other": unnamed} if unnamed > 0 else {})
        return {backend: micro / MICRO for backend, micro in shares.items()}

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
