"""Tasks that wait for the test: each run is noted in a file, then it waits until a gate is open.

A gate is a file; it is open once the file exists. So a test decides when a body ends, and no test guesses a time.
Loaded by watchers of `tests.chaos.yard` through JOBS_TASK_MODULES.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from lib.jobqueue import Isolation, TaskKind
from lib.tasks.base import Output, TaskContext, TaskResult

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task

_PAUSE_SECONDS = 0.02


class GatePayload(BaseModel):
    """Where to note the run, and what to wait for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_log: str
    """A file that gets one line a run: attempt and pid."""
    gate: str = ""
    """A file that must exist before the body ends; none: it ends at once."""
    gate_a_run: bool = False
    """Each run has a gate of its own: `<gate>-1`, `<gate>-2`."""
    spin: bool = False
    """Compute while waiting instead of sleeping."""
    output: str = ""
    """Content of an output file."""
    repeat: int = 1
    """How often that content stands in it: a file may be larger than a job."""


@dataclass(frozen=True, slots=True)
class Gated:
    """Waits for its gate, inline or in a child."""

    name: str
    isolation: Isolation

    @property
    def kind(self) -> TaskKind:
        """Needs nothing; a test that forgets the gate ends in two minutes."""
        return TaskKind(self.name, (), "any", GatePayload, 120, self.isolation)

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Note the run, wait, and write the output if there is one."""
        payload = GatePayload.model_validate(job.payload)
        run = _note_run(Path(payload.run_log), context.attempt)
        gate = f"{payload.gate}-{run}" if payload.gate_a_run else payload.gate
        while gate and not Path(gate).exists():
            if payload.spin:
                _compute()
            else:
                await asyncio.sleep(_PAUSE_SECONDS)
        if not payload.output:
            return TaskResult({"attempt": context.attempt})
        place = context.work_dir / "best.wav"
        place.write_text(payload.output * payload.repeat)
        return TaskResult({"attempt": context.attempt}, (Output("best.wav", place, "best"),))


def _note_run(run_log: Path, attempt: int) -> int:
    """Note it; which run this is, from 1."""
    with run_log.open("a") as log:
        log.write(f"{attempt} {os.getpid()}\n")
    return len(run_log.read_text().splitlines())


def _compute() -> None:
    """Half a second without giving the event loop a turn."""
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        sum(range(1000))


TASKS: tuple[Task, ...] = (Gated("gated", "inline"), Gated("gated_child", "child"))
