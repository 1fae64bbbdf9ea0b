"""Holds bodies at an exact point until a test lets them go. Called by the tests of the watcher's duties."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from lib.jobqueue import JobSpec
from lib.jobqueue.protocol import Ending
from lib.jobqueue.records import Run, done_tail

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_watcher.lane import Execute
    from lib.jobqueue.protocol import Lease, Retry


class Gate:
    """Holds each job until the test lets it go; `most` is how many were held at once.

    Let go, a job is done, or, with `real`, its real body runs.
    """

    def __init__(self, *, real: bool = False) -> None:
        self.real = real
        self.inner: Execute | None = None
        self.running: dict[str, Lease] = {}
        self.begun: list[Lease] = []
        self.stopped: list[str] = []
        self.most = 0
        self.open = asyncio.Event()
        self._ends: dict[str, asyncio.Event] = {}
        self._over: dict[str, Callable[[], None]] = {}

    async def run(
        self, lease: Lease, on_progress: Callable[[dict[str, Any]], None], on_room: Callable[[], None]
    ) -> Ending | Retry:
        """Wait at the gate, then end as done."""
        self._over[lease.request_id] = on_room
        on_progress({"percent": 1.0})
        self.begun.append(lease)
        self.running[lease.fence] = lease
        self.most = max(self.most, len(self.running))
        own = self._ends.setdefault(lease.request_id, asyncio.Event())
        waits = [asyncio.ensure_future(event.wait()) for event in (own, self.open)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.stopped.append(lease.request_id)
            raise
        finally:
            for wait in waits:
                wait.cancel()
            del self.running[lease.fence]
        return await self.inner.run(lease, on_progress, on_room) if self.inner else done_ending(lease)

    def after_bug(self, lease: Lease, error: Exception) -> Ending | Retry:
        """As the real one answers it."""
        assert self.inner is not None, error
        return self.inner.after_bug(lease, error)

    def let(self, request_id: str) -> None:
        """Let one job end."""
        self._ends.setdefault(request_id, asyncio.Event()).set()

    def leave_slot(self, request_id: str) -> None:
        """Let one job's body be over while its outcome is still to come, as if its outputs were being stored."""
        self._over[request_id]()

    def ids(self) -> list[str]:
        """The jobs begun, in order."""
        return [lease.request_id for lease in self.begun]


def done_ending(lease: Lease, *, publish: bool = False) -> Ending:
    """The job is done, with nothing to show for it."""
    now = datetime.now(UTC)
    tail = done_tail(JobSpec.from_json(lease.job), Run("metal", "run", now, now))
    return Ending(lease.request_id, lease.fence, "done", tail, publish=publish)
