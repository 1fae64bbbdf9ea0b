"""Cancel and condemn: one step in every state, and a later commit is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue.protocol import Cancellation, Retry, Verdict
from lib.redisqueue import leasing, producing, upkeep
from tests.conformance.stage import METAL, Stage, ending, submission, tail

if TYPE_CHECKING:
    from tests.conformance.truth import Row


async def in_state(stage: Stage, state: str) -> None:
    """Bring job `a` into a state."""
    more: dict[str, Any] = {"due_ms": await stage.now_ms() + 90_000} if state == "run_after" else {}
    if state == "key":
        await stage.submit(submission("holder", conflict_key="k"))
        more = {"conflict_key": "k", "on_conflict": "queue"}
    await stage.submit(submission("a", **more))
    session = await stage.open()
    if state in {"lane", "leased", "retry"}:
        await stage.move()
    if state in {"leased", "retry"}:
        (lease,) = await stage.start(session)
        if state == "retry":
            await leasing.retry(stage.queue, session, [Retry(lease, "attempt", 90_000)])


@pytest.mark.parametrize("state", ["intake", "lane", "leased", "retry", "run_after", "key"])
async def test_a_cancel_ends_a_job_in_every_state(stage: Stage, state: str) -> None:
    """Record, history and no trace elsewhere; the second cancel finds nothing active."""
    await in_state(stage, state)
    assert await stage.cancel("a") == "cancelled"
    record = await stage.record("a")
    # The try that it was in, or those that it had used up before it waited again.
    assert (record["status"], record["attempt"]) == ("cancelled", int(state in {"leased", "retry"}))
    assert await stage.cancel("a") == "not_active"
    truth = await stage.check()
    assert "a" not in truth.rows
    assert await stage.told("cancelled") == ["a"]
    assert await stage.codes(submission("a")) == ["already_cancelled"]


async def test_a_running_body_is_told_and_its_commit_refused(stage: Stage) -> None:
    """`control` names the fence that must stop; the body's own ending comes too late, whatever it says."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    assert await stage.cancel("a") == "cancelled"
    assert await stage.entries("control") == [{"type": "cancel", "id": "a", "fence": lease.fence}]
    assert await stage.finish(session, ending(lease)) == ["refused"]
    assert (await stage.record("a"))["status"] == "cancelled"


async def test_only_the_generation_that_was_looked_at_is_cancelled(stage: Stage) -> None:
    """A person who looked at one job does not end its successor."""
    await stage.submit(submission("a"))
    wish = Cancellation("a", "1", tail("a"))
    assert await producing.cancel(stage.queue, [wish, replace(wish, request_id="b")]) == ["changed", "not_active"]


async def test_a_cancelled_record_may_expire(stage: Stage) -> None:
    """A TTL counts from the end, however the job ended."""
    await stage.submit(submission("a"))
    row = await stage.active("a")
    await producing.cancel(stage.queue, [Cancellation("a", row.generation, tail("a"), ttl_ms=50_000)])
    assert (await stage.check()).expiry["a"] > await stage.now_ms()


async def test_a_cancel_hands_the_key_to_the_oldest_waiter_only_when_it_held_it(stage: Stage) -> None:
    """A waiter that is cancelled releases nothing; the holder that is cancelled promotes the oldest."""
    await stage.submit(submission("a", conflict_key="k"))
    for name in "bcd":
        await stage.submit(submission(name, conflict_key="k", on_conflict="queue"))
    await stage.cancel("b")
    assert (await stage.check()).holders["k"].endswith("|a")
    await stage.cancel("a")
    assert (await stage.check()).holders["k"].endswith("|c")
    assert not (await stage.active("c")).waits_for_key
    assert (await stage.active("d")).waits_for_key


async def condemned(stage: Stage, row: Row, *, lost: bool = False, **more: str) -> bool:
    """Condemn job `a` at the place of a row."""
    verdict = Verdict("a", row.generation, row.stream, row.entry, tail("a"), lost)
    return (await upkeep.condemn(stage.queue, [replace(verdict, **more)]))[0]  # type: ignore[arg-type]  # str fields only


@pytest.mark.parametrize("state", ["intake", "lane", "retry", "run_after", "key"])
async def test_a_verdict_ends_a_job_that_nobody_runs(stage: Stage, state: str) -> None:
    """Poison, a lost payload, a refusal: failed, with a fence of its own."""
    await in_state(stage, state)
    row = await stage.active("a")
    assert await condemned(stage, row)
    assert (await stage.record("a"))["status"] == "failed"
    assert await stage.told("failed") == ["a"]
    assert not await condemned(stage, row)


async def test_a_verdict_does_not_touch_what_a_live_session_runs(stage: Stage) -> None:
    """Promise 6: whatever was found about it earlier."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    assert not await condemned(stage, await stage.active("a"))
    assert await stage.finish(session, ending(lease)) == ["ok"]


async def test_a_verdict_holds_only_at_the_place_where_the_job_was_found(stage: Stage) -> None:
    """Moved on, replaced, or elsewhere: not this job any more."""
    await stage.submit(submission("a"))
    row = await stage.active("a")
    assert not await condemned(stage, row, generation="1")
    assert not await condemned(stage, row, entry="1-1")
    await stage.move()
    assert not await condemned(stage, row)
    assert await stage.place("a") == f"Q {METAL}"


async def test_a_lost_payload_loses_its_identity_too(stage: Stage) -> None:
    """Nobody knows what it was: any content of this id may follow by --replace, and only so."""
    await stage.submit(submission("a"))
    row = await stage.active("a")
    await stage.queue.client.xdel(stage.queue.keys.stream("stream"), row.entry)
    assert await condemned(stage, row, lost=True)
    assert await stage.codes(submission("a"), submission("a", content="b")) == ["already_failed"] * 2
    assert await stage.codes(submission("a", content="b"), mode="replace") == ["queued"]
