"""Jobs that end where they wait: read in their order, ended in one step, and only as they were found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.jobqueue.protocol import Ending
from lib.redisqueue import sessions, waiting
from tests.conformance.stage import METAL, Stage, submission, tail

if TYPE_CHECKING:
    from lib.redisqueue.waiting import WaitingJob


async def found(stage: Stage, intake: str = "stream") -> list[WaitingJob]:
    """All that waits there."""
    jobs: list[WaitingJob] = []
    after = ""
    while (page := await waiting.read(stage.queue, intake, after=after)).last:
        jobs += page.jobs
        after = page.last
    return jobs


def made(job: WaitingJob, **more: object) -> tuple[WaitingJob, Ending]:
    """Its ending."""
    return job, Ending(job.request_id, "", "done", tail(job.request_id), **more)  # type: ignore[arg-type]  # its fields


async def test_what_waits_is_read_in_its_order_and_stays(stage: Stage) -> None:
    """Page by page, with its bytes; what was added by hand is no job yet. To look changes nothing."""
    names = [f"j{i:03d}" for i in range(2 * waiting.PAGE + 1)]
    await stage.submit(*(submission(name) for name in names))
    await stage.by_hand({"job": "{}"})
    stage.expected_foreign = 1
    jobs = await found(stage)
    assert [job.request_id for job in jobs] == names
    assert jobs[3].job == submission("j003").job
    assert {(await stage.active(name)).state for name in names} == {"Q"}
    assert (await waiting.read(stage.queue, "stream", after=jobs[-2].entry)).jobs == (jobs[-1],)


async def test_it_ends_as_a_commit_would_end_it(stage: Stage) -> None:
    """Record, history, expiry, outbox and event in one step; no entry, row or lease is left of it."""
    session = await stage.open()
    await stage.submit(submission("a"), submission("b"))
    a, b = await found(stage)
    ((ending, outbox), other) = await waiting.answer(  # type: ignore[misc]  # the first one is answered
        stage.queue, session, [made(a, ttl_ms=60_000, publish=True), made(b)]
    )
    record = await stage.record("a")
    wanted = {"fence": int(ending.fence), "attempt": 1, "status": "done", "generation": int(a.generation)}
    assert {**record, **wanted} == record
    assert outbox is not None
    assert (outbox.request_id, outbox.fence, outbox.session) == ("a", ending.fence, session)
    assert await stage.entries("outbox") == [{"id": "a", "fence": ending.fence, "session": session}]
    assert other is not None
    assert other[1] is None
    truth = await stage.check()
    assert truth.rows == {}
    assert await stage.length("stream") == 0
    assert set(truth.expiry) == {"a"}
    assert await stage.told("done") == ["a", "b"]
    assert await stage.told("started") == []


async def test_only_as_it_was_found(stage: Stage) -> None:
    """Moved, leased, cancelled, enqueued anew: it has moved on, and its new course is not touched."""
    session, other = await stage.open(), await stage.open("other")
    names = ["moved", "leased", "gone", "anew"]
    await stage.submit(*(submission(name) for name in names))
    jobs = {job.request_id: job for job in await found(stage)}
    await stage.cancel("gone")
    await stage.cancel("anew")
    await stage.submit(submission("anew", content="b"), mode="replace")
    await stage.move(count=2)
    await stage.start(other, read=1)
    assert await waiting.answer(stage.queue, session, [made(jobs[name]) for name in names]) == [None] * 4
    assert [await stage.place(name) for name in ("moved", "leased", "anew")] == [f"L {METAL}", f"Q {METAL}", "Q stream"]
    assert (await stage.record("gone"))["status"] == "cancelled"


async def test_twice_is_once(stage: Stage) -> None:
    """A call whose reply was lost, or two watchers that found the same: one record, and one outbox entry."""
    session, other = await stage.open(), await stage.open("other")
    await stage.submit(submission("a"))
    jobs = [made(job, publish=True) for job in await found(stage)]
    assert await waiting.answer(stage.queue, session, jobs) != [None]
    for each in (session, other):
        assert await waiting.answer(stage.queue, each, jobs) == [None]
    assert len(await stage.entries("outbox")) == 1


async def test_a_session_that_has_ended_ends_nothing(stage: Stage) -> None:
    """A watcher that was away too long changes nothing."""
    session = await stage.open()
    await stage.submit(submission("a"))
    jobs = [made(job) for job in await found(stage)]
    await sessions.close_session(stage.queue, session, name="w")
    assert await waiting.answer(stage.queue, session, jobs) == [None]
    assert await stage.place("a") == "Q stream"


async def test_its_key_is_free_and_its_listener_is_told(stage: Stage) -> None:
    """As at any other end: the next job of its conflict key goes on, and a callback is left."""
    session = await stage.open()
    first = submission("a", conflict_key="k", on_conflict="queue")
    await stage.submit(first, submission("b", content="b", conflict_key="k", on_conflict="queue"))
    jobs = [made(job, callback="https://example.org/told") for job in await found(stage)]
    assert [job.request_id for job, _ in jobs] == ["a"]
    assert await waiting.answer(stage.queue, session, jobs) != [None]
    assert (await stage.active("b")).reason != "key"
    assert [entry["id"] for entry in await stage.entries("outbox_callback")] == ["a"]
