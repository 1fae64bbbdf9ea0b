"""What a worker that is fed says: one JSON object a line, by the kind under `event`. Nothing else is on its stdout.

    ready                              it listens
    begun     request_id               from here on a death of the process is this job's doing
    progress  request_id, percent, step, total, message
    ended     request_id, status       `ok` with its files, `failed` with the error, `skipped`
    uploaded  request_id               its files are in the store, or the error
    refused   batch, error             a folder that is no sound manifest; none of its jobs was begun
    batch_done batch                   nothing of that folder follows

`following` says it; `job_watcher.hosts` hears it on another machine.
"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from lib.errors import JobRunnerError, PermanentError, TaskError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRESS_SECONDS: Final = 0.2
"""Between two words about how far a job is; the watcher passes on no more."""

MOST_ERROR_CHARACTERS: Final = 2_000


class Events:
    """Writes events to a descriptor, from any thread, each whole."""

    def __init__(self, descriptor: int, redact: Callable[[str], str], gone: Callable[[], None] | None = None) -> None:
        """`gone` is called when nobody listens any more; it need not return."""
        self._descriptor = descriptor
        self._redact = redact
        self._gone = gone or _leave
        self._writing = threading.Lock()
        self._spoke = 0.0

    def say(self, event: str, **parts: Any) -> None:
        """One event; parts that are None are left out."""
        given = {name: value for name, value in parts.items() if value is not None}
        line = json.dumps({"event": event, **given}, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        with self._writing:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except BrokenPipeError:
                self._gone()

    def progress(self, request_id: str, *, percent: float, step: int, total: int, message: str) -> None:
        """How far a job is; most of it is dropped."""
        now = time.monotonic()
        if now - self._spoke < PROGRESS_SECONDS:
            return
        self._spoke = now
        self.say("progress", request_id=request_id, percent=percent, step=step, total=total, message=message)

    def failed(self, request_id: str, error: Exception, seconds: float) -> None:
        """A job ended in an error."""
        message, hint = self.told(error)
        self.say(
            "ended",
            request_id=request_id,
            status="failed",
            error=message,
            hint=hint,
            permanent=is_permanent(error),
            seconds=round(seconds, 3),
        )

    def told(self, error: Exception) -> tuple[str, str | None]:
        """An error's words and hint, without what no log may show."""
        if isinstance(error, JobRunnerError):
            hint = self._redact(error.hint)[:MOST_ERROR_CHARACTERS] if error.hint else None
            return self._redact(error.message)[:MOST_ERROR_CHARACTERS], hint
        return self._redact(f"{type(error).__name__}: {error}")[:MOST_ERROR_CHARACTERS], None


def is_permanent(error: Exception) -> bool:
    """Whether the same job would meet it again, on any machine."""
    if isinstance(error, TaskError):
        return isinstance(error, PermanentError)
    # What was compiled elsewhere and is not sound here was damaged on the way; disks and memory may be luckier.
    return not isinstance(error, JobRunnerError | UnreachableError | OSError | MemoryError)


def _leave() -> None:
    # Whoever wanted the audio is gone, and synthesis in another thread hears of nothing.
    os._exit(1)
