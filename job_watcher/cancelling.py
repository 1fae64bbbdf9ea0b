"""Ends tasks for certain: cancelled again and again, until each has ended.

redis-py sends by `asyncio.wait_for`, which in Python 3.11 swallows a cancel that comes just when the sending is done: a
watcher that woke up with its session lost cancelled once and then waited for ever. Bodies and other libraries may do
the same. The life cancels its duties so, the leases in hand their bodies, the callbacks their flights.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

CANCEL_AGAIN_SECONDS: Final = 0.5
"""How long a cancelled task may clean up before it is cancelled once more."""


async def cancel_all(tasks: Iterable[asyncio.Task[Any]], *, again_seconds: float = CANCEL_AGAIN_SECONDS) -> None:
    """Cancel those that have not ended, and wait for the end of all; what they raise is theirs."""
    every = list(tasks)
    while pending := [task for task in every if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=again_seconds)
    await asyncio.gather(*every, return_exceptions=True)
