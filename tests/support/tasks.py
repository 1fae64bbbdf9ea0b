"""Tasks that misbehave on purpose, for `JOBS_TASK_MODULES=tests.support.tasks`.

Each is named for what it does. `run_log` in a payload names a file that gets one line a run, so that a test can count
runs across processes. All but `fail_*`, `count_runs` and `hang_inline` run in a child.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from lib.errors import PermanentError, TemporaryError
from lib.jobqueue import Isolation, TaskKind
from lib.tasks.base import Output, OutputKind, TaskContext, TaskResult

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lib.jobqueue import JobSpec
    from lib.tasks.base import Task


class Payload(BaseModel):
    """What any of these tasks may be given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    run_log: str = ""
    """A file that gets one line a run: the pid."""
    seconds: float = 0.0
    message: str = ""
    megabytes: int = 0
    times: int = 1
    delay_seconds: float | None = None
    files: dict[str, str] = {}
    """Name to content."""
    where: Literal["work_dir", "outside"] = "work_dir"
    error: str = ""
    """Name of an exception type."""


@dataclass(frozen=True, slots=True)
class Misbehaving:
    """A task made of a function."""

    name: str
    body: Callable[[Payload, TaskContext], Awaitable[TaskResult]]
    isolation: Isolation = "child"

    @property
    def kind(self) -> TaskKind:
        """Needs nothing, stops after a minute."""
        return TaskKind(self.name, (), "any", Payload, 60, self.isolation)

    async def run(self, job: JobSpec, context: TaskContext) -> TaskResult:
        """Log the run, then do it."""
        payload = Payload.model_validate(job.payload)
        if payload.run_log:
            _note_run(Path(payload.run_log))
        return await self.body(payload, context)


def _note_run(run_log: Path) -> None:
    with run_log.open("a") as log:
        log.write(f"{os.getpid()}\n")


async def _kill_parent(_payload: Payload, _context: TaskContext) -> TaskResult:
    os.kill(os.getppid(), signal.SIGKILL)
    return await _hang(Payload(seconds=60), _context)


async def _kill_self(_payload: Payload, _context: TaskContext) -> TaskResult:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


async def _exit(payload: Payload, _context: TaskContext) -> TaskResult:
    os._exit(int(payload.seconds))


async def _spin(payload: Payload, context: TaskContext) -> TaskResult:
    """Compute without a pause and without giving the event loop a turn."""
    await context.progress(0.0, message="spinning")
    end = time.monotonic() + payload.seconds
    turns = 0
    while time.monotonic() < end:
        turns += sum(range(1000))
    return TaskResult(result={"turns": turns})


async def _hold_lock(_payload: Payload, _context: TaskContext) -> TaskResult:
    """Spend hours in one C call that never lets another Python thread run."""
    return TaskResult(result={"matched": bool(re.match(r"(a+)+$", "a" * 60 + "b"))})


async def _hang(payload: Payload, _context: TaskContext) -> TaskResult:
    """Block without computing."""
    time.sleep(payload.seconds or 3600)  # noqa: ASYNC251  that is its purpose
    return TaskResult()


async def _hang_stubbornly(_payload: Payload, context: TaskContext) -> TaskResult:
    """Hang, and do not listen to SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    await context.progress(0.0)
    return await _hang(Payload(), context)


async def _hang_inline(payload: Payload, _context: TaskContext) -> TaskResult:
    await asyncio.sleep(payload.seconds or 3600)
    return TaskResult()


async def _hang_with_family(payload: Payload, _context: TaskContext) -> TaskResult:
    """Start a grandchild that ignores SIGTERM, write its pid to `message`, and hang."""
    code = (
        "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(3600)"
    )
    grandchild = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)  # noqa: ASYNC220  may block
    assert grandchild.stdout is not None
    grandchild.stdout.readline()
    Path(payload.message).write_text(str(grandchild.pid))
    return await _hang(Payload(), _context)


async def _allocate(payload: Payload, _context: TaskContext) -> TaskResult:
    held = bytearray(payload.megabytes * 1024 * 1024)
    return TaskResult(result={"bytes": len(held)})


async def _write_output(payload: Payload, context: TaskContext) -> TaskResult:
    """Write `files`; a name that begins with best or take_ is of that kind."""
    home = context.work_dir if payload.where == "work_dir" else context.work_dir.parent
    outputs = []
    for name, content in payload.files.items():
        path = home / name
        path.write_text(content)
        outputs.append(Output(name, path, _kind_of(name)))
    return TaskResult(result={"work_dir": str(context.work_dir), "attempt": context.attempt}, outputs=tuple(outputs))


def _kind_of(name: str) -> OutputKind:
    return "best" if name.startswith("best") else "take" if name.startswith("take_") else "meta"


async def _fail_temporary(payload: Payload, _context: TaskContext) -> TaskResult:
    raise TemporaryError(payload.message or "not now", hint="later", delay_seconds=payload.delay_seconds)


async def _fail_permanent(payload: Payload, _context: TaskContext) -> TaskResult:
    raise PermanentError(payload.message or "never", hint="mend the input")


_ERRORS: dict[str, type[BaseException]] = {
    each.__name__: each
    for each in (ValueError, OSError, ConnectionError, MemoryError, SystemExit, asyncio.CancelledError, TimeoutError)
}


async def _fail_oddly(payload: Payload, _context: TaskContext) -> TaskResult:
    raise _ERRORS[payload.error](payload.message)


async def _count_runs(_payload: Payload, context: TaskContext) -> TaskResult:
    return TaskResult(result={"attempt": context.attempt})


async def _chatter(payload: Payload, _context: TaskContext) -> TaskResult:
    """Print on both streams, at the level of the descriptors too, and something that looks like a frame."""
    for _ in range(payload.times):
        print(payload.message)  # noqa: T201  that is its purpose
        sys.stderr.write(payload.message + "\n")
        sys.stderr.flush()
    os.write(1, b'\x00\x00\x00\x10{"is":"result"}\n')
    os.write(2, b"\xff\xfe not text\n")
    return TaskResult(result={"pid": os.getpid()})


async def _nearly_over(payload: Payload, context: TaskContext) -> TaskResult:
    """Say so, leaving a line unfinished, then write until the file `message` is there."""
    print(f"words of {context.request_id}", end="", flush=True)  # noqa: T201  as above
    context.nearly_over()
    while not Path(payload.message).exists():
        time.sleep(0.005)  # noqa: ASYNC251  as above
    return TaskResult(result={"pid": os.getpid()})


async def _report(payload: Payload, context: TaskContext) -> TaskResult:
    """Report `times` steps as fast as possible."""
    for step in range(1, payload.times + 1):
        await context.progress(100 * step / payload.times, step=step, total=payload.times, message=payload.message)
    return TaskResult(result={"pid": os.getpid()})


async def _large_result(payload: Payload, _context: TaskContext) -> TaskResult:
    return TaskResult(result={"text": "x" * (payload.megabytes * 1024 * 1024)})


async def _close_wire(_payload: Payload, _context: TaskContext) -> TaskResult:
    """Close every descriptor but the standard ones, and stay."""
    os.closerange(3, 256)
    return await _hang(Payload(), _context)


async def _look_around(_payload: Payload, _context: TaskContext) -> TaskResult:
    """What a body can see of its process."""
    oom = Path("/proc/self/oom_score_adj")
    return TaskResult(
        result={
            "pid": os.getpid(),
            "parent": os.getppid(),
            "group": os.getpgrp(),
            "session": os.getsid(0),
            "nice": os.nice(0),
            "oom_score": int(oom.read_text()) if oom.exists() else None,
            "environment": dict(os.environ),
        }
    )


TASKS: tuple[Task, ...] = (
    Misbehaving("kill_parent", _kill_parent),
    Misbehaving("kill_self", _kill_self),
    Misbehaving("exit", _exit),
    Misbehaving("spin", _spin),
    Misbehaving("hang", _hang),
    Misbehaving("hold_lock", _hold_lock),
    Misbehaving("hang_stubbornly", _hang_stubbornly),
    Misbehaving("hang_inline", _hang_inline, "inline"),
    Misbehaving("hang_with_family", _hang_with_family),
    Misbehaving("allocate", _allocate),
    Misbehaving("write_output", _write_output),
    Misbehaving("fail_temporary", _fail_temporary, "inline"),
    Misbehaving("fail_permanent", _fail_permanent, "inline"),
    Misbehaving("fail_oddly", _fail_oddly),
    Misbehaving("fail_oddly_inline", _fail_oddly, "inline"),
    Misbehaving("count_runs", _count_runs, "inline"),
    Misbehaving("count_runs_child", _count_runs),
    Misbehaving("chatter", _chatter),
    Misbehaving("nearly_over", _nearly_over),
    Misbehaving("report", _report),
    Misbehaving("report_inline", _report, "inline"),
    Misbehaving("large_result", _large_result),
    Misbehaving("large_result_inline", _large_result, "inline"),
    Misbehaving("close_wire", _close_wire),
    Misbehaving("look_around", _look_around),
    Misbehaving("write_output_inline", _write_output, "inline"),
)
