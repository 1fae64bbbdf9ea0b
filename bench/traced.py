"""A task whose body leaves the same trace as a peer's: for the table in which all stand side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from bench.peers.side import async_body
from lib.jobqueue import TaskKind
from lib.tasks.base import TaskResult

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task, TaskContext


class Traced(BaseModel):
    """The job's row in the trace, and how long its body takes."""

    number: int
    seconds: float
    ballast: str


class TracedTask:
    """Writes down when it began and when it ended."""

    kind = TaskKind("traced", (), "any", Traced, 60, "inline")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:  # noqa: ARG002 - the protocol's signature
        """The body of every peer."""
        payload = Traced.model_validate(job.payload)
        await async_body(payload.number, payload.seconds)
        return TaskResult({"number": payload.number})


TASKS: tuple[Task, ...] = (TracedTask(),)
