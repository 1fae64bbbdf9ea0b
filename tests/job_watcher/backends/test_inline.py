"""Bodies in the watcher's own loop, driven without a watcher: what they wait for, their deadline, their errors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.backends.inline import run_inline
from lib.errors import PermanentError, TaskTimeoutError, TemporaryError
from lib.jobqueue import TaskKind, normalize_job_spec
from lib.tasks.base import TaskResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lib.jobqueue import JobSpec

DONE = TaskResult({"done": True})
CONTEXT: Any = None
"""No body here asks for anything."""


class Body:
    """A task whose body is the function given."""

    kind = TaskKind("sleep", (), "any", object, 60, "inline")  # type: ignore[arg-type]  # nothing looks at its payload

    def __init__(self, body: Callable[[], Awaitable[TaskResult]]) -> None:
        self._body = body

    async def run(self, job: JobSpec, context: Any) -> TaskResult:  # noqa: ARG002 - the protocol's signature
        """Run it."""
        return await self._body()


def job(seconds: float = 60) -> JobSpec:
    """A job with this deadline."""
    row = {"request_id": "a", "task": "sleep", "payload": {"seconds": 0}, "timeout_seconds": seconds}
    return normalize_job_spec(row)


async def test_a_body_that_never_waits_sets_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of light jobs a second must not fill the loop with timers that nobody needs."""

    async def body() -> TaskResult:
        return DONE

    def no_timer(*_: Any, **__: Any) -> None:
        raise AssertionError("a timer was set")

    monkeypatch.setattr(asyncio.get_running_loop(), "call_at", no_timer)
    assert await run_inline(Body(body), job(), CONTEXT) == DONE


async def test_what_a_body_waits_for_reaches_it() -> None:
    """Answers and errors, at the first wait and at later ones."""
    loop = asyncio.get_running_loop()
    heard: list[object] = []

    async def body() -> TaskResult:
        for answer in (1, 2):
            future = loop.create_future()
            loop.call_soon(future.set_result, answer)
            heard.append(await future)
        broken = loop.create_future()
        loop.call_soon(broken.set_exception, OSError("gone"))
        try:
            await broken
        except OSError as exc:
            heard.append(str(exc))
        await asyncio.sleep(0)
        return DONE

    assert await run_inline(Body(body), job(), CONTEXT) == DONE
    assert heard == [1, 2, "gone"]


@pytest.mark.parametrize("waits", [0, 1])
async def test_a_body_is_stopped_at_its_deadline(waits: int) -> None:
    """In its first wait or later; it may clean up."""
    cleaned = []

    async def body() -> TaskResult:
        for _ in range(waits):
            await asyncio.sleep(0)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
        return DONE

    with pytest.raises(TaskTimeoutError, match=r"deadline of 0\.05 s"):
        await run_inline(Body(body), job(0.05), CONTEXT)
    assert cleaned == [True]


async def test_cancelling_its_task_cancels_the_body() -> None:
    """As a cancelled job and a stopping watcher do; the body's clean-up runs before the task ends."""
    begun, cleaned = asyncio.Event(), []

    async def body() -> TaskResult:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)
        return DONE

    running = asyncio.create_task(run_inline(Body(body), job(), CONTEXT))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned == [True]


@pytest.mark.parametrize("waits", [0, 1])
@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (TimeoutError("of its own"), TemporaryError),
        (asyncio.CancelledError(), PermanentError),
        (SystemExit(3), PermanentError),
        (PermanentError("no"), PermanentError),
    ],
)
async def test_what_a_body_raises_is_about_its_job(waits: int, raised: BaseException, seen: type[Exception]) -> None:
    """Before its first wait or after it; nothing of it reaches the watcher as its own."""

    async def body() -> TaskResult:
        for _ in range(waits):
            await asyncio.sleep(0)
        raise raised

    with pytest.raises(seen):
        await run_inline(Body(body), job(), CONTEXT)


async def test_a_body_may_set_timeouts_of_its_own() -> None:
    """Its own deadline in its first wait ends that wait and nothing else."""

    async def body() -> TaskResult:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            return DONE
        return TaskResult()

    assert await run_inline(Body(body), job(), CONTEXT) == DONE
