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
        │   ├── TaskTimeoutError     the attempt's deadline passed
        │   ├── OverloadedError      the service answers that it cannot now, or stalls in the middle of an answer
        │   ├── AnswerError          an answer that is none: empty, no JSON, not what the schema asks for
        │   └── WaitError            no fault of the job, so no attempt is used up
        │       ├── QuotaError       the quota of a minute or a day is used up
        │       ├── BudgetError      the day's budget is reached
        │       └── PausedError      the backend cannot do such jobs now: its server is down, its model is missing
        └── PermanentError           never try again: bad voice, bad payload
            ├── BlockedError         the model refuses the content
            └── TruncatedError       the answer, or the prompt, was cut off
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
    """Raised by the body of a task.

    `free`: a service answered with an error, for which it takes no money; False also where nobody knows.
    `counted`: the tokens of prompt and answer as a service counted them for an answer that was no use (`AnswerError`,
    `BlockedError`, `TruncatedError`); None where it did not say.
    """

    code = "task"
    free: bool = False
    counted: tuple[int, int] | None = None


class TemporaryError(TaskError):
    """Worth another attempt later; `delay_seconds` when the far side said how long to wait."""

    code = "temporary"

    def __init__(self, message: str, *, hint: str | None = None, delay_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.delay_seconds = delay_seconds


class TaskTimeoutError(TemporaryError):
    """The attempt's deadline passed before the body was done."""

    code = "timeout"


class OverloadedError(TemporaryError):
    """The service says that it is overloaded, or stalled in the middle of an answer."""

    code = "overloaded"


class AnswerError(TemporaryError):
    """The answer is none: empty, no JSON, or not what the schema asks for; another try may give a better one."""

    code = "answer"


class WaitError(TemporaryError):
    """What the job waits for is no fault of its own: tried again after `delay_seconds`, and no attempt is used."""

    code = "wait"


class QuotaError(WaitError):
    """The quota of a key and model is used up; `window` says which: `minute` or `day`."""

    code = "quota"

    def __init__(self, message: str, *, window: str = "minute", hint: str | None = None, delay_seconds: float) -> None:
        super().__init__(message, hint=hint, delay_seconds=delay_seconds)
        self.window = window


class BudgetError(WaitError):
    """The day's budget is reached: nothing that is paid for begins before the next day, or a higher budget."""

    code = "budget"


class PausedError(WaitError):
    """The backend cannot do such jobs now; `capability` is what it lacks for the time being."""

    code = "paused"

    def __init__(
        self, message: str, *, capability: str, hint: str | None = None, delay_seconds: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, delay_seconds=delay_seconds)
        self.capability = capability


class PermanentError(TaskError):
    """The same input will fail the same way: no other attempt is made."""

    code = "permanent"


class BlockedError(PermanentError):
    """The model refuses the content, and will refuse it again."""

    code = "blocked"


class TruncatedError(PermanentError):
    """The answer ended at its limit of tokens, or the prompt was longer than what the model can see."""

    code = "truncated"
