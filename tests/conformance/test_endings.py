"""Progress, commit, retry and hand-back: session and fence stand, or nothing happens (promises 3 and 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.jobqueue.protocol import Lease, Progress, Retry
from lib.redisqueue import conducting, leasing
from tests.conformance.stage import METAL, Stage, ending, submission

if TYPE_CHECKING:
    from lib.jobqueue.protocol import EndStatus, RetryKind

HIGH = "stream:high:speech"


async def again(stage: Stage, session: str, lease: Lease, kind: RetryKind = "attempt", delay_ms: int = 30_000) -> bool:
    """Retry one lease."""
    return (await leasing.retry(stage.queue, session, [Retry(lease, kind, delay_ms)]))[0]


async def second_life(stage: Stage, lease: Lease) -> tuple[str, Lease]:
    """The job of a lease whose session died, leased by a new session."""
    await stage.kill("w:1")
    await stage.move(HIGH)
    session = await stage.open()
    (fresh,) = await stage.start(session)
    assert fresh.request_id == lease.request_id
    return session, fresh


async def test_progress_is_kept_while_the_lease_stands(stage: Stage) -> None:
    """It is there while the job runs, told as an event, and gone with the lease."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await leasing.report_progress(stage.queue, session, [Progress("a", lease.fence, b'{"percent":5}')])
    assert (await stage.check()).progress == {"a": '{"percent":5}'}
    assert await stage.told("progress") == ["a"]
    await stage.finish(session, ending(lease))
    assert (await stage.check()).progress == {}


async def test_progress_of_an_old_fence_is_left_alone(stage: Stage) -> None:
    """A zombie's progress never shows."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await leasing.report_progress(stage.queue, session, [Progress("a", "1", b"{}"), Progress("b", lease.fence, b"{}")])
    await leasing.report_progress(stage.queue, "ghost:1", [Progress("a", lease.fence, b"{}")])
    assert (await stage.check()).progress == {}


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
async def test_a_commit_writes_the_record_and_removes_every_trace(stage: Stage, status: EndStatus) -> None:
    """Record, history, expiry and outbox in one step; entry, pending, row and progress gone."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    (committed,) = await leasing.commit(
        stage.queue, session, [ending(lease, status, ttl_ms=60_000, publish=status == "done")]
    )
    assert committed.code == "ok"
    record = await stage.record("a")
    wanted = {"schema_version": 1, "fence": int(lease.fence), "attempt": 1, "status": status, "request_id": "a"}
    assert {**record, **wanted} == record
    truth = await stage.check()
    assert (truth.rows, truth.lanes[METAL], truth.pending[METAL]) == ({}, {}, {})
    assert list(truth.histories[status].values()) == ["a"]
    assert 0 < truth.expiry["a"] - await stage.now_ms() <= 60_000
    assert await stage.told(status) == ["a"]
    outbox = await stage.entries("outbox")
    assert outbox == ([{"id": "a", "fence": lease.fence, "session": session}] if status == "done" else [])
    assert bool(committed.outbox) == (status == "done")


async def test_a_commit_whose_reply_was_lost_answers_already(stage: Stage) -> None:
    """Faults row 1 for endings: the second call finds its own fence in the record."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    assert await stage.finish(session, ending(lease)) == ["ok"]
    before = await stage.record("a")
    assert await stage.finish(session, ending(lease), ending(lease, "failed")) == ["already", "already"]
    assert await stage.record("a") == before


async def test_a_zombies_commit_is_refused_in_every_state(stage: Stage) -> None:
    """Promise 3: after its session ended a worker changes nothing, before and after the other's commit."""
    session = await stage.open()
    (old,) = await stage.lease(session, "a")
    fresh_session, fresh = await second_life(stage, old)
    assert await stage.finish(session, ending(old, "failed")) == ["refused"]
    assert await stage.finish(fresh_session, ending(old, "failed")) == ["refused"]
    assert await stage.finish(fresh_session, ending(fresh)) == ["ok"]
    assert await stage.finish(session, ending(old, "failed")) == ["refused"]
    assert (await stage.record("a"))["fence"] == int(fresh.fence)


async def test_an_ended_session_ends_nothing_before_its_jobs_are_taken_back(stage: Stage) -> None:
    """Promise 4: its row still names it, and that is not enough: the session is no member any more."""
    first = await stage.open()
    (lease,) = await stage.lease(first, "a")
    await stage.open(previous=first)
    assert (await stage.active("a")).session == first
    assert await stage.finish(first, ending(lease)) == ["refused"]
    assert not await again(stage, first, lease)
    assert await leasing.hand_back(stage.queue, first, [lease]) == [False]
    await leasing.report_progress(stage.queue, first, [Progress("a", lease.fence, b"{}")])
    assert (await stage.check()).progress == {}


async def test_a_batch_ends_each_job_by_itself(stage: Stage) -> None:
    """One refused row leaves the others to end."""
    session = await stage.open()
    one, two, three = await stage.lease(session, "a", "b", "c")
    endings = [ending(one), ending(two._replace(fence="7")), ending(three, "failed"), ending(one)]
    assert await stage.finish(session, *endings) == ["ok", "refused", "ok", "already"]
    assert await stage.finish(session, ending(two)) == ["ok"]


@pytest.mark.parametrize(("kind", "attempts", "crashes"), [("attempt", 1, 0), ("crash", 0, 1), ("free", 0, 0)])
async def test_a_retry_counts_what_it_says(stage: Stage, kind: RetryKind, attempts: int, crashes: int) -> None:
    """Delayed, with its bytes; back in the high intake of its class when due; the counts survive."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    assert await again(stage, session, lease, kind)
    row = await stage.active("a")
    assert (row.state, row.reason, row.attempt, row.crashes) == ("D", "retry", attempts, crashes)
    due_in = (await stage.check()).due["a"] - await stage.now_ms()
    assert 25_000 < due_in <= 30_000
    await stage.come_due("a")
    assert (await conducting.queue_due(stage.queue)).queued == 1
    assert await stage.place("a") == f"Q {HIGH}"
    await stage.move(HIGH)
    (fresh,) = await stage.start(session)
    assert (fresh.attempts_used, fresh.crashes, fresh.job) == (attempts, crashes, lease.job)


async def test_the_record_counts_the_tries(stage: Stage) -> None:
    """Two retries and a commit are three attempts."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    for _ in range(2):
        await again(stage, session, lease, delay_ms=0)
        await conducting.queue_due(stage.queue)
        await stage.move(HIGH)
        (lease,) = await stage.start(session)
    await stage.finish(session, ending(lease, "failed"))
    assert (await stage.record("a"))["attempt"] == 3
    (reply,) = await stage.submit(submission("a"))
    assert (reply.code, reply.attempt) == ("already_failed", 3)


async def test_a_retry_needs_session_and_fence(stage: Stage) -> None:
    """A zombie's retry, a repeated one, and one of an old fence change nothing."""
    session = await stage.open()
    (old,) = await stage.lease(session, "a")
    fresh_session, fresh = await second_life(stage, old)
    assert not await again(stage, session, old)
    assert not await again(stage, fresh_session, old)
    assert (await stage.active("a")).state == "L"
    assert await again(stage, fresh_session, fresh)
    assert not await again(stage, fresh_session, fresh)


async def test_a_retry_carries_the_job_whose_entry_was_trimmed(stage: Stage) -> None:
    """The caller's bytes go into the delay, so an entry removed by hand loses nothing."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.queue.client.xtrim(stage.queue.keys.stream(METAL), maxlen=0, approximate=False)
    assert await again(stage, session, lease)
    assert (await stage.check()).delayed["a"].encode() == lease.job


async def test_a_hand_back_costs_nothing(stage: Stage) -> None:
    """Back in the high intake; no attempt, no death, and the old fence is void."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await leasing.report_progress(stage.queue, session, [Progress("a", lease.fence, b"{}")])
    assert await leasing.hand_back(stage.queue, session, [lease]) == [True]
    row = await stage.active("a")
    assert (row.state, row.stream, row.attempt, row.deaths) == ("Q", HIGH, 0, 0)
    assert await stage.finish(session, ending(lease)) == ["refused"]
    assert await leasing.hand_back(stage.queue, session, [lease]) == [False]


async def test_what_was_delivered_and_never_leased_goes_back(stage: Stage) -> None:
    """A watcher with no free slot gives back what a blocked read brought it."""
    session = await stage.open()
    await stage.submit(submission("a"))
    await stage.move()
    entries = await leasing.wait_for_entries(stage.queue, stage.queue.client, session, [METAL], block_ms=1)
    assert await leasing.hand_back_entries(stage.queue, session, entries) == [True]
    assert await stage.place("a") == f"Q {HIGH}"
    assert await leasing.hand_back_entries(stage.queue, session, entries) == []


async def test_nobody_hands_back_anothers_lease(stage: Stage) -> None:
    """Promise 6: a live one's job is never taken; a dead session hands back nothing."""
    owner, other = await stage.open(), await stage.open("other")
    (lease,) = await stage.lease(owner, "a")
    assert await leasing.hand_back(stage.queue, other, [lease]) == [False]
    assert await leasing.hand_back(stage.queue, "ghost:1", [lease]) == [False]
    assert (await stage.active("a")).state == "L"


async def test_an_old_fence_hands_nothing_back(stage: Stage) -> None:
    """Promise 4: started again by its own session, the first lease of the two has no say any more."""
    session = await stage.open()
    (old,) = await stage.lease(session, "a")
    (fresh,) = (await leasing.start(stage.queue, session, [METAL], entries=[(METAL, old.entry)], again=True)).leases
    assert await leasing.hand_back(stage.queue, session, [old]) == [False]
    assert (await stage.active("a")).fence == fresh.fence
    assert await leasing.hand_back(stage.queue, session, [fresh]) == [True]


async def test_jobs_of_an_unknown_class_come_back_by_way_of_the_delay(stage: Stage) -> None:
    """A process that does not know the home intake yet loses nothing: delayed, due at once."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a", intake="stream:low:any")
    stage.queue.intakes = ("stream",)
    assert await leasing.hand_back(stage.queue, session, [lease]) == [True]
    assert (await stage.active("a")).state == "D"
    due = await conducting.queue_due(stage.queue)
    assert (due.queued, due.more) == (0, True)
    assert (await conducting.queue_due(stage.queue)).queued == 1
    assert await stage.place("a") == "Q stream:high:any"
