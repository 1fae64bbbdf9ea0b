"""Puts metrics and health together for the daemon, and keeps them going as long as it runs.

The daemon imports it only when `--metrics-port` is given.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from loguru import logger

from job_watcher.duties import keep_going
from job_watcher.metrics.exposition import Exposition
from job_watcher.metrics.health import Health
from job_watcher.metrics.queue_view import QueueView
from job_watcher.metrics.rented_figures import Renter
from job_watcher.metrics.server import MetricsServer, Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from job_watcher.backends.vast.condition import RentingHere
    from job_watcher.life import Life
    from job_watcher.metrics.address import Address
    from job_watcher.metrics.counts import Counts
    from lib.clock import Clock
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings


@dataclass(frozen=True, slots=True)
class LifeFigures:
    """What the pages want to know of a life."""

    life: Life

    @property
    def session_id(self) -> str:
        """Its session."""
        return self.life.session.id

    @property
    def running(self) -> int:
        """Slots that are taken."""
        return self.life.in_hand.in_slots

    @property
    def slots(self) -> dict[str, int]:
        """Slots that are offered; none while it stops."""
        return self.life.session.offer.slots

    @property
    def paused(self) -> dict[tuple[str, str], bool]:
        """Of its backends, as far as they can it at all."""
        availability = self.life.availability
        return {
            (backend.name, capability): (backend.name, capability) in availability.paused
            for backend in availability.backends
            for capability in sorted(backend.capabilities)
        }

    @property
    def stuck_publications(self) -> int:
        """Of its publisher."""
        return self.life.publisher.stuck

    @property
    def leads(self) -> bool:
        """Whether its conductor works."""
        return self.life.conductor.leads

    @property
    def renting(self) -> RentingHere | None:
        """How renting stands; None of one that rents nothing."""
        return next((each.renting for each in self.life.availability.backends if isinstance(each, Renter)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What is shown, and where; `life` gives the present life of the watcher or None between two."""

    address: Address
    settings: Settings
    queue: Queue
    clock: Clock
    counts: Counts
    watcher: str
    version: str
    life: Callable[[], Life | None]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer for the length of a block.

        Raises:
            InvalidInputError: the address cannot be had.

        """
        settings = self.settings
        life_seconds = settings.watcher_session_ttl
        view = QueueView(self.queue, self.clock, settings)
        exposition = Exposition(
            counts=self.counts,
            view=view,
            watching=self._watching,
            settings=settings,
            watcher=self.watcher,
            version=self.version,
        )
        health = Health(self.counts, self.clock, life_seconds, self._watching)
        server = MetricsServer(
            {
                "/metrics": lambda accept: _metrics_page(*exposition.render(accept)),
                "/healthz": lambda _: _verdict_page(*health.alive()),
                "/readyz": lambda _: _verdict_page(*health.ready()),
            }
        )
        url = await server.listen(self.address.host, self.address.port)
        logger.info("metrics on {}/metrics", url)
        looking = asyncio.create_task(keep_going(view, "metrics", self.clock), name="metrics")
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)
            await server.aclose()

    def _watching(self) -> LifeFigures | None:
        life = self.life()
        return None if life is None else LifeFigures(life)


def _metrics_page(body: bytes, content_type: str) -> Page:
    return Page(HTTPStatus.OK, content_type, body)


def _verdict_page(sound: bool, document: dict[str, Any]) -> Page:  # noqa: FBT001 - a verdict
    return Page.document(document, HTTPStatus.OK if sound else HTTPStatus.SERVICE_UNAVAILABLE)
