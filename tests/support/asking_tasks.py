"""Tasks that ask a text model from inside a child, for `JOBS_TASK_MODULES=tests.support.asking_tasks`."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from lib.capabilities.text_model import TextRequest
from lib.errors import TaskError
from lib.jobqueue import TaskKind
from lib.tasks.base import TaskContext, TaskResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task


class Payload(BaseModel):
    """What any of these tasks may be given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompts: tuple[str, ...] = ("hello",)
    gate: str = ""
    """A file that the body waits for."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A task made of a function."""

    name: str
    body: Callable[[Payload, TaskContext], Awaitable[TaskResult]]

    @property
    def kind(self) -> TaskKind:
        """In a child, whatever it needs."""
        return TaskKind(self.name, (), "text_model", Payload, 60, "child")

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Do it."""
        return await self.body(Payload.model_validate(job.payload), context)


async def _ask(payload: Payload, context: TaskContext) -> TaskResult:
    """All prompts at once."""
    asked = (context.text_model.answer(TextRequest(prompt)) for prompt in payload.prompts)
    answers = await asyncio.gather(*asked)
    return TaskResult({"said": [answer.text for answer in answers], "model": answers[0].model})


async def _ask_in_threads(payload: Payload, context: TaskContext) -> TaskResult:
    """Each prompt in a thread and a loop of its own."""

    def ask(prompt: str) -> str:
        return asyncio.run(_answer(context, prompt))

    return TaskResult({"said": await asyncio.gather(*(asyncio.to_thread(ask, each) for each in payload.prompts))})


async def _ask_and_catch(payload: Payload, context: TaskContext) -> TaskResult:
    """The error of each prompt, as it arrived."""
    caught = []
    for prompt in payload.prompts:
        try:
            await _answer(context, prompt)
        except TaskError as exc:
            caught.append([type(exc).__name__, exc.message])
    return TaskResult({"caught": caught})


async def _nearly_then_ask(payload: Payload, context: TaskContext) -> TaskResult:
    """Ask when the next order may be here already."""
    context.nearly_over()
    while payload.gate and not Path(payload.gate).exists():
        time.sleep(0.005)  # noqa: ASYNC251 - nobody else is in this process
    return TaskResult({"said": [await _answer(context, prompt) for prompt in payload.prompts]})


async def _ask_and_leave(payload: Payload, context: TaskContext) -> TaskResult:
    """Return while a thread of its own waits for an answer."""
    threading.Thread(target=lambda: asyncio.run(_forgotten(context, payload.prompts[0])), daemon=True).start()
    while not Path(payload.gate).exists():
        time.sleep(0.005)  # noqa: ASYNC251 - as above
    return TaskResult({"said": []})


async def _forgotten(context: TaskContext, prompt: str) -> None:
    # A daemon's traceback would only be noise: it is cancelled when the order is over.
    try:
        await _answer(context, prompt)
    except (TaskError, asyncio.CancelledError):
        return


async def _answer(context: TaskContext, prompt: str) -> str:
    return (await context.text_model.answer(TextRequest(prompt))).text


TASKS: tuple[Task, ...] = (
    Asking("ask", _ask),
    Asking("ask_in_threads", _ask_in_threads),
    Asking("ask_and_catch", _ask_and_catch),
    Asking("nearly_then_ask", _nearly_then_ask),
    Asking("ask_and_leave", _ask_and_leave),
)
