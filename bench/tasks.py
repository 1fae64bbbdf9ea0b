"""A task that does nothing but note when its body began: what a queue costs when the work costs nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pydantic import BaseModel

from lib.jobqueue import TaskKind
from lib.tasks.base import TaskResult

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task, TaskContext


class NoPayload(BaseModel):
    """Nothing but ballast."""

    ballast: str = ""


class Noop:
    """Ends at once; its result is the moment at which it began, nanoseconds of the machine's monotonic clock."""

    kind = TaskKind("noop", (), "any", NoPayload, 60, "inline")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:  # noqa: ARG002 - the protocol's signature
        """Note the time."""
        return TaskResult({"began_ns": time.monotonic_ns()})


TASKS: tuple[Task, ...] = (Noop(),)
