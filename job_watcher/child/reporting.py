"""The child's mouth: frames in order, and of many progress reports only the latest.

A body may report in a tight loop or from a thread; it must not wait for the parent, and the parent must not drown.
So reports go through one slot that a thread empties a few times a second.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from job_watcher.child import wire

if TYPE_CHECKING:
    import socket

# Twice as often as the parent passes reports on, so that what people see is fresh.
_PAUSE_SECONDS: Final = 0.1


class Reporter:
    """Writes to one end of the wire from any thread."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._writing = threading.Lock()
        self._changed = threading.Condition()
        self._latest: wire.Report | None = None
        threading.Thread(target=self._deliver, name="progress", daemon=True).start()

    def report(self, report: wire.Report) -> None:
        """Remember this as the latest progress; never blocks on the parent."""
        with self._changed:
            self._latest = report
            self._changed.notify()

    def send(self, frame: bytes) -> None:
        """Write a frame, after the latest progress if that is still unsaid."""
        with self._writing:
            self._end.sendall(self._latest_frame() + frame)

    def _deliver(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest is not None)
            with self._writing:
                self._end.sendall(self._latest_frame())
            time.sleep(_PAUSE_SECONDS)

    def _latest_frame(self) -> bytes:
        with self._changed:
            latest, self._latest = self._latest, None
        return b"" if latest is None else wire.encode(latest)
