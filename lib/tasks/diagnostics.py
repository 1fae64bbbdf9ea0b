"""Two tasks that prove the machine works without a model: `debug` echoes, `sleep` waits.

Tests, demos and stress plans use them. Both run inside the watcher's own loop, so they must never block it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.clock import Clock, SystemClock
from lib.errors import PermanentError, TemporaryError
from lib.tasks.base import TaskContext, TaskResult, built_in_kind

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec, TaskKind

# One progress event a second is enough for a bar, and a day-long sleep must not make 86 400 of them.
_SHORTEST_STEP_SECONDS = 1.0
_MOST_STEPS = 100
# Less than this a clock far from its start cannot count, and the sleep would never end.
_SHORTEST_SLEEP_SECONDS = 1e-6


class Debug:
    """Gives its message back as the result, or fails as its payload says."""

    @property
    def kind(self) -> TaskKind:
        """The built-in `debug`."""
        return built_in_kind("debug")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Echo, or raise what `fail` asks for: `TemporaryError` or `PermanentError` with the message."""
        payload = job.payload or {}
        message = str(payload.get("message", ""))
        match payload.get("fail"):
            case "temporary":
                raise TemporaryError(message or "debug was told to fail for now")
            case "permanent":
                raise PermanentError(message or "debug was told to fail for good")
        await context.progress(100.0, message=message)
        return TaskResult(result={"message": message, "attempt": context.attempt})


class Sleep:
    """Waits `seconds` by the given clock, cancellable at any moment."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()

    @property
    def kind(self) -> TaskKind:
        """The built-in `sleep`."""
        return built_in_kind("sleep")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Sleep in steps, one progress report a step; `slept_seconds` is what the clock says."""
        seconds = float((job.payload or {}).get("seconds", 0.0))
        step = max(_SHORTEST_STEP_SECONDS, seconds / _MOST_STEPS)
        began = self._clock.elapsed()
        while seconds - (passed := self._clock.elapsed() - began) >= _SHORTEST_SLEEP_SECONDS:
            await self._clock.sleep(min(step, seconds - passed))
            done = min(1.0, (self._clock.elapsed() - began) / seconds)
            await context.progress(round(100.0 * done, 1), message=f"{done * seconds:.0f} of {seconds:g} s")
        return TaskResult(result={"slept_seconds": round(self._clock.elapsed() - began, 3)})
