"""What a person at a terminal sees of a watcher that ends by itself: one bar for all jobs, one for each running.

Without a terminal, or in a watcher that goes on for ever, the log tells instead.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, Protocol

from job_watcher.draining import left_to_do
from lib.errors import JobRunnerError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from lib.jobqueue.protocol import Ending, Lease, Retry
    from lib.redisqueue.queue import Queue

NAME_WIDTH = 34
"""Leaves room for bar, percent and time in 80 columns."""


COUNT_SECONDS: Final = 1.0
"""How often it is counted again what is left: jobs are also cancelled, added and done elsewhere."""


class Display(Protocol):
    """Hears of everything that a person may want to see."""

    async def count(self, queue: Queue) -> None:
        """Count what is to be done; nothing when the server does not answer."""

    async def follow(self, queue: Queue) -> None:
        """Count now and then, until cancelled."""

    def progressed(self, lease: Lease, report: dict[str, Any]) -> None:
        """A running job reported."""

    def ended(self, ending: Ending) -> None:
        """A job ended here."""

    def delayed(self, retry: Retry) -> None:
        """A job will be tried again."""

    def stopped(self, request_id: str) -> None:
        """A job is not this watcher's any more."""


class NoDisplay:
    """The log is enough."""

    async def count(self, queue: Queue) -> None:
        """Show nothing."""

    async def follow(self, queue: Queue) -> None:
        """Show nothing."""

    def progressed(self, lease: Lease, report: dict[str, Any]) -> None:
        """Show nothing."""

    def ended(self, ending: Ending) -> None:
        """Show nothing."""

    def delayed(self, retry: Retry) -> None:
        """Show nothing."""

    def stopped(self, request_id: str) -> None:
        """Show nothing."""


class Bars:
    """Progress bars on stderr, by rich; what failed or is tried again is said above them by the log.

    Jobs that are due in `soon_ms` are among all jobs.
    """

    def __init__(self, progress: Progress, *, soon_ms: int = 0) -> None:
        self._progress = progress
        self._soon_ms = soon_ms
        self._ended = 0
        self._all: TaskID | None = None
        self._running: dict[str, TaskID] = {}

    async def count(self, queue: Queue) -> None:
        """What ended here and what is left are all jobs."""
        try:
            left = await left_to_do(queue, soon_ms=self._soon_ms)
        except JobRunnerError:
            return  # the log says why
        total = self._ended + left.active
        if self._all is None:
            self._all = self._progress.add_task("all jobs", total=total)
        self._progress.update(self._all, total=total, completed=self._ended)

    async def follow(self, queue: Queue) -> None:
        """Once a second."""
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            await self.count(queue)

    def progressed(self, lease: Lease, report: dict[str, Any]) -> None:
        """Move the job's bar."""
        if lease.request_id not in self._running:
            name = lease.request_id
            shown = name if len(name) <= NAME_WIDTH else f"…{name[1 - NAME_WIDTH :]}"
            self._running[lease.request_id] = self._progress.add_task(_plain(shown), total=100)
        self._progress.update(self._running[lease.request_id], completed=float(report.get("percent", 0)))

    def ended(self, ending: Ending) -> None:
        """One more of all."""
        self._drop(ending.request_id)
        self._ended += 1
        if self._all is None:
            return
        (total,) = (task.total for task in self._progress.tasks if task.id == self._all)
        # The last count may have come after the queue had the record and before this word of it.
        self._progress.update(self._all, total=max(total or 0, self._ended), completed=self._ended)

    def delayed(self, retry: Retry) -> None:
        """Its bar goes until it is tried again."""
        self._drop(retry.lease.request_id)

    def stopped(self, request_id: str) -> None:
        """Its bar goes; whether it is still to be done the next count tells."""
        self._drop(request_id)

    def _drop(self, request_id: str) -> None:
        bar = self._running.pop(request_id, None)
        if bar is not None:
            self._progress.remove_task(bar)


def _plain(name: str) -> str:
    """A name of a person's choice, whose brackets are no markup."""
    from rich.markup import escape  # noqa: PLC0415 - only a display that is shown needs rich

    return escape(name)
