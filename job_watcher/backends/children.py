"""Warm child processes for heavy bodies, one a slot, and a process apart for each suspect.

A child is started when first needed and kept for the next job with its models loaded; it is replaced when a job's
deadline, cancellation or crash has ended it. A suspect gets a fresh child behind a minder, which ends with it. Each
backend has its own; who may run at once is its caller's business.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from loguru import logger

from job_watcher.child.process import Attempt, ChildGoneError, ChildProcess
from lib.errors import TemporaryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lib.tasks.base import TaskResult

# An idle child may have died unseen; two in a row mean that something is wrong with the machine.
_CHILDREN_A_JOB: Final = 3


class Children:
    """The children of one backend; at most `kept` of them wait idle."""

    def __init__(self, environment: Mapping[str, str], kept: int) -> None:
        self._environment = environment
        self._kept = kept
        self._idle: list[ChildProcess] = []
        self._nearly: list[ChildProcess] = []
        self._users: Counter[ChildProcess] = Counter()
        self._closed = False

    async def warm(self) -> None:
        """Start those that are missing."""
        missing = self._kept - sum(child.usable for child in self._idle)
        self._idle += await asyncio.gather(*(ChildProcess.start(self._environment) for _ in range(missing)))

    async def aclose(self) -> None:
        """End every idle child; one that is busy is ended when its job is."""
        self._closed = True
        idle, self._idle = self._idle, []
        await asyncio.gather(*(child.kill() for child in idle))

    async def run_apart(self, attempt: Attempt) -> TaskResult:
        """Run a suspect, behind a minder; raises as `run` does."""
        logger.bind(request_id=attempt.job.request_id).info("a suspect: it runs in a process apart")
        child = await ChildProcess.start(self._environment, suspect=True)
        try:
            return await child.run(attempt)
        except ChildGoneError as exc:
            raise TemporaryError(exc.message) from exc
        finally:
            await child.kill()

    async def run(self, attempt: Attempt, on_room: Callable[[], None]) -> TaskResult:
        """Run a body in a warm child.

        Raises:
            TaskError: as the body, or its deadline, has it; TemporaryError when no child can be had.
            ChildCrashedError: the child died after the body had begun.

        """
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
        if child.usable and not self._closed and len(self._idle) < self._kept:
            self._idle.append(child)
        else:
            await child.kill()
