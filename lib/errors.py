"""Every error that job-runner raises on purpose, one line each.

Who calls it: all modules raise these; vendor and Redis errors become one of them at the edge
(`raise … from exc`). The CLIs catch `JobRunnerError` once, print the message and the hint, and exit with
`exit_code`. The watcher asks one question of an error, retry or not: `TemporaryError` or `PermanentError`.

    JobRunnerError
    ├── InvalidInputError            exit 2: a file, flag or value is wrong
    │   └── InvalidJobsError         all problems of one source at once
    ├── SettingsError                exit 2: an environment variable is wrong
    ├── UnreachableError             exit 3: Redis or another service does not answer
    ├── NotFoundError                exit 4
    ├── RefusedError                 exit 1: the thing asked for is not allowed now
    │   └── NameTakenError           a watcher of this name is alive elsewhere
    ├── QueueError                   exit 1: the queue is not as the protocol needs it
    │   ├── SessionLostError         this watcher's session is no member any more
    │   ├── NotLeaderError           another session leads, or the epoch is over
    │   ├── ServerFullError          maxmemory is reached: nothing new is accepted
    │   └── WrongKeyError            a key holds another type than the protocol's
    └── TaskError                    raised by a task's body
        ├── TemporaryError           try again later: network, 429, 5xx, lost host
        │   └── TaskTimeoutError     the attempt's deadline passed
        └── PermanentError           never try again: bad voice, bad payload, blocked content
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class JobRunnerError(Exception):
    """Base of all: a message that names the thing and the value, and a hint that says what to do next."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInputError(JobRunnerError):
    """A file, a flag or a value is not what it must be."""

    code = "invalid_input"
    exit_code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a source: where it stands, what it is, how to mend it.

    `line` is 1-based; `where` is the path inside the document, as `jobs[3].voice`, or empty.
    """

    source: str
    line: int
    where: str
    message: str

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}"
        return f"{place}: {self.where}: {self.message}" if self.where else f"{place}: {self.message}"


class InvalidJobsError(InvalidInputError):
    """All problems of one command's files, collected.

    `undone` is what was not done with any job of them; None of a command that only looks.
    """

    code = "invalid_jobs"

    def __init__(self, problems: tuple[Problem, ...], *, undone: str | None = "queued") -> None:
        noun = "problem" if len(problems) == 1 else "problems"
        left = f", nothing was {undone}" if undone is not None else ""
        super().__init__(f"{len(problems)} {noun}{left}", hint="mend the lines above and run it again")
        self.problems = problems


class SettingsError(JobRunnerError):
    """An environment variable has a value that is not allowed."""

    code = "settings"
    exit_code = 2


class UnreachableError(JobRunnerError):
    """A service does not answer: Redis, or a server behind a task."""

    code = "unreachable"
    exit_code = 3


class NotFoundError(JobRunnerError):
    """The named thing does not exist."""

    code = "not_found"
    exit_code = 4


class RefusedError(JobRunnerError):
    """What was asked is not allowed in this state."""

    code = "refused"


class NameTakenError(RefusedError):
    """A watcher of this name is alive elsewhere; `heard` is what it last said of itself, if that is known."""

    code = "name_taken"

    def __init__(self, message: str, *, hint: str | None = None, heard: str = "") -> None:
        super().__init__(message, hint=hint)
        self.heard = heard


class QueueError(JobRunnerError):
    """The queue is not as the protocol needs it."""

    code = "queue"


class SessionLostError(QueueError):
    """The session is no member of the sessions any more: whatever it held is somebody else's."""

    code = "session_lost"


class NotLeaderError(QueueError):
    """Another session leads, or this leader's epoch is over."""

    code = "not_leader"


class ServerFullError(QueueError):
    """The server has reached its maxmemory: nothing new is accepted, what is running can still end."""

    code = "server_full"


class WrongKeyError(QueueError):
    """A key of the queue holds another type than the protocol's; nothing was written."""

    code = "wrong_key"


class TaskError(JobRunnerError):
    """Raised by the body of a task."""

    code = "task"


class TemporaryError(TaskError):
    """Worth another attempt later; `delay_seconds` when the far side said how long to wait."""

    code = "temporary"

    def __init__(self, message: str, *, hint: str | None = None, delay_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.delay_seconds = delay_seconds


class TaskTimeoutError(TemporaryError):
    """The attempt's deadline passed before the body was done."""

    code = "timeout"


class PermanentError(TaskError):
    """The same input will fail the same way: no other attempt is made."""

    code = "permanent"
