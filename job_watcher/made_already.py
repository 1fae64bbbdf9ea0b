"""Jobs that wait for a machine which has to be rented first, and need none: what they would make is made already.

A body's files are sought when its lease is in hand; while no machine is ready nothing is leased, so here what waits is
looked at where it stands. What is there ends where it waits; what is not stays as it was, in its place and with all its
tries, and is not looked at again. The decision to rent is made once that is done, and so counts only what must be made.

Each intake is followed from its head on, `HEAD` entries deep: what stands behind is looked at when it has come so far.
One a life, made by `job_watcher.life`; called by the fleet of rented machines.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from loguru import logger

from job_watcher.cancelling import cancel_all
from lib.jobqueue.protocol import Lease
from lib.redisqueue import waiting
from lib.redisqueue.keys import parse_intake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from job_watcher.backends.base import Backend
    from job_watcher.outcomes import Outcomes
    from job_watcher.session import Session
    from lib.jobqueue.protocol import Ending
    from lib.redisqueue.queue import Queue
    from lib.redisqueue.waiting import WaitingJob

HEAD: Final = 1000
"""So many entries of an intake are known not to be made before the next ones are looked at."""

AT_ONCE: Final = 8
"""Jobs that are sought at the same time: each is a file or two, or a few requests to a bucket."""


@runtime_checkable
class Seeking(Protocol):
    """An execution that can say what is made already."""

    async def made_already(self, lease: Lease) -> Ending | None:
        """The ending of a job whose files are there; None where a body must run. Never an error."""


@dataclass(slots=True)
class MadeAlready:
    """The looks of one life. `executions` by the name of their backend; `wanted`: whether an intake is looked at."""

    queue: Queue
    session: Session
    outcomes: Outcomes
    backends: Sequence[Backend]
    executions: Mapping[str, Seeking]
    wanted: Callable[[str], bool]
    _after: dict[str, str] = field(default_factory=dict)
    _missed: dict[str, deque[str]] = field(default_factory=dict)
    _looking: asyncio.Task[int] | None = None
    _serial: int = 0

    async def look(self, seconds: float) -> int | None:
        """Look for so long at what has come; how many jobs that ended, None while there is more, which goes on.

        Raises:
            JobRunnerError: the queue did not say what waits.

        """
        if self._looking is None:
            self._looking = asyncio.create_task(self._round(), name="made already")
        done, _ = await asyncio.wait([self._looking], timeout=seconds)
        if not done:
            return None
        looked, self._looking = self._looking, None
        return looked.result()

    async def aclose(self) -> None:
        """Look no more."""
        if self._looking is not None:
            await cancel_all([self._looking])
            self._looking = None

    async def _round(self) -> int:
        ended = 0
        await self.queue.refresh_streams()
        for intake in tuple(self.queue.intakes):
            names = self._backends_of(intake) if self.wanted(intake) else []
            while names and self.session.fresh and (found := await self._page(intake, names)) is not None:
                ended += found
        return ended

    def _backends_of(self, intake: str) -> list[str]:
        """Those of this watcher on which a job of it may run: what was made on any of them is what it wants."""
        place = parse_intake(intake)
        return [
            each.name
            for each in self.backends
            if each.name in self.executions and place.pin in {"", each.name} and place.capability in each.capabilities
        ]

    async def _page(self, intake: str, backends: Sequence[str]) -> int | None:
        """Look at the next entries; how many jobs ended, None where nothing is to be looked at now."""
        if not await self._room(intake):
            return None
        page = await waiting.read(self.queue, intake, after=self._after.get(intake, ""))
        if not page.last:
            return None
        limit = asyncio.Semaphore(AT_ONCE)
        async with asyncio.TaskGroup() as group:
            sought = [group.create_task(self._sought(job, backends, limit)) for job in page.jobs]
        endings = [(job, ending) for job, task in zip(page.jobs, sought, strict=True) if (ending := task.result())]
        await self._answer(endings)
        ended = {job.entry for job, _ in endings}
        self._missed.setdefault(intake, deque()).extend(job.entry for job in page.jobs if job.entry not in ended)
        self._after[intake] = page.last
        return len(endings)

    async def _room(self, intake: str) -> bool:
        """Whether the next entries are near enough to the head; forgets those that have gone."""
        first = await waiting.first(self.queue, intake)
        missed = self._missed.setdefault(intake, deque())
        if not first or _order(first) > _order(self._after.get(intake, "")):
            missed.clear()
        while missed and _order(missed[0]) < _order(first):
            missed.popleft()
        if not first:
            # Emptied; should the stream be made anew, it may begin with any name.
            self._after.pop(intake, None)
        return bool(first) and len(missed) < HEAD

    async def _sought(self, job: WaitingJob, backends: Sequence[str], limit: asyncio.Semaphore) -> Ending | None:
        async with limit:
            for backend in backends:
                # Not the name of any attempt's files: there is no fence yet.
                self._serial += 1
                fence = f"{self.session.run_id}-{self._serial}"
                lease = Lease(
                    job.request_id, job.generation, fence, job.intake, job.entry, 0, 0, 0, job.intake, job.job
                )
                ending = await self.executions[backend].made_already(lease)
                if ending is not None:
                    return ending
        return None

    async def _answer(self, found: Sequence[tuple[WaitingJob, Ending]]) -> None:
        if not found:
            return
        done = [each for each in await waiting.answer(self.queue, self.session.id, found) if each is not None]
        for ending, outbox in done:
            self.outcomes.ended_unbegun(ending, outbox)
        if done:
            logger.info("{} that waited for a machine were made already", len(done))


def _order(entry: str) -> tuple[int, int]:
    """Entry ids in their order; nothing comes before them all."""
    milliseconds, _, number = entry.partition("-")
    return (int(milliseconds), int(number or 0)) if entry else (-1, -1)
