"""The loop of one body: when it has returned, nothing of the body runs any more, and the next body finds nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from job_watcher.child.body_loop import BodyLoop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture
def loop() -> Iterator[BodyLoop]:
    """One, closed at the end."""
    made = BodyLoop()
    yield made
    made.close()


def test_it_gives_what_the_body_gives_and_closes_twice(loop: BodyLoop) -> None:
    """A result passes through."""

    async def body() -> int:
        await asyncio.sleep(0)
        return 7

    assert loop.run(body()) == 7
    loop.close()


def test_what_the_body_raises_is_raised(loop: BodyLoop) -> None:
    """An exit too: it is about the job, and the child goes on."""

    async def body() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        loop.run(body())


def test_a_task_that_is_left_behind_is_cancelled_before_the_answer(loop: BodyLoop) -> None:
    """It has cleaned up when the body's result is there."""
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("task")

    left: list[asyncio.Task[None]] = []

    async def body() -> None:
        left.append(asyncio.create_task(endless()))
        await asyncio.sleep(0)

    loop.run(body())
    assert ended == ["task"]
    assert left[0].cancelled()


def test_a_thread_that_is_left_behind_is_waited_for(loop: BodyLoop) -> None:
    """It may write to the work directory, which is gone soon after the answer."""
    let, ended = threading.Event(), threading.Event()

    def work() -> None:
        let.wait(10)
        ended.set()

    async def body() -> None:
        asyncio.get_running_loop().run_in_executor(None, work)
        threading.Timer(0.05, let.set).start()

    loop.run(body())
    assert ended.is_set()


@pytest.mark.parametrize("with_a_task", [False, True])
def test_a_generator_that_is_left_behind_is_closed(loop: BodyLoop, *, with_a_task: bool) -> None:
    """Its clean-up has run when the body's result is there."""
    ended: list[str] = []
    kept: list[AsyncIterator[int]] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append("generator")

    async def body() -> None:
        kept.append(numbers())
        assert await anext(kept[0]) == 1
        if with_a_task:
            kept_task.append(asyncio.create_task(asyncio.Event().wait()))

    kept_task: list[asyncio.Task[bool]] = []
    loop.run(body())
    assert ended == ["generator"]


def test_the_next_body_has_a_loop_of_its_own() -> None:
    """A call that one body left for later never comes."""
    late: list[int] = []

    async def leaving() -> asyncio.AbstractEventLoop:
        running = asyncio.get_running_loop()
        running.call_later(0.01, late.append, 1)
        return running

    async def following() -> asyncio.AbstractEventLoop:
        await asyncio.sleep(0.03)
        return asyncio.get_running_loop()

    loops = []
    for body in (leaving(), following()):
        loop = BodyLoop()
        loops.append(loop.run(body))
        loop.close()
    assert loops[0] is not loops[1]
    assert late == []
