"""Jobs for machines that have to be rented, and that were made before: they are done where they wait, for nothing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher import made_already
from job_watcher.caching import caching_of
from job_watcher.execution import Execution
from job_watcher.retrying import RetryPolicy, middle
from job_watcher.work_dirs import WorkDirs
from lib import wiring
from lib.clock import SystemClock
from lib.errors import TemporaryError
from lib.jobqueue import BUILT_IN
from lib.jobqueue.protocol import Ending
from lib.redisqueue import spend
from lib.stores.cache_disk import DiskCache
from lib.voice_synth.voices import VoiceRegistry
from tests.job_watcher.test_availability import Moody, watcher
from tests.job_watcher.test_caching import Speaker
from tests.support.running import lease_of, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from job_watcher.duties import FlushedDuty
    from job_watcher.made_already import MadeAlready
    from lib.jobqueue import Capability
    from lib.stores.cache import Entry
    from tests.job_watcher.watching import Stand, Watcher

FIFTY = 50


@dataclass
class Looks:
    """Stands for the fleet: a duty that looks and never rents."""

    look: Callable[[float], Awaitable[int | None]] | None = None

    def look_by(self, look: Callable[[float], Awaitable[int | None]]) -> None:
        """By this."""
        self.look = look

    async def run_once(self) -> None:
        """Look."""
        assert self.look is not None
        await self.look(1.0)
        await asyncio.sleep(0.02)

    async def flush(self) -> None:
        """Nothing is kept."""


class NoMachine(Moody):
    """A backend of rented machines of which none is ready."""

    def __init__(self) -> None:
        self.looks = Looks()
        duties: Mapping[str, FlushedDuty] = {"looks": self.looks}
        super().__init__("vast", 128, frozenset({"speech", "speaker"}), duties)

    async def lacks(self, capability: Capability) -> str | None:  # noqa: ARG002 - it can do nothing at all
        """Everything."""
        return "no machine is ready"


@dataclass
class Counting(DiskCache):
    """A cache that says what was looked for, and waits or fails when the test says so."""

    found: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    fault: Exception | None = None

    def __init__(self, root: Any) -> None:
        super().__init__(root)
        self.found, self.gate, self.fault = [], asyncio.Event(), None
        self.gate.set()

    async def same_content(self, content_hash: str) -> list[Entry]:
        """As asked for jobs on machines that nobody knows."""
        self.found.append(content_hash)
        await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return await super().same_content(content_hash)


@dataclass
class Place:
    """A stand whose store has the first lines of the news, made on a rented machine under other ids."""

    stand: Stand
    execution: Execution
    cache: Counting
    speaker: Speaker

    async def make(self, *numbers: int) -> None:
        """Make these lines."""
        for number in numbers:
            ending = await self.execution.run(lease_of(spec(**row(number, "before"))), lambda _: None)
            assert isinstance(ending, Ending)
            assert ending.status == "done"
        self.speaker.spoken.clear()
        self.cache.found.clear()

    def watcher(self, backend: Moody) -> Watcher:
        """One that has this store."""
        return self.stand.watcher(backends=lambda _: [backend], execution={"vast": self.execution})

    async def order(self) -> list[str]:
        """The ids that wait, in their order."""
        page: Any = await self.stand.queue.client.xrange(self.stand.queue.keys.stream("stream:normal:speech:vast"))
        return [fields[b"id"].decode() for _, fields in page]


def row(number: int, tag: str = "now", **fields: Any) -> dict[str, Any]:
    """A line of the news."""
    line = {"text": f"Line {number} of the news.", "voice": "newsroom", "backend": "vast"}
    return {"request_id": f"{tag}-{number}", "task": "speak", **line, **fields}


@pytest.fixture
async def place(stand: Stand) -> AsyncIterator[Place]:
    """With nothing made yet."""
    settings = stand.settings()
    cache, speaker = Counting(settings.watcher_output_root), Speaker(name="vast")
    work_dirs = WorkDirs(settings.watcher_work_dir, "w:before")
    execution = Execution(
        backend=speaker,  # type: ignore[arg-type]  # what an execution asks of a backend
        store=wiring.artifacts(settings),
        work_dirs=work_dirs,
        policy=RetryPolicy(settings.watcher_max_crashes, chance=middle),
        clock=SystemClock(),
        run_id="before",
        caching=caching_of(settings, cache, BUILT_IN, VoiceRegistry(), SystemClock()),
    )
    yield Place(stand, execution, cache, speaker)
    await stand.aclose()
    await work_dirs.aclose()


async def test_fifty_that_were_made_before_need_no_machine(place: Place) -> None:
    """Under other ids, pinned to machines of which none is ready: all done, nothing leased, made or paid."""
    await place.make(*range(FIFTY))
    made = place.watcher(NoMachine())
    await made.start()
    await place.stand.submit(*(row(i, output_name=f"news/{i}") for i in range(FIFTY)))
    records = await place.stand.ended(*(f"now-{i}" for i in range(FIFTY)))
    assert {(each["status"], each["backend"], each["attempt"], each["cost"]["usd"]) for each in records} == {
        ("done", "vast", 1, 0.0)
    }
    assert [each["result"]["cached"]["request_id"] for each in records] == [f"before-{i}" for i in range(FIFTY)]
    assert place.speaker.spoken == []
    assert await place.stand.told("started") == []
    await wait_until(place.stand.outbox_empty, what="all of it published")
    root = made.settings.watcher_output_root
    assert (root / "news/7/take_01.wav").read_text() == "Line 7 of the news."
    assert made.tally.done == FIFTY
    await made.finish()


async def test_what_must_be_made_stays_as_it_was(place: Place) -> None:
    """In its place, with all its tries, never leased; and it is not looked at again."""
    await place.make(2, 5)
    await place.stand.submit(*(row(i) for i in range(8)))
    made = place.watcher(NoMachine())
    await made.start()
    await place.stand.ended("now-2", "now-5")
    looked = len(place.cache.found)
    await place.stand.submit(row(9), row(5, "late"))
    await place.stand.ended("late-5")
    assert await place.order() == [f"now-{i}" for i in (0, 1, 3, 4, 6, 7, 9)]
    for number in (0, 7):
        state = await place.stand.row(f"now-{number}")
        assert state is not None
        assert (state.state, state.attempt, state.deaths) == ("Q", 0, 0)
    assert (looked, len(place.cache.found)) == (8, 10)
    await made.finish()


async def test_who_wants_it_anew_waits_for_a_machine(place: Place) -> None:
    """`cache: false` holds here as everywhere."""
    await place.make(1)
    await place.stand.submit(row(1, cache=False), row(1, "other"))
    made = place.watcher(NoMachine())
    await made.start()
    await place.stand.ended("other-1")
    assert await place.order() == ["now-1"]
    await made.finish()


@pytest.fixture
async def looking(place: Place) -> AsyncIterator[tuple[Place, MadeAlready]]:
    """The looks of a life that does nothing else."""
    made = place.watcher(NoMachine())
    await made.life.open()
    yield place, made.life.made_already
    await made.life.made_already.aclose()
    await made.life.session.close()


async def test_a_slow_store_holds_up_for_so_long_and_is_gone_on_with(looking: tuple[Place, MadeAlready]) -> None:
    """Whoever asks hears that it is not over, and when it is; a store that fails is no hit, and no error."""
    place, looks = looking
    await place.make(1)
    await place.stand.submit(row(1), row(2))
    place.cache.gate.clear()
    assert await looks.look(0.05) is None
    assert await looks.look(0.05) is None
    assert len(place.cache.found) == 2  # the same look went on
    place.cache.gate.set()
    assert await looks.look(10.0) == 1
    await place.stand.ended("now-1", seconds=0.1)
    for number, place.cache.fault in enumerate((TemporaryError("no answer"), KeyError("a bug"))):
        await place.stand.submit(row(1, f"late{number}"))
        assert await looks.look(10.0) == 0
    assert await place.order() == ["now-2", "late0-1", "late1-1"]


async def test_it_looks_no_deeper_than_so_far(
    looking: tuple[Place, MadeAlready], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backlog of a million is not read: what stands far behind is looked at when what stood before it has gone."""
    place, looks = looking
    monkeypatch.setattr(made_already, "HEAD", 1)
    await place.make(70)
    await place.stand.submit(*(row(i) for i in range(71)))
    assert await looks.look(10.0) == 0
    assert len(place.cache.found) == 50  # one page
    for number in range(50):
        assert await place.stand.cancel(f"now-{number}")
    assert await looks.look(10.0) == 1
    await place.stand.ended("now-70", seconds=0.1)


async def test_other_intakes_are_left_alone(looking: tuple[Place, MadeAlready]) -> None:
    """What may not run there, and what its backends cannot do, is for others to look at."""
    place, looks = looking
    await place.make(1)
    await place.stand.submit(row(1, backend="metal"))
    await place.stand.debug("a")
    assert await looks.look(10.0) == 0
    assert place.cache.found == []


async def test_a_watcher_that_rents_nothing_looks_at_nothing(place: Place) -> None:
    """Its lanes are enough: whatever it can do, it leases."""
    made = watcher(place.stand, Moody(), name="other", state="other")
    assert not made.life.made_already.wanted("stream")
    assert place.watcher(NoMachine()).life.made_already.wanted("stream")


async def test_what_was_made_nearer_is_taken_where_a_job_may_run_there(looking: tuple[Place, MadeAlready]) -> None:
    """A job that may run anywhere is given what was made on any backend of this watcher."""
    place, looks = looking
    near = Moody("metal", 1, frozenset({"any", "speech"}))
    there = replace(place.execution, backend=Speaker(name="metal"))  # type: ignore[arg-type]  # as above
    looks.backends = [near, *looks.backends]
    looks.executions = {**looks.executions, "metal": there}
    ending = await there.run(lease_of(spec(**row(4, "before", backend="metal"))), lambda _: None)
    assert isinstance(ending, Ending)
    await place.stand.submit(row(4, backend=None), row(4, "pinned"))
    assert await looks.look(10.0) == 1
    (record,) = await place.stand.ended("now-4", seconds=0.1)
    assert (record["backend"], record["result"]["cached"]["request_id"]) == ("metal", "before-4")
    assert await place.order() == ["pinned-4"]


async def test_equal_jobs_at_the_same_moment_are_made_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others wait for the first and find what it made; if that fails or is cancelled, the next one makes it."""
    gate, begun, speak = asyncio.Event(), asyncio.Event(), Speaker.run
    faults: list[Exception] = [TemporaryError("no")]

    async def slow(speaker: Speaker, job: Any, *given: Any) -> Any:
        begun.set()
        await gate.wait()
        if faults and job.request_id != "anew-1":
            raise faults.pop()
        return await speak(speaker, job, *given)

    monkeypatch.setattr(Speaker, "run", slow)
    jobs = [spec(**row(1, f"t{i}")) for i in range(6)]
    running = [asyncio.create_task(place.execution.run(lease_of(job), lambda _: None)) for job in jobs]
    other = asyncio.create_task(place.execution.run(lease_of(spec(**row(1, "anew", cache=False))), lambda _: None))
    await begun.wait()
    running[0].cancel()
    await asyncio.wait(running[:1])
    gate.set()
    outcomes = await asyncio.gather(*running[1:], other)
    assert sum(isinstance(each, Ending) and each.status == "done" for each in outcomes) == 5
    assert len(place.speaker.spoken) == 2
    assert "anew-1" in place.speaker.spoken
    assert place.execution.caching is not None
    assert place.execution.caching._making == {}


async def test_a_job_of_the_cloud_that_was_made_before_costs_neither_quota_nor_money(place: Place) -> None:
    """What the move had reserved for it is free again, no call was asked for, and nothing stands in the ledger."""
    settings = place.stand.settings(GEMINI_SPEECH_MODEL="speech-1", BUDGET_PER_DAY_USD="1")
    caching = caching_of(settings, place.cache, BUILT_IN, VoiceRegistry(), SystemClock())
    cloud = Speaker("cloud", "gemini", "speech-1", usd=0.25)
    execution = replace(place.execution, backend=cloud, caching=caching)  # type: ignore[arg-type]  # as above
    line: dict[str, Any] = {"backend": "cloud", "voice": None, "speaker": "Ryan"}
    assert isinstance(await execution.run(lease_of(spec(**row(1, "before", **line))), lambda _: None), Ending)
    near = Moody("cloud", 1, frozenset({"any", "speech", "speaker"}))
    made = place.stand.watcher(
        backends=lambda _: [near], execution={"cloud": execution}, BUDGET_PER_DAY_USD="1", CLOUD_TOKENS_PER_MIN="1000"
    )
    await made.start()
    await place.stand.submit(row(1, **line))
    (record,) = await place.stand.ended("now-1")
    assert (record["backend"], record["cost"], cloud.spoken) == ("cloud", {"usd": 0.0}, ["before-1"])
    today = await spend.today(place.stand.queue)
    assert (today.settled, today.reserved) == (0, 0)
    keys = place.stand.queue.keys
    assert await place.stand.queue.client.exists(keys.of("quota_calls"), keys.of("quota_grants")) == 0
    await made.finish()
