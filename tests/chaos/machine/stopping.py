"""Whoever ends a run early finds nothing left of it: no process, and no folder that he did not ask for.

A signal cancels the work, once; the work then ends its processes in its own `finally`. Called by `__main__`, and by
what starts or ends processes in threads, which no cancellation reaches.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def stoppable(work: Coroutine[Any, Any, int]) -> int:
    """The work's exit code; at a signal that this process does not ignore it is cancelled, and may clean up.

    Another signal changes nothing: an impatient second Ctrl-C would leave processes behind.

    Raises:
        asyncio.CancelledError: it was ended from outside.

    """
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    told = False

    def stop() -> None:
        nonlocal told
        if not told:
            told = True
            task.cancel()

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop)
    return await task


async def in_thread(step: Callable[[], object]) -> None:
    """Carry out a step that blocks, to its end even when this task is cancelled meanwhile.

    A thread goes on whatever becomes of the task: a server that it starts after everything was ended would stay.
    """
    under_way = asyncio.ensure_future(asyncio.to_thread(step))
    try:
        await asyncio.shield(under_way)
    finally:
        await asyncio.gather(under_way, return_exceptions=True)
