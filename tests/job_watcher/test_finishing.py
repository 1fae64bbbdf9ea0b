"""Cleaning up to the end."""

from __future__ import annotations

import asyncio

import pytest

from job_watcher.finishing import to_the_end


async def test_the_work_ends_before_a_cancellation_passes() -> None:
    """However often the cleaner is cancelled, the cleaning is whole, and the cancellation is not lost."""
    gate, done = asyncio.Event(), False

    async def work() -> None:
        nonlocal done
        await gate.wait()
        done = True

    cleaner = asyncio.create_task(to_the_end(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        cleaner.cancel()
    await asyncio.sleep(0)
    assert not cleaner.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await cleaner
    assert done


async def test_without_a_cancellation_it_is_just_awaited() -> None:
    """Result and error come through."""

    async def right() -> int:
        return 3

    async def wrong() -> int:
        raise LookupError("x")

    assert await to_the_end(right()) == 3
    with pytest.raises(LookupError):
        await to_the_end(wrong())


async def test_an_error_of_work_under_cancellation_is_not_left_unread() -> None:
    """The cancellation passes; the failed work is no `exception was never retrieved`."""
    gate = asyncio.Event()

    async def wrong() -> None:
        await gate.wait()
        raise LookupError("x")

    cleaner = asyncio.create_task(to_the_end(wrong()))
    await asyncio.sleep(0)
    cleaner.cancel()
    await asyncio.sleep(0)
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await cleaner
