"""What a person at a terminal sees of a watcher that ends by itself: one bar for all jobs, one for each running.

Without a terminal, or in a watcher that goes on for ever, the log tells instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from job_watcher.draining import left_to_do

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from lib.jobqueue.protocol import Ending, Lease, Retry
    from lib.redisqueue.queue import Queue

NAME_WIDTH = 34
"""Leaves room for bar, percent and time in 80 columns."""


class Display(Protocol):
    """Hears of everything that a person may want to see."""

    async def begin(self, queue: Queue) -> None:
        """A life begins."""

    def progressed(self, lease: Lease, report: dict[str, Any]) -> None:
        """A running job reported."""

    def ended(self, ending: Ending) -> None:
        """A job ended here."""

    def delayed(self, retry: Retry) -> None:
        """A job will be tried again."""


class NoDisplay:
    """The log is enough."""

    async def begin(self, queue: Queue) -> None:
        """Show nothing."""

    def progressed(self, lease: Lease, report: dict[str, Any]) -> None:
        """Show nothing."""

    def ended(self, ending: Ending) -> None:
        """Show nothing."""

    def delayed(self, retry: Retry) -> None:
        """Show nothing."""


class Bars:
    """Progress bars on stderr, by rich."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._all: TaskID | None = None
        self._running: dict[str, TaskID] = {}

    async def begin(self, queue: Queue) -> None:
        """Count what is to be done."""
        left = await left_to_do(queue, soon_ms=0)
        if self._all is None:
            self._all = self._progress.add_task("all jobs", total=left.active)

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
        if self._all is not None:
            self._progress.advance(self._all)
        if ending.status != "done":
            self._progress.console.print(f"[red]{ending.status}[/] {_plain(ending.request_id)}", highlight=False)

    def delayed(self, retry: Retry) -> None:
        """Its bar goes until it is tried again."""
        self._drop(retry.lease.request_id)
        self._progress.console.print(
            f"[yellow]again in {retry.delay_ms / 1000:.0f} s[/] {_plain(retry.lease.request_id)}", highlight=False
        )

    def _drop(self, request_id: str) -> None:
        bar = self._running.pop(request_id, None)
        if bar is not None:
            self._progress.remove_task(bar)


def _plain(name: str) -> str:
    """A name of a person's choice, whose brackets are no markup."""
    from rich.markup import escape  # noqa: PLC0415 - only a display that is shown needs rich

    return escape(name)
