"""Tasks that are to end."""

from __future__ import annotations

import asyncio

from job_watcher.cancelling import cancel_all


async def test_a_task_that_swallows_a_cancel_is_cancelled_again() -> None:
    """As redis-py's sending does now and then; and nothing that a task raises comes out of it."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        for _ in range(3):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
        raise ValueError("at last")

    async def ended() -> None:
        return

    tasks = [asyncio.create_task(stubborn()), asyncio.create_task(ended())]
    await asyncio.wait([tasks[1]])
    await cancel_all(tasks, again_seconds=0.01)
    assert swallowed == 3
    assert all(task.done() for task in tasks)


async def test_no_tasks_are_no_wait() -> None:
    """As where no body runs."""
    await cancel_all([])
