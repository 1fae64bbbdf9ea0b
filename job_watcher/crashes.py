"""The death of a process under a job: what the child's keeper says and the execution answers."""

from __future__ import annotations

from typing import ClassVar

from lib.errors import JobRunnerError


class ChildCrashedError(JobRunnerError):
    """The process that ran this job, and no other, died under it; `exit_name` is `SIGKILL` or `status 3`."""

    code: ClassVar[str] = "child_crashed"

    def __init__(self, message: str, *, exit_name: str) -> None:
        super().__init__(message)
        self.exit_name = exit_name
