"""What the jobs of the chaos machine do, and the trace that each run leaves outside the queue.

A body appends one line at its begin and one at its end to a file of its own process: O_APPEND and a single write, so
that no death tears a line. The fence under which it runs stands in the name of its work directory; so the trace
knows it without asking the queue. Loaded by watchers through JOBS_TASK_MODULES.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict

from lib.errors import PermanentError, TemporaryError
from lib.jobqueue import BUILT_IN, Isolation, TaskKind
from lib.tasks.base import Output, TaskContext, TaskResult

if TYPE_CHECKING:
    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task


class Work(BaseModel):
    """What one body is to do; `trace` is the directory of the trace files."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trace: str
    do: Literal["ok", "slow", "flaky", "fatal", "child", "output", "poison"]
    echo: str
    seconds: float = 0.0
    fails: int = 0
    """So many attempts end in a temporary error before one succeeds."""


class Trace:
    """The trace file of this process."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def line(self, **words: Any) -> None:
        """One line by one write."""
        os.write(self._file, json.dumps({"at": time.monotonic(), "pid": os.getpid(), **words}).encode() + b"\n")

    def close(self) -> None:
        """The process is free to be forgotten."""
        os.close(self._file)


@dataclass(frozen=True, slots=True)
class Traced:
    """A body that leaves a trace."""

    name: str
    isolation: Isolation

    @property
    def kind(self) -> TaskKind:
        """Needs nothing; none takes longer than a minute."""
        return TaskKind(self.name, (), "any", Work, 60, self.isolation)

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Begin, do what the payload says, end; whatever happens between is seen by what is missing."""
        work = Work.model_validate(job.payload)
        trace = Trace(Path(work.trace))
        place = context.work_dir
        run = {
            "id": job.request_id,
            "fence": place.name.rpartition("-")[2],
            "session_dir": place.parent.name,
            "attempt": context.attempt,
            "nonce": os.urandom(6).hex(),
        }
        trace.line(**{"is": "begin", **run})
        how = "stopped"
        try:
            result = await _do(work, context)
            how = "ok"
            return TaskResult({"echo": _digest(work.echo), "nonce": run["nonce"], **result[0]}, result[1])
        except (TemporaryError, PermanentError) as exc:
            how = type(exc).__name__
            raise
        finally:
            trace.line(**{"is": "end", "how": how, **run})
            trace.close()


async def _do(work: Work, context: TaskContext) -> tuple[dict[str, Any], tuple[Output, ...]]:
    if work.seconds:
        await asyncio.sleep(work.seconds)
    match work.do:
        case "poison":
            os.kill(os.getpid(), signal.SIGKILL)
        case "fatal":
            raise PermanentError("never", hint="it is meant to fail")
        case "flaky" if context.attempt <= work.fails:
            raise TemporaryError("not now", hint="later", delay_seconds=0.3)
        case "output":
            place = context.work_dir / "best.wav"
            place.write_text(work.echo)
            return {}, (Output("best.wav", place, "best"),)
    return {}, ()


def _digest(echo: str) -> str:
    return hashlib.sha256(echo.encode()).hexdigest()[:32]


TASKS: tuple[Task, ...] = (Traced("traced", "inline"), Traced("traced_child", "child"))
CATALOGUE = BUILT_IN.with_kinds(*(task.kind for task in TASKS))
MODULE = "tests.chaos.machine.bodies"
