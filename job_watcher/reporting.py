"""Carries what running bodies say of their progress to the queue, the newest of each job, a batch at a time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from job_watcher.metrics.counts import Counts
from lib.jobqueue.protocol import Lease, Progress
from lib.redisqueue import leasing

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.redisqueue.queue import Queue

GATHER_SECONDS: Final = 0.2
"""How long the reports of all jobs are gathered before one call."""


@dataclass(slots=True)
class ProgressReports:
    """The newest report of each running job; `listener` hears every one at once."""

    queue: Queue
    session: Session
    clock: Clock
    listener: Callable[[Lease, dict[str, Any]], None] | None = None
    counts: Counts = field(default_factory=Counts)
    _newest: dict[str, Progress] = field(default_factory=dict)
    _any: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, lease: Lease, report: dict[str, Any]) -> None:
        """Take a report `{percent, step, total, message, at}`."""
        text = json.dumps(report, separators=(",", ":")).encode()
        self._newest[lease.fence] = Progress(lease.request_id, lease.fence, text)
        self._any.set()
        if self.listener is not None:
            self.listener(lease, report)

    def forget(self, lease: Lease) -> None:
        """The body has ended: what it said last is of no use any more."""
        self._newest.pop(lease.fence, None)

    async def run_once(self) -> None:
        """Wait for a report and send all there are."""
        await self._any.wait()
        await self.clock.sleep(GATHER_SECONDS)
        self._any.clear()
        reports = list(self._newest.values())
        self._newest.clear()
        if reports:
            taken = await leasing.report_progress(self.queue, self.session.id, reports)
            self.counts.refusals["progress"] += taken.count(False)
