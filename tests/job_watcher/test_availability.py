"""A backend that cannot do some jobs for a while: they wait or go elsewhere, at no cost, and it is told everywhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from loguru import logger

from lib.errors import PausedError, UnreachableError
from lib.redisqueue import sessions
from lib.tasks.base import TaskResult
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from job_watcher.duties import FlushedDuty
    from job_watcher.session import Session
    from job_watcher.work_dirs import WorkDir
    from lib.jobqueue import Capability, JobSpec
    from lib.jobqueue.protocol import Lease
    from tests.job_watcher.watching import Stand, Watcher

ANY, HIGH = "lane:metal:any", "stream:high:any"


@dataclass
class Moody:
    """A backend whose service is away when the test says so; bodies end at once, or wait for `gate`."""

    name: str = "metal"
    slots: int = 1
    capabilities: frozenset[Capability] = frozenset({"any", "speech"})
    duties: Mapping[str, FlushedDuty] = field(default_factory=dict)
    down: str | None = None
    asked: int = 0
    ran: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    fault: Exception | None = None
    well: bool = False
    """It says that all is well, whatever is true."""
    silent: bool = False
    slow: float = 0.0
    """Seconds that its library takes to load."""

    async def prepare(self) -> None:
        """As slow as the test says."""
        await asyncio.sleep(self.slow)

    async def lacks(self, capability: Capability) -> str | None:
        """What the test has said, of `any`."""
        self.asked += 1
        if self.fault is not None:
            raise self.fault
        if self.silent:
            await asyncio.Event().wait()
        return self.down if capability == "any" and not self.well else None

    async def run(
        self,
        job: JobSpec,
        lease: Lease,  # noqa: ARG002 - as the protocol has it
        work_dir: WorkDir,  # noqa: ARG002
        on_progress: Callable[[dict[str, Any]], None],  # noqa: ARG002
        on_room: Callable[[], None] = lambda: None,  # noqa: ARG002
        session: Session | None = None,  # noqa: ARG002
    ) -> TaskResult:
        """Meet the fault, or do it."""
        self.ran.append(job.request_id)
        await self.gate.wait()
        if self.down:
            raise PausedError(self.down, capability="any", delay_seconds=0.05)
        return TaskResult(result={"by": self.name})

    async def warm(self) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


def watcher(stand: Stand, *backends: Moody, opened: bool = True, **more: Any) -> Watcher:
    """A watcher of these."""
    if opened:
        for each in backends:
            each.gate.set()
    given: dict[str, Any] = {"CLOUD_TOKENS_PER_MIN": "1000", "WATCHER_POLL_INTERVAL": "0.2", **more}
    return stand.watcher(backends=lambda _: backends, **given)


async def offers(stand: Stand, backend: str = "metal") -> set[str]:
    """What the heartbeat of the one watcher offers there."""
    found = await sessions.roster(stand.queue)
    return set(found[0].offers[backend]) if found and found[0].offers is not None else set()


async def beats(stand: Stand) -> list[dict[str, Any]]:
    """What the watchers say of themselves."""
    return [json.loads(raw) for raw in await stand.queue.client.hvals(stand.queue.keys.of("heartbeat"))]


async def offered(stand: Stand, *capabilities: str, backend: str = "metal") -> None:
    """Wait until these are offered, and no others."""

    async def so() -> bool:
        return await offers(stand, backend) == set(capabilities)

    await wait_until(so, what=f"an offer of {capabilities}")


async def readers(stand: Stand, lane: str = ANY) -> list[str]:
    """Who reads a lane."""
    found = await stand.queue.client.xinfo_consumers(stand.queue.keys.stream(lane), "watchers")
    return [each["name"].decode() for each in found]


async def waits(stand: Stand, request_id: str, *streams: str) -> None:
    """Wait until a job waits in one of these."""

    async def so() -> bool:
        row = await stand.row(request_id)
        return row is not None and row.state == "Q" and row.stream in streams

    await wait_until(so, what=f"{request_id} in {streams}")


@pytest.fixture
def said() -> Iterator[list[str]]:
    """Every line of the log."""
    heard: list[str] = []
    sink = logger.add(lambda message: heard.append(message.record["message"]), level="INFO")
    yield heard
    with contextlib.suppress(ValueError):
        logger.remove(sink)


async def test_away_at_the_start_it_is_not_offered_and_comes_back(stand: Stand, said: list[str]) -> None:
    """From the first heartbeat on; jobs wait in their intake, and run as soon as it is there; each is said once."""
    moody = Moody(down="ollama at http://h:1 does not answer")
    await stand.debug("a")
    life = (await watcher(stand, moody).start()).life
    await offered(stand, "speech")
    (beat,) = await beats(stand)
    assert beat["paused"] == {"metal": {"any": {"why": "ollama at http://h:1 does not answer", "asks_again_sec": 0.2}}}
    await wait_until(lambda: life.conductor.leads)
    await wait_until(lambda: moody.asked > 3)
    row = await stand.row("a")
    assert row is not None
    assert (row.state, row.stream, moody.ran) == ("Q", "stream:normal:any", [])
    moody.down = None
    await stand.ended("a")
    await offered(stand, "any", "speech")
    assert [beat["paused"] for beat in await beats(stand)] == [{}]
    told = [line for line in said if "any jobs" in line]
    assert told == [
        "metal takes no any jobs for now: ollama at http://h:1 does not answer",
        "metal takes any jobs again",
    ]


async def test_a_job_that_meets_the_fault_pauses_it_and_loses_no_try(stand: Stand) -> None:
    """The heartbeat says so at once, the lane is left; when it is back the job runs, as its first attempt."""
    moody = Moody()
    made = await watcher(stand, moody).start()
    await stand.debug("before")
    await stand.ended("before")
    moody.down = "gone"
    await stand.debug("a", max_attempts=1)
    await offered(stand, "speech")

    async def left() -> bool:
        return made.session not in await readers(stand)

    await wait_until(left, what="the lane is left")
    row = await stand.row("a")
    assert row is not None
    assert (row.attempt, row.crashes, row.deaths) == (0, 0, 0)
    moody.down = None
    (record,) = await stand.ended("a")
    assert (record["status"], record["attempt"], record["result"]) == ("done", 1, {"by": "metal"})
    await stand.debug("after")
    await stand.ended("after")
    assert made.session in await readers(stand)


async def test_its_own_leader_knows_at_the_next_move(stand: Stand) -> None:
    """With an S of ten minutes: what is said while the leader waits holds when the job comes due again."""
    moody = Moody(down="gone")
    slow: dict[str, Any] = {
        "WATCHER_POLL_INTERVAL": "600",
        "WATCHER_SESSION_TTL": "3600",
        "WATCHER_SESSION_RENEW_EVERY": "300",
    }
    moody.well = True
    made = await watcher(stand, moody, **slow).start()
    await wait_until(lambda: made.life.conductor.leads)
    await stand.debug("a")
    await waits(stand, "a", HIGH)
    await wait_until(lambda: not any(each.slots_for("metal", "any") for each in made.life.conductor._watchers))
    assert moody.ran == ["a"]
    assert await stand.length(ANY) == 0


async def test_however_often_it_fails_it_is_never_the_jobs_fault(stand: Stand) -> None:
    """Its service says it is there and is not: the job comes and goes, with one attempt allowed, and ends as done."""
    moody = Moody(down="flapping", well=True)
    await watcher(stand, moody, WATCHER_POLL_INTERVAL="0.1").start()
    await stand.debug("a", max_attempts=1)
    await wait_until(lambda: moody.ran.count("a") >= 2, 20)
    moody.down = None
    (record,) = await stand.ended("a")
    assert (record["status"], record["attempt"]) == ("done", 1)


async def test_jobs_go_to_another_backend_meanwhile(stand: Stand) -> None:
    """The conductor knows by the heartbeat: what metal would have had, the cloud gets, and metal again afterwards."""
    metal, cloud = Moody(), Moody("cloud", capabilities=frozenset({"any"}))
    await watcher(stand, metal, cloud).start()
    metal.down = "gone"
    await stand.debug("a", "b")
    records = await stand.ended("a", "b")
    assert {record["result"]["by"] for record in records} == {"cloud"}
    metal.down = None
    await offered(stand, "any", "speech")
    await stand.debug("c")
    (record,) = await stand.ended("c")
    assert record["result"] == {"by": "metal"}


async def test_what_waits_in_the_lane_goes_back_and_elsewhere(stand: Stand) -> None:
    """Jobs that were handed to metal before it failed are not stuck there: a sweep puts them before all others."""
    metal, cloud = Moody(), Moody("cloud", capabilities=frozenset({"any"}))
    made = watcher(stand, metal, cloud, opened=False, METAL_QUEUE_MAX="3", CLOUD_CONCURRENCY="1")
    await made.start()
    await stand.debug("a", "b", "c")
    await waits(stand, "c", ANY)
    await stand.leased("a")
    metal.down = "gone"
    cloud.gate.set()
    metal.gate.set()
    records = await stand.ended("a", "b", "c")
    assert {record["result"]["by"] for record in records} == {"cloud"}
    assert [record["attempt"] for record in records] == [1, 1, 1]
    assert "c" not in metal.ran


async def test_without_another_place_they_wait_in_their_backlog(stand: Stand) -> None:
    """Held where priority counts, not in a lane that nobody reads."""
    moody = Moody()
    await watcher(stand, moody, opened=False, METAL_QUEUE_MAX="2").start()
    await stand.debug("a", "b")
    await waits(stand, "b", ANY)
    moody.down = "gone"
    moody.gate.set()
    await waits(stand, "b", HIGH)
    await stand.debug("c", priority="low")
    await waits(stand, "c", "stream:low:any")
    moody.down = None
    await stand.ended("a", "b", "c")


async def test_another_watcher_that_can_is_fed(stand: Stand) -> None:
    """One host's server is down, another's is well: the jobs run there, and the first takes none."""
    ill, well = Moody(down="gone"), Moody()
    first = await watcher(stand, ill).start()
    well.gate.set()
    second = stand.watcher("other", backends=lambda _: (well,))
    await second.start()
    await wait_until(lambda: first.life.conductor.leads or second.life.conductor.leads)
    await stand.debug("a", "b", "c")
    await stand.ended("a", "b", "c")
    assert (ill.ran, sorted(set(well.ran))) == ([], ["a", "b", "c"])


async def test_all_that_it_had_may_be_away(stand: Stand) -> None:
    """A backend with a single kind of job that it cannot do now: it reads nothing, waits in peace, and comes back."""
    moody = Moody(capabilities=frozenset({"any"}))
    made = await watcher(stand, moody).start()
    moody.down = "gone"
    await stand.debug("a")
    await offered(stand)
    before = moody.asked
    await wait_until(lambda: moody.asked > before + 2)
    assert made.task is not None
    assert not made.task.done()
    moody.down = None
    await stand.ended("a")


async def test_a_pause_of_something_it_never_offered_changes_nothing(stand: Stand) -> None:
    """A task may say what it likes."""
    moody = Moody()
    made = await watcher(stand, moody).start()
    made.life.availability.pause("metal", PausedError("x", capability="text_model"))
    made.life.availability.pause("cloud", PausedError("x", capability="any"))
    assert made.life.availability.paused == {}
    await stand.debug("a")
    await stand.ended("a")


async def test_a_service_that_does_not_answer_is_away(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for: the watcher opens, and says why it takes no such jobs."""
    monkeypatch.setattr("job_watcher.availability.ANSWER_SECONDS", 0.02)
    moody = Moody(silent=True)
    made = watcher(stand, moody)
    await made.life.availability.look()
    assert made.life.availability.paused[("metal", "any")] == "no answer within 0.02 s"
    assert made.life.session.offer.capabilities == frozenset()
    moody.silent, moody.fault = False, UnreachableError("redis://h does not answer")
    await made.life.availability._ask_again()
    assert made.life.availability.paused[("metal", "any")] == "redis://h does not answer"
    moody.fault = None
    await made.life.availability._ask_again()
    assert made.life.availability.paused == {}


async def test_the_reason_in_the_heartbeat_is_of_now_and_holds_no_secret(stand: Stand) -> None:
    """It changes while the pause goes on; a password in an address is blackened, a page of text is cut."""
    moody = Moody(down="first")
    made = watcher(stand, moody)
    made.life.availability.redact = lambda text: text.replace("hunter2", "***")
    await made.start()
    moody.down = f"http://me:hunter2@h refuses us {'x' * 999}"

    async def so() -> bool:
        (beat,) = await beats(stand)
        why = str(beat["paused"]["metal"]["any"]["why"])
        return why.startswith("http://me:***@h refuses us xxx") and len(why) == 300

    await wait_until(so, what="the reason of now")


async def test_what_loads_for_long_is_not_silent(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that a busy machine takes long to load is no service that does not answer."""
    monkeypatch.setattr("job_watcher.availability.ANSWER_SECONDS", 0.02)
    made = watcher(stand, Moody(slow=0.1))
    await made.life.availability.look()
    assert made.life.availability.paused == {}


async def test_a_stopping_watcher_takes_nothing_up_again(stand: Stand) -> None:
    """Back while it drains: no slot is offered any more, whatever the service says."""
    moody = Moody(down="gone")
    made = await watcher(stand, moody).start()
    await offered(stand, "speech")
    made.stop.set()
    moody.down = None
    await made.ended()
    await stand.debug("a")
    assert moody.ran == []
    assert await stand.queue.client.hlen(stand.queue.keys.of("heartbeat")) == 0
