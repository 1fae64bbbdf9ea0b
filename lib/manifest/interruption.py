"""Ctrl-C and SIGTERM while jobs run: they end the job at work, never a document half-way.

Both raise KeyboardInterrupt where the program is, except inside a `shielded` block: there they wait for its end. Once
the last job has ended there is nothing to interrupt: `work_is_over` says so.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Takes both signals for the block, and gives them back. Only a main thread can; elsewhere it does nothing."""

    def __init__(self) -> None:
        self.seen = False
        self._depth = 0
        self._over = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._arrived) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def shielded(self) -> Iterator[None]:
        """Nothing interrupts the block; what came meanwhile is raised at its end, once."""
        already = self.seen
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        if self.seen and not already and not self._over:
            raise KeyboardInterrupt

    def work_is_over(self) -> None:
        """Nothing is raised from here on: only the documents are to be ended, and a whole run was not interrupted."""
        self._over = True

    def _arrived(self, *_: object) -> None:
        again, self.seen = self.seen, True
        # A second one, from an impatient hand, must not break what the first has begun to put in order.
        if not self._depth and not again and not self._over:
            raise KeyboardInterrupt
