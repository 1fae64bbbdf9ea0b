"""A task that only asks the text model, so many times one after the other: loaded by JOBS_TASK_MODULES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from lib.capabilities.text_model import TextRequest
from lib.jobqueue.catalogue import TaskKind
from lib.tasks.base import TaskContext, TaskResult

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec


class AskPayload(BaseModel):
    """How many calls, and the words of each."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    calls: int = 1
    prompt: str = "a word"
    max_output_tokens: int = 64


class Ask:
    """Asks, and says what the answers cost."""

    @property
    def kind(self) -> TaskKind:
        """A task for any text model."""
        return TaskKind("ask", (), "text_model", AskPayload, 3600, "inline", ("calls",))

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """One call after the other."""
        payload = AskPayload.model_validate(job.payload)
        for number in range(payload.calls):
            prompt = f"{job.request_id} {number}: {payload.prompt}"
            await context.text_model.answer(TextRequest(prompt, max_output_tokens=payload.max_output_tokens))
        return TaskResult(result={"calls": payload.calls})


TASKS = (Ask(),)
