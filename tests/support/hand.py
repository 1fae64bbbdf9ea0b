"""A watcher by hand: works on jobs with the queue's own functions, step by step, as a test wants it.

It is no double of the watcher: sessions, moves, leases and commits are the real ones. It only does nothing by itself.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from lib.jobqueue import JobSpec
from lib.jobqueue.moves import Move
from lib.jobqueue.protocol import Ending, Lease
from lib.jobqueue.records import ErrorType, Failure, RecordedOutput, Run, done_tail, failed_tail
from lib.redisqueue import conducting, leasing, sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.keys import LaneName, backlog_of, parse_intake
from lib.redisqueue.queue import Queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

LANES = ("lane:metal:any", "lane:metal:speech", "lane:metal:speaker")
LIFE_MS = 20_000
ROOM = 100_000


@dataclass(slots=True)
class HandWatcher:
    """One session that leases and ends jobs when it is told to."""

    queue: Queue
    name: str = "hand"
    session: str = field(init=False)

    def __post_init__(self) -> None:
        self.session = f"{self.name}:run1"

    async def open(self, *, life_ms: int = LIFE_MS) -> None:
        """Register, and make the lanes."""
        beat = b'"capabilities":["speech","speaker","any"],"slots":{"metal":1},"running":1,"version":"0"}'
        await sessions.open_session(
            self.queue, self.session, name=self.name, previous="", life_ms=life_ms, heartbeat=beat
        )
        await sessions.ensure_lanes(self.queue, LANES)

    async def close(self) -> None:
        """End the session."""
        await sessions.close_session(self.queue, self.session, name=self.name)

    async def move_all(self) -> None:
        """Lead, and hand every waiting job to its lane."""
        await self.queue.refresh_streams()
        leadership = await sessions.lead(self.queue, self.session)
        orders = []
        for intake in self.queue.intakes:
            lane = str(LaneName("metal", parse_intake(intake).capability))
            orders.append(Move(intake, lane, ROOM, ROOM, (lane,), ROOM))
        await conducting.queue_due(self.queue)
        await conducting.move(self.queue, self.session, leadership.epoch, orders)

    async def lease(self, count: int = 500) -> tuple[Lease, ...]:
        """Move everything, then start up to `count` jobs."""
        await self.move_all()
        started = await leasing.start(self.queue, self.session, LANES, read=count)
        return started.leases

    async def done(
        self,
        lease: Lease,
        *,
        result: dict[str, Any] | None = None,
        outputs: Sequence[RecordedOutput] = (),
        seconds: float = 1.5,
        published: Callable[[str], str] | None = None,
    ) -> None:
        """End a lease well, after `seconds` by its record."""
        spec = JobSpec.from_json(lease.job)
        ended = datetime.now(UTC)
        run = Run("metal", "run1", ended - timedelta(seconds=seconds), ended)
        tail = done_tail(spec, run, outputs=outputs, result=result, published=published)
        await self._commit(Ending(lease.request_id, lease.fence, "done", tail))

    async def failed(self, lease: Lease, error: str = "no such voice", *, kind: ErrorType = "permanent") -> None:
        """End a lease badly."""
        failure = Failure(kind, "execute", error, datetime.now(UTC), "run1")
        tail = failed_tail(JobSpec.from_json(lease.job), failure, backlog=backlog_of(lease.home))
        await self._commit(Ending(lease.request_id, lease.fence, "failed", tail))

    async def all_done(self) -> int:
        """End everything that waits well; how many."""
        leases = await self.lease()
        for lease in leases:
            await self.done(lease)
        return len(leases)

    async def _commit(self, ending: Ending) -> None:
        (committed,) = await leasing.commit(self.queue, self.session, [ending])
        assert committed.code == "ok", committed


@asynccontextmanager
async def open_test_queue(url: str, prefix: str) -> AsyncIterator[Queue]:
    """A queue of a test's own."""
    queue = Queue.over(connect(url), url, prefix)
    try:
        yield queue
    finally:
        await queue.client.aclose()


@asynccontextmanager
async def hand_watcher(url: str, prefix: str, name: str = "hand") -> AsyncIterator[HandWatcher]:
    """A watcher by hand on the queue of `prefix`, its session open."""
    async with open_test_queue(url, prefix) as queue:
        watcher = HandWatcher(queue, name)
        await watcher.open()
        yield watcher
        await watcher.close()
