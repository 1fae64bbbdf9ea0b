"""Waiting in tests: poll a predicate until a deadline, so that no test sleeps for a guessed time.

A test that fails here says what it last saw. Called by any test that watches another process or a server.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

# Short against anything worth waiting for, long enough not to keep one of two cores busy.
_PAUSE_SECONDS = 0.01


@overload
async def wait_until(predicate: Callable[[], Awaitable[T]], deadline_seconds: float = ..., *, what: str = ...) -> T: ...
@overload
async def wait_until(predicate: Callable[[], T], deadline_seconds: float = ..., *, what: str = ...) -> T: ...
async def wait_until(predicate: Callable[[], T | Awaitable[T]], deadline_seconds: float = 10.0, *, what: str = "") -> T:
    """Return the first truthy value of `predicate`, which may be sync or async.

    Raises:
        AssertionError: `deadline_seconds` passed; names `what` and the last value.
    """
    end = time.monotonic() + deadline_seconds
    while True:
        seen = predicate()
        value = await seen if inspect.isawaitable(seen) else seen
        if value:
            return value
        if time.monotonic() >= end:
            name = what or getattr(predicate, "__qualname__", repr(predicate))
            raise AssertionError(f"not within {deadline_seconds:g} s: {name}; last seen: {value!r}")
        await asyncio.sleep(_PAUSE_SECONDS)
