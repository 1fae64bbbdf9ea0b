"""The queue as it changes: a snapshot now, and another whenever something happened.

Snapshots are driven by the queue's events, not by a clock: an idle queue costs one blocked read. Between two there
is a short rest, so that a thousand jobs a second do not become a thousand overviews.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.eta import with_eta
from job_runner.service.known import Known
from lib.clock import SystemClock
from lib.errors import UnreachableError
from lib.redisqueue import measures, reader
from lib.redisqueue.overview import overview

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from lib.clock import Clock
    from lib.redisqueue.connection import Client
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

BLOCK_MS: Final = 2000
"""How long nothing may happen before the figures are read again all the same: rate and ETA change by themselves."""

REST_SECONDS: Final = 0.1
RETRY_SECONDS: Final = 1.0

MEASURES_SECONDS: Final = 10.0
"""How old the measurements of an ETA may be: they move slowly, and there may be thousands of figures."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The queue at one moment: the document of `status`, progress by id, and what happened since the last one.

    `position` is the newest event that it knows. `trouble` is set, and the rest is as it was, while the server does
    not answer.
    """

    document: dict[str, Any]
    progress: dict[str, dict[str, Any]]
    events: tuple[reader.Event, ...] = ()
    position: str = "0-0"
    trouble: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing waits, nothing runs and nothing is still to be published."""
        return int(self.document["totals"]["outstanding"]) + int(self.document["outbox"]["publish"]) == 0


async def snapshots(
    queue: Queue, blocking: Client, settings: Settings, *, clock: Clock | None = None
) -> AsyncIterator[Snapshot]:
    """Snapshots without end.

    Raises:
        UnreachableError: at the first one only; later ones carry the trouble and go on.

    """
    clock = clock or SystemClock()
    view = _View(queue, settings, clock)
    position = await reader.newest_event(queue)
    last = await view.taken([], position)
    yield last
    while True:
        try:
            # After trouble the figures are old whether or not anything happens now.
            events = [] if last.trouble else await reader.wait_for_events(queue, blocking, last.position, BLOCK_MS)
            last = await view.taken(events, last.position)
        except UnreachableError as exc:
            last = replace(last, events=(), trouble=exc.message)
        yield last
        await clock.sleep(RETRY_SECONDS if last.trouble else REST_SECONDS)


@dataclass(slots=True)
class _View:
    """Takes snapshots, and keeps for a while what need not be read for each."""

    queue: Queue
    settings: Settings
    clock: Clock
    _measured: Mapping[tuple[str, str, int], measures.Measured] = field(default_factory=dict)
    _measured_at: float = float("-inf")

    async def taken(self, events: list[reader.Event], position: str) -> Snapshot:
        document = await self._document()
        progress = await reader.progress(self.queue)
        # What happened meanwhile may be in the figures already, and who stops at an empty queue must still hear of it.
        position = events[-1].entry if events else position
        events = events + await reader.events_after(self.queue, position)
        return Snapshot(document, progress, tuple(events), events[-1].entry if events else position)

    async def _document(self) -> dict[str, Any]:
        document = await overview(
            self.queue,
            lease_idle_ms=self.settings.watcher_lease_idle_ms,
            budget_usd=self.settings.budget_per_day_usd,
            cloud_per_min=self.settings.cloud_tokens_per_min,
        )
        if self.clock.elapsed() - self._measured_at > MEASURES_SECONDS:
            self._measured = await measures.read(self.queue)
            self._measured_at = self.clock.elapsed()
        return with_eta(Known(answered=True, measured=self._measured, document=document), self.settings)
