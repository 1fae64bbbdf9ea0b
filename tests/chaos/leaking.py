"""Tasks that quote secrets wherever a task can say something: what a careless body, or a library below it, may do.

An inline body finds them in the watcher's environment. A child has none there, so it reads them from a file that the
job names. Loaded by the watchers of `tests.chaos.test_secrets` through JOBS_TASK_MODULES.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from lib.errors import PermanentError, TemporaryError
from lib.jobqueue import Isolation, TaskKind
from lib.tasks.base import TaskContext, TaskResult

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task

_PAUSE_SECONDS = 0.02


class LeakPayload(BaseModel):
    """Where the secrets are, one a line, and how to say them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    """Beside it, `….reported` lets a body end that has said how far it is."""
    how: str
    gate: str = ""
    """A file that must exist before it says anything; beside it, `….begun` says that the body runs."""


@dataclass(frozen=True, slots=True)
class Leaking:
    """Says every secret that it knows, in one of many ways."""

    name: str
    isolation: Isolation

    @property
    def kind(self) -> TaskKind:
        """Needs nothing."""
        return TaskKind(self.name, (), "any", LeakPayload, 60, self.isolation)

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Leak."""
        payload = LeakPayload.model_validate(job.payload)
        if payload.gate:
            Path(f"{payload.gate}.begun").touch()
            await _there(payload.gate)
        told = Path(payload.file).read_text().split("\n")
        if self.isolation == "inline":
            told += [f"{name}={value}" for name, value in os.environ.items()]
        return await _leak(payload, told, context)


async def _there(path: str) -> None:
    """Wait for a file."""
    while not Path(path).exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(_PAUSE_SECONDS)


async def _leak(payload: LeakPayload, told: list[str], context: TaskContext) -> TaskResult:
    text = " and ".join(told)
    match payload.how:
        case "permanent":
            raise PermanentError(f"no entry with {text}", hint=f"use {text}")
        case "temporary":
            raise TemporaryError(f"{text!r} was refused")
        case "odd":
            raise RuntimeError(told, {"headers": told})
        case "long":
            # So that the message is cut in the middle of a secret, wherever it is cut.
            raise RuntimeError("\n".join(told * 300))
        case "crash":
            print("last words:", text, flush=True)  # noqa: T201 - what a body prints is tested
            os._exit(3)
        case "say":
            logging.getLogger("library").warning("sent %s", told)
            warnings.warn(text, stacklevel=1)
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - ditto
            await context.progress(50, message=text)
            await context.progress(60, message=f"{'x' * 190}{told[0]}")
            # A report of a body that has ended is not sent any more.
            await _there(f"{payload.file}.reported")
            return TaskResult({"said": True})
        case _:
            return TaskResult({"deep": [{"in": told}], text: 1, "url": f"https://u:{told[0]}@host/?a=b"})


TASKS: tuple[Task, ...] = (Leaking("leak", "inline"), Leaking("leak_child", "child"))
