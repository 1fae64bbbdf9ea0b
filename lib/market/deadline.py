"""A blocking call in a thread of its own, with a deadline that holds whatever the call does.

A library's own timeouts count from byte to byte, so a server that sends one now and then keeps it for ever. Its thread
is left behind then, and the process does not wait for it at its end. Called by the adapters of markets.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def in_thread(work: Callable[[], T], seconds: float, name: str) -> T:
    """What `work` returns or raises.

    Raises:
        TimeoutError: `seconds` passed; the work goes on, unheard.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

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
            value = work()
        except BaseException as exc:  # noqa: BLE001 - handed on to whoever waits
            error = exc
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    async with asyncio.timeout(seconds):
        # A cancelled future takes no late outcome, so nothing is reported as forgotten.
        return await outcome
