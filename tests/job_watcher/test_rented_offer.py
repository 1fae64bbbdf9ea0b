"""A backend whose places come and go: offered, sized and hoped for as its duty says, under the session of its life."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.duties import SessionDuty
from lib.redisqueue import sessions
from lib.tasks.base import TaskResult
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.duties import FlushedDuty
    from job_watcher.session import Session
    from lib.jobqueue import Capability, JobSpec
    from tests.job_watcher.watching import Stand, Watcher

LANE = "lane:vast:speech"


@dataclass
class Coming:
    """The duty: machines come when the test says so."""

    hopes: bool = True
    sessions: list[str] = field(default_factory=list)
    on_change: Callable[[], None] = lambda: None
    flushed: int = 0

    def begin(self, session: Session, on_change: Callable[[], None]) -> None:
        """Written down."""
        self.sessions.append(session.id)
        self.on_change = on_change

    async def run_once(self) -> None:
        """Nothing by itself."""
        await asyncio.sleep(0.05)

    async def flush(self) -> None:
        """Counted."""
        self.flushed += 1


@dataclass
class Rented:
    """The backend: as many slots as the test says, none ready at first."""

    duty: Coming = field(default_factory=Coming)
    name: str = "vast"
    capabilities: frozenset[Capability] = frozenset({"speech"})
    ready: bool = False
    slots: int = 1
    ran: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def duties(self) -> Mapping[str, FlushedDuty]:
        """The one."""
        return {"machines": self.duty}

    async def prepare(self) -> None:
        """Nothing."""

    async def lacks(self, capability: Capability) -> str | None:  # noqa: ARG002 - it has one
        """Until it is ready."""
        return None if self.ready else "no machine is ready"

    async def run(self, job: JobSpec, *_: Any) -> TaskResult:
        """When the gate is open."""
        self.ran.append(job.request_id)
        await self.gate.wait()
        return TaskResult()

    async def warm(self) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""

    def comes(self, slots: int) -> None:
        """A machine is ready, with so many slots; none: it has gone."""
        self.ready, self.slots = slots > 0, max(slots, 1)
        self.duty.on_change()


@pytest.fixture
def rented() -> Rented:
    """No machine yet."""
    return Rented()


def speech(request_id: str) -> dict[str, str]:
    """A job for it."""
    return {"request_id": request_id, "task": "speak", "text": "A word.", "voice": "newsroom"}


def watcher_of(stand: Stand, rented: Rented, **settings: Any) -> Watcher:
    """With this backend alone, at an interval at which nothing is met by chance."""
    slow = {"WATCHER_POLL_INTERVAL": "60", "WATCHER_SESSION_TTL": "300", **settings}
    return stand.watcher("w", backends=lambda _: (rented,), **slow)


async def offered(stand: Stand) -> list[tuple[int, list[str]]]:
    """Slots and capabilities of the backend, of each watcher as the conductor sees it."""
    roster = await sessions.roster(stand.queue)
    return [(each.slots.get("vast", 0), sorted((each.offers or {}).get("vast", ()))) for each in roster]


async def test_what_is_offered_follows_the_machines_at_once(stand: Stand, rented: Rented) -> None:
    """A machine comes, a second one, and both go: the heartbeat says so long before the interval has passed."""
    watcher = await watcher_of(stand, rented).start()
    assert await offered(stand) == [(1, [])]

    async def says(*wanted: tuple[int, list[str]]) -> None:
        async def same() -> bool:
            return await offered(stand) == list(wanted)

        await wait_until(same)

    rented.comes(2)
    await says((2, ["speech"]))
    rented.comes(4)
    await says((4, ["speech"]))
    assert watcher.life.lanes.readers["vast"].slots == 4
    rented.comes(0)
    await says((1, []))
    await watcher.finish()


async def test_jobs_run_in_as_many_slots_as_there_are(stand: Stand, rented: Rented) -> None:
    """More slots are filled at once; with fewer, those that run go on."""
    watcher = await watcher_of(stand, rented).start()
    await stand.submit(*(speech(f"j{i}") for i in range(5)))
    assert rented.ran == []
    rented.comes(2)
    await wait_until(lambda: len(rented.ran) == 2)
    rented.comes(4)
    await wait_until(lambda: len(rented.ran) == 4)
    rented.comes(1)
    rented.gate.set()
    await stand.ended(*(f"j{i}" for i in range(5)))
    await watcher.finish()


async def test_a_drain_waits_for_what_may_come(stand: Stand, rented: Rented) -> None:
    """Jobs that only a rented machine could do keep it from ending, as long as one may come."""
    await stand.submit(speech("one"))
    watcher = await watcher_of(stand, rented).start("drain")
    assert watcher.task is not None
    done, _ = await asyncio.wait([watcher.task], timeout=1.0)
    assert not done
    rented.gate.set()
    rented.comes(1)
    await watcher.ended()
    assert (await stand.ended("one"))[0]["status"] == "done"
    assert rented.duty.flushed == 1


async def test_a_drain_ends_where_nothing_can_come(stand: Stand, rented: Rented) -> None:
    """No budget, no key: the jobs are left, and that is said."""
    rented.duty.hopes = False
    await stand.submit(speech("one"))
    watcher = await watcher_of(stand, rented).start("drain")
    await watcher.ended()
    assert await stand.record("one") is None


async def test_each_life_tells_its_session(stand: Stand, rented: Rented) -> None:
    """A duty that rents acts under the session that stands, and under no other."""
    assert isinstance(rented.duty, SessionDuty)
    watcher = watcher_of(stand, rented)
    first = watcher.session
    watcher.new_life()
    assert rented.duty.sessions == [first, watcher.session]
    await watcher.start()
    await watcher.finish()
