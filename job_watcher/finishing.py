"""Cleaning up to the end, also when the one who cleans up is cancelled in the middle of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def to_the_end(work: Coroutine[None, None, T]) -> T:
    """Run `work`, which must be short and bounded, to its end; a cancellation meanwhile is raised after it."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as exc:
            cancelled = exc
        except BaseException:  # noqa: BLE001  raised again below, by result()
            break
    if cancelled is not None and not task.cancelled():
        # Retrieved, so that a failure of the cleaning is not reported as forgotten.
        task.exception()
        raise cancelled
    return task.result()
