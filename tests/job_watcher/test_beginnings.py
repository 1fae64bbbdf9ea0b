"""Leases that a gathering backend holds ahead: whose body had begun when the watcher died, and who merely waited."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from job_watcher.beginnings import Beginnings
from lib.jobqueue.protocol import Lease
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.job_watcher.test_availability import Moody, watcher
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import JobSpec
    from lib.tasks.base import TaskResult
    from tests.job_watcher.watching import Stand

NAMES = ("a", "b", "c", "d")


@dataclass
class Gatherer(Moody):
    """One whose bodies begin when the test says so, each by its name."""

    gathers: bool = True
    begins: dict[str, asyncio.Event] = field(default_factory=lambda: {name: asyncio.Event() for name in NAMES})

    async def run(
        self,
        job: JobSpec,
        lease: Lease,
        work_dir: WorkDir,
        on_progress: Callable[[dict[str, Any]], None],
        on_room: Callable[[], None] = lambda: None,
        session: Session | None = None,
    ) -> TaskResult:
        """Wait, begin, and wait for the gate."""
        await self.begins[job.request_id].wait()
        assert session is not None
        await session.begun(lease)
        return await super().run(job, lease, work_dir, on_progress, on_room, session)


async def test_a_death_counts_to_the_body_that_had_begun(stand: Stand) -> None:
    """Four are leased and one has begun when the watcher is gone: that one alone was touched, and all are done."""
    backend = Gatherer(slots=len(NAMES))
    made = watcher(stand, backend, opened=False)
    await made.start()
    await stand.debug(*NAMES)
    await stand.leased(*NAMES)
    assert {(await _row(stand, name)).reason for name in NAMES} == {"ahead"}
    backend.begins["c"].set()
    await wait_until(lambda: "c" in backend.ran)
    # Before the body does anything that could end the watcher, it stands in the row.
    assert [(await _row(stand, name)).reason for name in NAMES] == ["ahead", "ahead", "", "ahead"]
    await made.kill()
    await stand.evict(made.session)
    away = Moody(down="not yet")
    other = watcher(stand, away, name="other", state="other")
    await other.start()
    await wait_until(lambda: _all_free(stand), 20.0, what="what the dead one held")
    assert [(await _row(stand, name)).deaths for name in NAMES] == [0, 0, 1, 0]
    away.down = None
    await stand.ended(*NAMES, seconds=20.0)


async def _row(stand: Stand, name: str) -> Any:
    row = await stand.row(name)
    assert row is not None
    return row


async def _all_free(stand: Stand) -> bool:
    return all([(await _row(stand, name)).state == "Q" for name in NAMES])


async def test_those_that_begin_at_once_go_in_one_call_more(stand: Stand) -> None:
    """One call is under way at a time; whoever comes meanwhile shares the next."""
    session = await _leased_ahead(stand)
    before = await stand.calls("evalsha")
    beginnings = Beginnings(stand.queue, session)
    await asyncio.gather(*(beginnings.tell(_lease(str(i))) for i in range(100)))
    assert await stand.calls("evalsha") - before <= 2


async def _leased_ahead(stand: Stand) -> str:
    made = watcher(stand, Gatherer())
    await made.life.open()
    beginnings = Beginnings(stand.queue, made.life.session.id)
    await beginnings.tell(_lease("warm"))  # the server knows the script from here on
    return made.life.session.id


def _lease(fence: str) -> Lease:
    return Lease(f"job-{fence}", "1", fence, "lane:vast:speech", "1-0", 0, 0, 0, "stream", b"{}")


async def test_a_server_that_is_away_holds_no_job_up() -> None:
    """What could not be said goes along with the next call."""
    client = connect("redis://127.0.0.1:1/0")
    beginnings = Beginnings(Queue.over(client, "redis://127.0.0.1:1/0", "none"), "w:1")
    await beginnings.tell(_lease("1"))
    await beginnings.tell(_lease("2"))
    assert list(beginnings._unsaid) == ["1", "2"]
    await client.aclose()
