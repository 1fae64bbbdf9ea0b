"""A fresh event loop for one body, made before its order comes and closed when its answer is on its way.

Making and closing one takes as long as a syllable of speech; between two orders the child has that time. What a body
leaves running (tasks, threads, generators) is ended before the answer all the same: nothing writes to the work
directory after it. The child's main module is its only caller.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

Given = TypeVar("Given")


class BodyLoop:
    """Runs one coroutine to its end; then only to be closed."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._loop = self._runner.get_loop()
        self._clean = False

    def run(self, body: Coroutine[Any, Any, Given]) -> Given:
        """What the body returns, or raises; nothing of it runs any more then."""
        before = set(threading.enumerate())
        try:
            given = self._runner.run(_alone(body))
            self._clean = not asyncio.all_tasks(self._loop) and before.issuperset(threading.enumerate())
        finally:
            if not self._clean:
                self.close()
        return given

    def close(self) -> None:
        """As `asyncio.run` does at its end, which is little where nothing was left running. Repeatable."""
        if self._clean:
            self._loop.close()
        else:
            self._runner.close()


async def _alone(body: Coroutine[Any, Any, Given]) -> Given:
    given = await body
    if len(asyncio.all_tasks()) == 1:
        # With other tasks about, these are cancelled first.
        await asyncio.get_running_loop().shutdown_asyncgens()
    return given
