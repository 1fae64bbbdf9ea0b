"""Passes on how far a job is, at most a few times a second, and never loses the last word.

A body may report a thousand times a second; each report passed on costs a round trip and a redraw for everyone who
watches. Made by `job_watcher.execution`, one a run.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

# Five a second look like motion to people.
INTERVAL_SECONDS: Final = 0.2


class ProgressThrottle:
    """The first report goes at once; of those within an interval the last goes at its end, or at `finish`."""

    def __init__(
        self, deliver: Callable[[dict[str, Any]], None], *, interval_seconds: float = INTERVAL_SECONDS
    ) -> None:
        self._deliver = deliver
        self._interval = interval_seconds
        self._waiting: dict[str, Any] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._finished = False

    def report(self, progress: dict[str, Any]) -> None:
        """Take a report; it may be replaced by a later one before anybody sees it."""
        if self._finished:
            return
        if self._timer is None:
            self._start_interval()
            self._deliver(progress)
        else:
            self._waiting = progress

    def finish(self, *, say_last: bool) -> None:
        """No report passes after this; with `say_last` the one that waits goes first."""
        self._finished = True
        if self._timer is not None:
            self._timer.cancel()
        if say_last:
            self._deliver_waiting()

    def _start_interval(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._interval, self._interval_over)

    def _interval_over(self) -> None:
        self._timer = None
        if self._waiting is not None:
            self._start_interval()
            self._deliver_waiting()

    def _deliver_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._deliver(waiting)
