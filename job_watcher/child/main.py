"""The child's side: run one body after another, each in a fresh event loop, until the parent is gone.

Started as `python -m job_watcher.child.main` by `job_watcher.child.process`, or by the minder for a suspect. A body
may block, print, leak and crash here. Speech engines stay loaded from job to job; models that only the watcher may call
are asked over the wire. It is never asked to stop a body: the parent kills the process instead, which works on every
body.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import os
import resource
import socket
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from job_watcher.child import lifeline, wire
from job_watcher.child.arguments import ChildArguments
from job_watcher.child.asked_models import text_model_of
from job_watcher.child.body_loop import BodyLoop
from job_watcher.child.engines import clips_of, engines_of, voices_of, warm_engines
from job_watcher.child.environment import task_modules
from job_watcher.child.inbox import Inbox
from job_watcher.child.reporting import Reporter
from job_watcher.context import AttemptContext
from job_watcher.results import checked
from job_watcher.retrying import as_task_error
from job_watcher.work_dirs import WorkDir
from lib.jobqueue import JobSpec
from lib.tasks.registry import TaskRegistry, built_in_tasks, load_task_modules

if TYPE_CHECKING:
    from lib.capabilities.speech import SpeechEngines
    from lib.tasks.base import TaskResult
    from lib.voice_synth.clips import Clips
    from lib.voice_synth.voices import VoiceRegistry

# Enough that a loop which renews a session always goes first on a busy core, and the body still gets every idle one.
_NICENESS = 10
# When memory runs out the kernel takes the highest score: a body before its watcher, a suspect before all.
_OOM_SCORE = 500
_OOM_SCORE_SUSPECT = 1000


def main(argv: list[str]) -> int:
    """Serve orders until the wire ends."""
    arguments = ChildArguments.parse(argv)
    lifeline.arm(arguments.lifeline)
    _lower_own_rank(suspect=arguments.suspect)
    faulthandler.enable()
    # Not closed by what fails here: the wire ends with the process, when its last words have been said.
    end = socket.socket(fileno=arguments.wire)
    end.set_inheritable(False)
    setup = wire.receive(end)
    if not isinstance(setup, wire.Setup):
        return 0
    built_in = built_in_tasks(setup.database_url, Path(os.environ.get("WATCHER_CORPUS_ROOT", ".")))
    registry = TaskRegistry((*built_in, *load_task_modules(task_modules(os.environ))))
    engines, voices, clips = warm_engines(), voices_of(os.environ), clips_of(os.environ)
    reporter = Reporter(end)
    reporter.send(wire.encode(wire.Ready(os.getpid())))
    place = _Place(registry, engines, voices, clips, reporter, Inbox(end, reporter.send))
    loop = BodyLoop()
    while (order := place.inbox.next_order()) is not None:
        reporter.send(wire.encode(wire.Begun(order.serial)))
        frame = _obey(order, loop, place)
        place.inbox.forget(order.serial)
        # What the body printed is in the pipe before the answer is, so the parent can tell whose it was.
        sys.stdout.flush()
        sys.stderr.flush()
        reporter.send(frame)
        loop.close()
        loop = BodyLoop()
    loop.close()
    end.close()
    return 0


@dataclass(frozen=True, slots=True)
class _Place:
    """What stays from order to order."""

    registry: TaskRegistry
    engines: SpeechEngines
    voices: VoiceRegistry
    clips: Clips
    reporter: Reporter
    inbox: Inbox


def _obey(order: wire.Order, loop: BodyLoop, place: _Place) -> bytes:
    try:
        # The parent has promised the directory and removes it; only a body that writes has it made.
        work_dir = WorkDir(Path(order.work_dir), lambda: None)
        job = JobSpec.from_json(order.job.encode())
        context = _context_of(order, job.request_id, work_dir, place)
        result = loop.run(_run(place.registry, job, context))
        return wire.answer(order.serial, checked(result, work_dir.where))
    except (Exception, SystemExit, asyncio.CancelledError) as exc:  # noqa: BLE001  whatever a body raises is an answer
        return wire.failure(order.serial, as_task_error(exc))


def _context_of(order: wire.Order, request_id: str, work_dir: WorkDir, place: _Place) -> AttemptContext:
    ask = partial(place.inbox.ask, order.serial)
    return AttemptContext(
        request_id=request_id,
        attempt=order.attempt,
        make_work_dir=work_dir.make,
        engines=engines_of(order.models, ask, place.engines),
        report=lambda progress: place.reporter.report(wire.Report(order.serial, progress)),
        voices=place.voices,
        clips=place.clips,
        nearly=lambda: place.reporter.send(wire.encode(wire.Nearly(order.serial))),
        model=text_model_of(order.models, ask),
    )


async def _run(registry: TaskRegistry, job: JobSpec, context: AttemptContext) -> TaskResult:
    return await registry.require(job.task).run(job, context)


def _lower_own_rank(*, suspect: bool) -> None:
    """Let the watcher go first at the processor and last at the out-of-memory killer; leave no core file."""
    os.nice(_NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):  # no such file but on Linux, and not writable in some containers
        Path("/proc/self/oom_score_adj").write_text(str(_OOM_SCORE_SUSPECT if suspect else _OOM_SCORE))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
