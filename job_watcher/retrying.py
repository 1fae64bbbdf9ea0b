"""Whether a job that did not succeed is tried again, and when: pure, so that it can be tested as a table.

`job_watcher.execution` asks it; the delays stand here and nowhere else. An error is judged by
its type, never by its text.
"""

from __future__ import annotations

import errno
import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.errors import (
    JobRunnerError,
    PausedError,
    PermanentError,
    TaskError,
    TaskTimeoutError,
    TemporaryError,
    UnreachableError,
    WaitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.jobqueue.protocol import RetryKind
    from lib.jobqueue.records import ErrorType

# A far side that asks for more is closed for the day; waiting longer would only hide the job.
LONGEST_DELAY_SECONDS: Final = 86_400.0
# A backend that has paused offers no place any more: the job goes back to where the others wait, and another may have
# it at once. The pause only lets the word of it get about.
_ELSEWHERE_SECONDS: Final = 1.0
_JITTER: Final = 0.2
# A wish of the far side is a lower limit, so its jitter only adds.
_JITTER_ABOVE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Again:
    """Another try after `delay_ms`; `kind` says which counter this one used up."""

    kind: RetryKind
    delay_ms: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """No other try; the record says why."""

    error_type: ErrorType


Decision = Again | GiveUp


def middle() -> float:
    """No jitter, for tests: the delay exactly as the table has it."""
    return 0.5


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how soon. Delays in seconds; the last one of a row is used for all later tries.

    `chance` gives numbers in [0, 1) that spread the retries of jobs which failed together. A crash is no outage
    that must pass, so its pauses are short: long enough for memory to be given back, short enough to know soon.
    """

    max_crashes: int
    chance: Callable[[], float] = field(default=random.random)
    error_delays: tuple[float, ...] = (30.0, 120.0, 600.0)
    crash_delays: tuple[float, ...] = (2.0, 10.0, 60.0)

    def after_error(self, error: TaskError, *, attempts_used: int, max_attempts: int) -> Decision:
        """What follows an attempt that ended in `error`; `attempts_used` counts the tries before this one.

        What waits for a quota, a budget or a backend is tried again as often as it takes, at no cost.
        """
        if not isinstance(error, TemporaryError):
            return GiveUp("permanent")
        if isinstance(error, WaitError):
            named = None if isinstance(error, PausedError) else error.delay_seconds
            pause = _ELSEWHERE_SECONDS if named is None else max(0.0, named)
            return Again("free", _milliseconds(pause * (1 + _JITTER_ABOVE * self.chance())))
        if attempts_used + 1 >= max_attempts:
            return GiveUp("timeout" if isinstance(error, TaskTimeoutError) else "transient_exhausted")
        wished = error.delay_seconds
        if wished is not None and math.isfinite(wished) and wished >= 0:
            return Again("attempt", _milliseconds(wished * (1 + _JITTER_ABOVE * self.chance())))
        return Again("attempt", self._spread(self.error_delays, attempts_used))

    def after_crash(self, *, crashes: int) -> Decision:
        """What follows the death of the process that ran the job; `crashes` counts those before."""
        if crashes + 1 >= self.max_crashes:
            return GiveUp("poison")
        return Again("crash", self._spread(self.crash_delays, crashes))

    def _spread(self, delays: tuple[float, ...], used: int) -> int:
        return _milliseconds(delays[min(used, len(delays) - 1)] * (1 + _JITTER * (2 * self.chance() - 1)))


def as_task_error(error: BaseException) -> TaskError:
    """What an exception of a body means for its job.

    A body that knows raises a `TaskError`. Of the rest, the operating system's own errors (files, network, memory,
    timeouts) and a service that does not answer may pass, so they are temporary; anything else is a mistake in
    the task's code or input, which the same input will meet again, so it is permanent.
    """
    if isinstance(error, TaskError):
        return error
    hint = error.hint if isinstance(error, JobRunnerError) else None
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        hint = "free some space on the disk of WATCHER_WORK_DIR; the job is tried again"
    if isinstance(error, OSError | MemoryError | UnreachableError):
        return TemporaryError(_said(error), hint=hint)
    return PermanentError(_said(error), hint=hint)


def _said(error: BaseException) -> str:
    if isinstance(error, JobRunnerError):
        return error.message
    if isinstance(error, SystemExit):
        return f"the task called sys.exit({error.code!r})"
    try:
        text = str(error)
    except Exception as exc:  # noqa: BLE001 - an exception of somebody's own may fail even to say what it is
        text = f"(its message cannot be shown: {type(exc).__name__})"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _milliseconds(seconds: float) -> int:
    return round(min(seconds, LONGEST_DELAY_SECONDS) * 1000)
