"""A blocking call in a thread of its own, with a deadline that holds whatever the call does.

A library's own timeouts count from byte to byte, so a server that sends one now and then keeps it for ever. The thread
is a daemon: one that has stalled holds up nobody's end. Called by what adapts a blocking library: stores and markets.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(
    work: Callable[[threading.Event], T], seconds: float, name: str, *, last_word_seconds: float = 0.0
) -> T:
    """What `work` returns or raises.

    When the caller is cancelled or `seconds` have passed, the event that `work` got is set, and it has
    `last_word_seconds` to clean up; after that it goes on unheard.

    Raises:
        TimeoutError: `seconds` passed.
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

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.shield(outcome)
    finally:
        if not outcome.done():
            stop.set()
            if last_word_seconds:
                await asyncio.wait([outcome], timeout=last_word_seconds)
            # Whoever does not wait any more takes no late outcome, so nothing is reported as forgotten.
            outcome.cancel()
        if outcome.done() and not outcome.cancelled():
            outcome.exception()
