"""Blocking work of a store, with a deadline, in a daemon thread: a store that has stalled holds up nobody's end.

`lib.stores.s3` and the cache of a bucket call it; it knows nothing of buckets.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Final, TypeVar

from lib.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LAST_WORD_SECONDS: Final = 2.0
"""How long a cancelled upload may take to throw its parts away before nobody waits for it."""


async def in_thread(work: Callable[[threading.Event], T], seconds: float) -> T:
    """Run blocking `work` in a thread that the process does not wait for at its end.

    When the caller is cancelled or `seconds` have passed, the event that `work` got is set, and it has a moment to
    clean up.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()
    stop = threading.Event()

    def settle(value: T | None, error: BaseException | None) -> None:
        if outcome.done():
            return
        if error is not None:
            outcome.set_exception(error)
        else:
            outcome.set_result(value)  # type: ignore[arg-type]  # without an error it is a T

    def run() -> None:
        value: T | None = None
        error: BaseException | None = None
        try:
            value = work(stop)
        except BaseException as exc:  # noqa: BLE001 - handed on to whoever waits
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name="s3", daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(outcome)
    except TimeoutError as exc:
        raise TemporaryError(f"the store did not end within {seconds:.0f} s", hint="this is tried again") from exc
    finally:
        if not outcome.done():
            stop.set()
            await asyncio.wait([outcome], timeout=LAST_WORD_SECONDS)
        if outcome.done() and not outcome.cancelled():
            outcome.exception()  # looked at, or it would be reported as forgotten
