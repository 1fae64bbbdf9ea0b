"""The waiting jobs with a deadline, as the leader reads them: what each is, read once, whatever stands in the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import leasing, producing
from lib.redisqueue.submissions import submission_of
from lib.redisqueue.urgent import LOOKED_AT_MAX, NEAREST_MAX, Deadlines, Pressing
from tests.support.hand import HandWatcher, open_test_queue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lib.redisqueue.queue import Queue
    from tests.support.servers import RealServer

INTAKE = "stream:normal:any"


@pytest.fixture
async def queue(valkey: RealServer, prefix: str) -> AsyncIterator[Queue]:
    """A queue of its own."""
    async with open_test_queue(valkey.url, prefix) as opened:
        yield opened
        async for key in opened.client.scan_iter(match=f"{prefix}:*"):
            await opened.client.unlink(key)


def second(number: int) -> str:
    """A deadline."""
    return f"2030-01-01T00:{number // 60:02}:{number % 60:02}Z"


BASE_MS = 1_893_456_000_000


async def submit(queue: Queue, *rows: dict[str, Any]) -> None:
    """Queue jobs."""
    jobs = [submission_of(normalize_job_spec(row, catalogue=BUILT_IN), BUILT_IN) for row in rows]
    assert {reply.code for reply in await producing.submit(queue, jobs)} == {"queued"}


def sleep(request_id: str, seconds: float = 3.0, **more: Any) -> dict[str, Any]:
    """A job that takes so long."""
    return {"request_id": request_id, "task": "sleep", "payload": {"seconds": seconds}, **more}


async def reads(queue: Queue) -> int:
    """How many entries the server has been asked for."""
    stats: dict[str, Any] = await queue.client.info("commandstats")
    return int(stats.get("cmdstat_xrange", {}).get("calls", 0))


async def test_the_nearest_first_with_task_and_size(queue: Queue) -> None:
    """Only those with a deadline; what each takes is reckoned from these."""
    await submit(queue, sleep("b", 7.0, deadline=second(9)), sleep("none"), sleep("a", deadline=second(5)))
    assert await Deadlines(queue).waiting() == [
        Pressing("a", INTAKE, BASE_MS + 5000, "sleep", 3.0),
        Pressing("b", INTAKE, BASE_MS + 9000, "sleep", 7.0),
    ]


async def test_an_entry_is_read_once(queue: Queue) -> None:
    """Asked again before each decision, it costs one look at the list and the rows."""
    await submit(queue, sleep("a", deadline=second(5)), sleep("b", deadline=second(6)))
    deadlines = Deadlines(queue)
    before = await reads(queue)
    first = await deadlines.waiting()
    once = await reads(queue)
    assert once > before
    assert [await deadlines.waiting() for _ in range(3)] == [first] * 3
    assert await reads(queue) == once
    await submit(queue, sleep("c", deadline=second(1)))
    assert [job.request_id for job in await deadlines.waiting()] == ["c", "a", "b"]
    assert await reads(queue) == once + 1


async def test_what_stands_as_it_stood_is_the_same_object(queue: Queue) -> None:
    """So the leader reckons anew only what a job takes that has changed; a new deadline or place is told as it is."""
    await submit(queue, sleep("a", deadline=second(5)), sleep("b", deadline=second(6)))
    deadlines = Deadlines(queue)
    first = await deadlines.waiting()
    again = await deadlines.waiting()
    assert all(one is other for one, other in zip(first, again, strict=True))
    await queue.client.zadd(queue.keys.of("deadlines"), {"a": BASE_MS + 7000})
    late = await deadlines.waiting()
    assert [(job.request_id, job.deadline_ms) for job in late] == [("b", BASE_MS + 6000), ("a", BASE_MS + 7000)]
    assert late[0] is first[1]


async def test_a_job_begun_anew_is_read_anew(queue: Queue) -> None:
    """Another generation may be another job; what has gone is forgotten."""
    await submit(queue, sleep("a", 3.0, deadline=second(5)))
    deadlines = Deadlines(queue)
    assert (await deadlines.waiting())[0].size == 3.0
    await producing.flush(queue, hard=True, force=True)
    assert await deadlines.waiting() == []
    assert deadlines._seen == {}
    await submit(queue, sleep("a", 8.0, deadline=second(5)))
    assert (await deadlines.waiting())[0].size == 8.0
    await producing.flush(queue, hard=True, force=True)
    await submit(queue, sleep("a", 9.0, deadline=second(5)))
    assert (await deadlines.waiting())[0].size == 9.0, "also when nobody looked in between"


async def test_only_what_waits_in_an_intake_presses(queue: Queue) -> None:
    """Moved, leased, delayed: its place is settled. Handed back, it presses again, at the front."""
    await submit(queue, sleep("a", deadline=second(5)), sleep("later", deadline=second(6), run_after=second(1)))
    deadlines = Deadlines(queue)
    assert [job.request_id for job in await deadlines.waiting()] == ["a"]
    watcher = HandWatcher(queue)
    await watcher.open()
    (lease,) = await watcher.lease()
    assert await deadlines.waiting() == []
    await leasing.hand_back(queue, watcher.session, [lease])
    assert [(job.request_id, job.intake) for job in await deadlines.waiting()] == [("a", "stream:high:any")]
    await watcher.all_done()
    assert await deadlines.waiting() == []
    await watcher.close()


@pytest.mark.parametrize(
    "row", [b"", b"nonsense", b"Q|1|0|||stream:odd|1-0|x||||", b"Q|1|0|||lane:metal:any|1-0|x||||"]
)
async def test_a_row_that_somebody_damaged_is_passed_over(queue: Queue, row: bytes) -> None:
    """The others are planned with all the same."""
    await submit(queue, sleep("a", deadline=second(5)), sleep("b", deadline=second(6)))
    await queue.client.hset(queue.keys.of("index"), "a", row)
    await queue.client.zadd(queue.keys.of("deadlines"), {b"never heard of": BASE_MS, b"\xff\xfe": BASE_MS})
    assert [job.request_id for job in await Deadlines(queue).waiting()] == ["b"]


@pytest.mark.parametrize("job", [None, b"not json", b"{}"])
async def test_an_entry_that_cannot_be_read_has_no_task(queue: Queue, job: bytes | None) -> None:
    """Gone from its stream, or written over: it is planned with as an unknown job, and never an error."""
    await submit(queue, sleep("a", deadline=second(5)))
    page: Any = await queue.client.xrange(queue.keys.stream(INTAKE))
    ((entry, fields),) = page
    await queue.client.xdel(queue.keys.stream(INTAKE), entry)
    if job is not None:
        await queue.client.unlink(queue.keys.stream(INTAKE))
        await queue.client.xadd(queue.keys.stream(INTAKE), {**fields, b"job": job}, id=entry)
    assert await Deadlines(queue).waiting() == [Pressing("a", INTAKE, BASE_MS + 5000, "", 1.0)]


async def test_a_row_that_names_no_place_is_an_unknown_job(queue: Queue) -> None:
    """An entry id that is none: the reader answers all the same."""
    await submit(queue, sleep("a", deadline=second(5)), sleep("b", deadline=second(6)))
    await queue.client.hset(queue.keys.of("index"), "a", f"Q|1|0|||{INTAKE}|NOWHERE|x||||")
    assert [(job.request_id, job.task) for job in await Deadlines(queue).waiting()] == [("a", ""), ("b", "sleep")]


async def test_so_many_are_planned_with_and_no_more(queue: Queue) -> None:
    """The nearest: the others have time."""
    rows = [sleep(f"job-{i:04}", deadline=second(i)) for i in range(NEAREST_MAX + 20)]
    await submit(queue, *rows)
    found = await Deadlines(queue).waiting()
    assert [job.request_id for job in found] == [f"job-{i:04}" for i in range(NEAREST_MAX)]


@pytest.mark.parametrize("before", [{"run_after": second(1)}, {"backend": "vast"}], ids=["delayed", "pinned"])
async def test_those_that_cannot_run_now_hide_none_that_can(queue: Queue, before: dict[str, Any]) -> None:
    """Five hundred nearer ones wait for their time, or for a backend that nobody has: the next one presses."""
    await submit(queue, *(sleep(f"before-{i}", deadline=second(5), **before) for i in range(NEAREST_MAX)))
    await submit(queue, sleep("mine", deadline=second(6)), sleep("later", deadline=second(7)))
    found = await Deadlines(queue).waiting(lambda intake: not intake.endswith(":vast"))
    assert [job.request_id for job in found] == ["mine", "later"]


async def test_a_look_ends(queue: Queue) -> None:
    """However many have a deadline, so many are looked at and no more."""
    nobody = {f"nobody-{i:05}": BASE_MS + i for i in range(LOOKED_AT_MAX)}
    await queue.client.zadd(queue.keys.of("deadlines"), nobody)
    await submit(queue, sleep("beyond", deadline=second(3000)))
    assert await Deadlines(queue).waiting() == []
    await queue.client.zrem(queue.keys.of("deadlines"), "nobody-00000")
    assert [job.request_id for job in await Deadlines(queue).waiting()] == ["beyond"]


async def test_a_deadline_that_never_comes_is_passed_over(queue: Queue) -> None:
    """Somebody wrote it there: it is no moment."""
    await submit(queue, sleep("a", deadline=second(5)), sleep("b", deadline=second(6)))
    await queue.client.zadd(queue.keys.of("deadlines"), {"a": float("-inf")})
    assert [job.request_id for job in await Deadlines(queue).waiting()] == ["b"]
