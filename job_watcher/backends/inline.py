"""Light bodies in the watcher's own event loop: their deadline, and that whatever they raise is about their job.

Called by `metal` for tasks whose kind is `inline`. A body that never waits costs neither a timer nor a turn of
the loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from job_watcher.retrying import as_task_error
from lib.errors import PermanentError, TaskTimeoutError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task, TaskContext, TaskResult


async def run_inline(task: Task, job: JobSpec, context: TaskContext) -> TaskResult:
    """Run the body in the task that calls this.

    Raises:
        TaskTimeoutError: it was stopped at its deadline.
        TaskError: as the body has it.

    """
    body = _guarded(task, job, context)
    try:
        first_wait = body.send(None)
    except StopIteration as over:
        # It has not waited for anything, so no deadline could have stopped it.
        result: TaskResult = over.value
        return result
    try:
        async with asyncio.timeout(job.timeout_seconds):
            return await _Resumed(body, first_wait)
    except TimeoutError:  # never the body's own, which `_guarded` has made a TemporaryError
        raise TaskTimeoutError(
            f"the attempt was stopped at its deadline of {job.timeout_seconds:g} s",
            hint="give the job more timeout_seconds, or less to do",
        ) from None


class _Resumed:
    """Goes on awaiting a coroutine that has come to its first wait: what it waits for was handed to us instead."""

    def __init__(self, body: Coroutine[Any, Any, TaskResult], waits_for: Any) -> None:
        self._body = body
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, TaskResult]:
        waits_for = self._waits_for
        try:
            while True:
                try:
                    answer = yield waits_for
                except BaseException as exc:  # noqa: BLE001  whatever it is, it is for the body
                    waits_for = self._body.throw(exc)
                else:
                    waits_for = self._body.send(answer)
        except StopIteration as over:
            return over.value  # type: ignore[no-any-return]  # what the coroutine returned


async def _guarded(task: Task, job: JobSpec, context: TaskContext) -> TaskResult:
    """The body, so that whatever it raises is about its job and never about the watcher."""
    try:
        return await task.run(job, context)
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        raise PermanentError("the task cancelled itself") from None
    except (Exception, SystemExit) as exc:
        raise as_task_error(exc) from exc
