"""Looks at the whole queue every S, as `job-runner status` does, so that a scrape never asks the server anything.

However often and by however many it is scraped, a watcher costs the server one look an interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lib.redisqueue.overview import overview

if TYPE_CHECKING:
    from lib.clock import Clock
    from lib.redisqueue.queue import Queue


@dataclass(slots=True)
class QueueView:
    """The last look at the queue."""

    queue: Queue
    clock: Clock
    interval: float
    life: float
    lease_idle_ms: int
    _document: dict[str, Any] | None = None
    _seen_at: float = float("-inf")

    async def run_once(self) -> None:
        """Look, then wait for the next turn."""
        self._document = await overview(self.queue, lease_idle_ms=self.lease_idle_ms)
        self._seen_at = self.clock.elapsed()
        await self.clock.sleep(self.interval)

    @property
    def age_seconds(self) -> float:
        """Since the last look; infinite before the first."""
        return self.clock.elapsed() - self._seen_at

    @property
    def document(self) -> dict[str, Any] | None:
        """What `status --json` would say; None when the last look is older than a session's life, or there is none.

        Old figures shown as new ones would have an operator believe that all is quiet.
        """
        return self._document if self.age_seconds <= self.life + self.interval else None
