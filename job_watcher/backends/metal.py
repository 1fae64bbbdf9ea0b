"""The machine at hand: light bodies in the watcher's own loop, heavy ones in warm children, suspects apart.

A child is started when first needed and kept for the next job with its models loaded; it is replaced when a job's
deadline, cancellation or crash has ended it. A suspect, whatever its kind, gets a fresh child behind a minder,
which ends with it. Suspects one at a time is the lane's business.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from job_watcher.backends.inline import run_inline
from job_watcher.child.environment import child_environment
from job_watcher.child.process import Attempt, ChildGoneError, ChildProcess
from job_watcher.context import AttemptContext, NoEngines
from lib.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import Capability, JobSpec
    from lib.jobqueue.protocol import Lease
    from lib.settings import Settings
    from lib.tasks.base import TaskResult
    from lib.tasks.registry import TaskRegistry

_NO_ENGINES: Final = NoEngines()

# An idle child may have died unseen; two in a row mean that something is wrong with the machine.
_CHILDREN_A_JOB: Final = 3


class Metal:
    """The backend `metal`. `tasks` must be what a child loads too: built in, and from JOBS_TASK_MODULES."""

    def __init__(self, tasks: TaskRegistry, settings: Settings) -> None:
        self._tasks = tasks
        self._slots = settings.metal_concurrency
        self._environment = child_environment(settings, os.environ)
        self._idle: list[ChildProcess] = []
        self._nearly: list[ChildProcess] = []
        self._users: Counter[ChildProcess] = Counter()
        self._closed = False

    @property
    def name(self) -> str:
        """`metal`."""
        return "metal"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """Speech, and whatever needs nothing."""
        return frozenset({"speech", "any"})

    @property
    def slots(self) -> int:
        """METAL_CONCURRENCY."""
        return self._slots

    async def run(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None] = lambda: None,
    ) -> TaskResult:
        """Run the body where its kind and its past say."""
        task = self._tasks.require(job.task)
        number = lease.attempts_used + 1
        if task.kind.isolation == "inline" and not lease.suspect:
            context = AttemptContext(job.request_id, number, work_dir.make, _NO_ENGINES, on_progress)
            return await run_inline(task, job, context)
        attempt = Attempt(job, number, await work_dir.promised(), on_progress)
        return await (self._run_apart(attempt) if lease.suspect else self._run_warm(attempt, on_room))

    async def warm(self) -> None:
        """Start the children that are missing, one a slot."""
        missing = self._slots - sum(child.usable for child in self._idle)
        self._idle += await asyncio.gather(*(ChildProcess.start(self._environment) for _ in range(missing)))

    async def aclose(self) -> None:
        """End every idle child; one that is busy is ended when its job is."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.kill() for child in idle))

    async def _run_apart(self, attempt: Attempt) -> TaskResult:
        logger.bind(request_id=attempt.job.request_id).info("a suspect: it runs in a process apart")
        child = await ChildProcess.start(self._environment, suspect=True)
        try:
            return await child.run(attempt)
        except ChildGoneError as exc:
            raise TemporaryError(exc.message) from exc
        finally:
            await child.kill()

    async def _run_warm(self, attempt: Attempt, on_room: Callable[[], None]) -> TaskResult:
        for _ in range(_CHILDREN_A_JOB):
            child = await self._take()
            free = partial(self._free, child, on_room)
            try:
                return await child.run(replace(attempt, on_room=free))
            except ChildGoneError as exc:
                logger.bind(request_id=attempt.job.request_id).warning("{}; taking another", exc.message)
            finally:
                await self._give_back(child)
        raise TemporaryError(
            f"{_CHILDREN_A_JOB} child processes were gone before the body began",
            hint="is something on this machine killing them?",
        )

    async def _take(self) -> ChildProcess:
        while self._idle or self._nearly:
            child = (self._idle or self._nearly).pop()
            if child.usable:
                self._users[child] += 1
                return child
            await child.kill()
        child = await ChildProcess.start(self._environment)
        self._users[child] = 1
        return child

    def _free(self, child: ChildProcess, on_room: Callable[[], None]) -> None:
        """Its body is nearly over: the next may be sent there already."""
        self._nearly.append(child)
        on_room()

    async def _give_back(self, child: ChildProcess) -> None:
        if child in self._nearly:
            self._nearly.remove(child)
        self._users[child] -= 1
        if self._users[child]:
            return
        del self._users[child]
        if child.usable and not self._closed and len(self._idle) < self._slots:
            self._idle.append(child)
        else:
            await child.kill()
