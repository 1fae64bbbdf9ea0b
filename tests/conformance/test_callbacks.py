"""The outbox of callbacks: left in the step that ends a job, taken by one watcher at a time, settled once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue.outbox import Callback, CallbacksTaken, TriedCallback
from lib.jobqueue.protocol import Adoption, Cancellation, ForeignEntry, Verdict
from lib.redisqueue import callbacks, conducting, leasing, producing, upkeep
from lib.redisqueue.remaining import remaining
from tests.conformance.stage import Stage, ending, submission, tail
from tests.conformance.truth import text

if TYPE_CHECKING:
    from lib.jobqueue.protocol import EndStatus

URL = "https://Hooks.example.org:8443/done?token=x"
HOST = "hooks.example.org:8443"


async def take(stage: Stage, count: int = 10, **more: Any) -> CallbacksTaken:
    """Take what is due, for half a minute."""
    return await callbacks.take(stage.queue, **{"count": count, "per_host": 100, "hold_ms": 30_000, **more})


async def settle(stage: Stage, callback: Callback, outcome: str, **more: Any) -> str:
    """Settle one try."""
    tried = TriedCallback(callback, outcome, **more)  # type: ignore[arg-type]  # one of the three, as the test says
    return (await callbacks.settle(stage.queue, [tried]))[0]


async def waiting(stage: Stage) -> int:
    """Entries of the outbox."""
    return int(await stage.queue.client.xlen(stage.queue.keys.of("outbox_callback")))


async def dues(stage: Stage) -> dict[str, int]:
    """Member -> ms from now until it is due."""
    now = await stage.now_ms()
    page: Any = await stage.queue.client.zrange(stage.queue.keys.of("callback_due"), 0, -1, withscores=True)
    return {text(member): int(score) - now for member, score in page}


async def come_due(stage: Stage) -> None:
    """Let every due time be over, that of a hold too."""
    members: Any = await stage.queue.client.zrange(stage.queue.keys.of("callback_due"), 0, -1)
    await stage.queue.client.zadd(stage.queue.keys.of("callback_due"), dict.fromkeys(members, 1), xx=True)


async def told(stage: Stage, *request_ids: str, url: str = URL) -> None:
    """Jobs that ended and left a callback."""
    session = await stage.open(request_ids[0])
    leases = await stage.lease(session, *request_ids)
    codes = await stage.finish(session, *(ending(lease, callback=url) for lease in leases))
    assert set(codes) == {"ok"}


@pytest.mark.parametrize("status", ["done", "failed"])
async def test_a_commit_leaves_the_record_itself(stage: Stage, status: EndStatus) -> None:
    """In the same step, byte for byte; the commit's own reply is as it was."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    (committed,) = await leasing.commit(stage.queue, session, [ending(lease, status, callback=URL)])
    assert (committed.code, committed.outbox) == ("ok", "")
    (callback,) = (await take(stage)).callbacks
    hashed = "result" if status == "done" else "failed"
    raw: Any = await stage.queue.client.hget(stage.queue.keys.of(hashed), "a")
    assert callback.record == raw
    wanted = ("a", lease.generation, lease.fence, status, URL, 0, HOST)
    found = (callback.request_id, callback.generation, callback.fence, callback.status, callback.url)
    assert (*found, callback.tries, callback.host) == wanted


async def test_a_commit_that_is_sent_again_leaves_one(stage: Stage) -> None:
    """Its reply was lost; `already` tells nobody twice, and a refused one tells nobody."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    told = ending(lease, callback=URL)
    assert await stage.finish(session, told) == ["ok"]
    assert await stage.finish(session, told, told._replace(fence="7")) == ["already", "refused"]
    assert await waiting(stage) == 1


async def test_without_a_callback_nothing_is_left(stage: Stage) -> None:
    """No key is made, so a queue that never uses callbacks has none."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.finish(session, ending(lease))
    client, key = stage.queue.client, stage.queue.keys.of
    assert await client.exists(key("outbox_callback"), key("callback_due")) == 0
    assert await take(stage) == CallbacksTaken((), None, more=False)


@pytest.mark.parametrize("where", ["queued", "leased", "delayed"])
async def test_a_cancel_tells_in_every_state(stage: Stage, where: str) -> None:
    """Also where no watcher will ever hear of the job."""
    session = await stage.open()
    if where == "leased":
        await stage.lease(session, "a")
    else:
        due = await stage.now_ms() + 60_000 if where == "delayed" else 0
        await stage.submit(submission("a", due_ms=due))
    row = await stage.active("a")
    wish = Cancellation("a", row.generation, tail("a"), callback=URL)
    assert await producing.cancel(stage.queue, [wish]) == ["cancelled"]
    (callback,) = (await take(stage)).callbacks
    assert (callback.request_id, callback.status) == ("a", "cancelled")
    assert json.loads(callback.record) == await stage.record("a")


async def test_a_verdict_tells(stage: Stage) -> None:
    """Poison ends no lease, and its caller waits all the same."""
    await stage.submit(submission("a"))
    row = await stage.active("a")
    verdict = Verdict("a", row.generation, row.stream, row.entry, tail("a"), callback=URL)
    assert await upkeep.condemn(stage.queue, [verdict, replace(verdict, generation="1")]) == [True, False]
    (callback,) = (await take(stage)).callbacks
    assert (callback.request_id, callback.status) == ("a", "failed")


async def test_what_was_never_a_job_tells_nobody(stage: Stage) -> None:
    """An unreadable entry is refused at adoption: whatever URL was in it was never checked."""
    entry = await stage.by_hand({"job": f'{{"callback_url": "{URL}"'})
    await conducting.adopt(stage.queue, [Adoption("stream", entry, f"foreign:stream:{entry}", None, tail("f"))])
    assert await conducting.read_foreign(stage.queue, [ForeignEntry("stream", entry)]) == []
    assert await waiting(stage) == 0


async def test_what_one_took_no_other_takes_until_it_is_held_no_more(stage: Stage) -> None:
    """Two watchers never send one callback at a time; a dead one's comes due again by itself."""
    await told(stage, "a", "b")
    first = await take(stage, 1)
    second = await take(stage)
    assert [each.request_id for each in (*first.callbacks, *second.callbacks)] == ["a", "b"]
    third = await take(stage)
    assert third.callbacks == ()
    assert third.next_in_ms is not None
    assert 0 < third.next_in_ms <= 30_000
    await come_due(stage)
    assert {each.request_id for each in (await take(stage)).callbacks} == {"a", "b"}


async def test_delivered_is_gone_and_told_to_nobody(stage: Stage) -> None:
    """Counted, and settled again it answers `gone`."""
    await told(stage, "a")
    (callback,) = (await take(stage)).callbacks
    assert await settle(stage, callback, "delivered") == "delivered"
    assert await settle(stage, callback, "delivered") == "gone"
    assert (await waiting(stage), await dues(stage)) == (0, {})
    truth = await stage.check()
    assert truth.counters["callbacks_delivered"] == 1
    assert await stage.told("delivery_failed") == []


async def test_a_failed_try_comes_again_after_its_delay_once(stage: Stage) -> None:
    """Only one of two who settle the same try finds it: it is never doubled, and no try is counted twice."""
    await told(stage, "a")
    (callback,) = (await take(stage)).callbacks
    assert await settle(stage, callback, "again", delay_ms=30_000) == "again"
    assert await settle(stage, callback, "again", delay_ms=1) == "gone"
    ((member, in_ms),) = (await dues(stage)).items()
    assert member.endswith(f" 1 {HOST}")
    assert 20_000 < in_ms <= 30_000
    assert (await take(stage)).callbacks == ()
    await come_due(stage)
    (again,) = (await take(stage)).callbacks
    assert (again.tries, again.record, again.fence) == (1, callback.record, callback.fence)


async def test_a_late_answer_of_a_try_that_lapsed(stage: Stage) -> None:
    """The slow one's `delivered` ends it; the other's failure then finds nothing, and its time is cleared away."""
    await told(stage, "a")
    (slow,) = (await take(stage)).callbacks
    await come_due(stage)
    (quick,) = (await take(stage)).callbacks
    assert await settle(stage, quick, "again", delay_ms=0) == "again"
    assert await settle(stage, slow, "delivered") == "delivered"
    assert (await take(stage)).callbacks == ()
    assert await dues(stage) == {}


async def test_a_callback_that_is_given_up_is_one_event(stage: Stage) -> None:
    """`delivery_failed` names the job, the host and why, not the URL, whose query may be a token."""
    await told(stage, "a")
    (callback,) = (await take(stage)).callbacks
    assert await settle(stage, callback, "failed", why="it answered 500") == "failed"
    assert await settle(stage, callback, "failed", why="again") == "gone"
    events = [entry for entry in await stage.entries("events") if entry["type"] == "delivery_failed"]
    assert events == [{"type": "delivery_failed", "ids": '["a"]', "host": HOST, "why": "it answered 500"}]
    assert (await waiting(stage), await dues(stage)) == (0, {})
    assert (await stage.check()).counters["callbacks_failed"] == 1


async def test_what_was_told_is_the_end_that_was(stage: Stage) -> None:
    """A record that is replaced, expired or softly flushed meanwhile is still told as it was; a hard flush forgets."""
    await told(stage, "a")
    before = await stage.record("a")
    session = await stage.open("x")
    await stage.submit(submission("a", content="b"), mode="replace")
    await stage.move()
    (lease,) = await stage.start(session)
    await stage.finish(session, ending(lease, "failed", callback=URL))
    await producing.flush(stage.queue, hard=False, force=True)
    first, second = (await take(stage)).callbacks
    assert json.loads(first.record) == before
    assert json.loads(second.record) == await stage.record("a")
    await producing.flush(stage.queue, hard=True, force=True)
    assert await waiting(stage) == 0
    assert await dues(stage) == {}


async def test_a_flush_ends_no_job(stage: Stage) -> None:
    """What is thrown away was neither done nor failed: nobody is told."""
    await stage.submit(submission("a"))
    await producing.flush(stage.queue, hard=False, force=True)
    assert await waiting(stage) == 0


async def test_a_busy_host_keeps_no_other_waiting(stage: Stage) -> None:
    """Two of a host at once, those in flight counted; the other's, behind them all, is taken at once."""
    await told(stage, "a", "b", "c", "d")
    await told(stage, "z", url="http://other.example/")
    first = await take(stage, per_host=2, in_flight={HOST: 1})
    assert [each.request_id for each in first.callbacks] == ["a", "z"]
    assert [each.request_id for each in (await take(stage, per_host=2, in_flight={HOST: 2})).callbacks] == []
    assert len((await take(stage)).callbacks) == 3


async def test_a_crowd_of_one_host_is_put_off(stage: Stage) -> None:
    """Where a call sees nothing else, they step aside uncounted, and the next call sees whom they hid."""
    await told(stage, "a", "b", "c", "d", "e")
    await told(stage, "z", url="http://other.example/")
    first = await take(stage, per_host=1, scan_max=4)
    assert ([each.request_id for each in first.callbacks], first.more) == (["a"], True)
    second = await take(stage, per_host=1, scan_max=4, in_flight={HOST: 1})
    assert ([each.request_id for each in second.callbacks], second.more) == (["z"], False)
    assert {member.split(" ")[1] for member in await dues(stage)} == {"0"}


async def test_lost_due_times_are_made_again(stage: Stage) -> None:
    """Somebody deleted the zset: what is to be told is still there, and is told."""
    await told(stage, "a", "b")
    await stage.queue.client.delete(stage.queue.keys.of("callback_due"))
    assert [each.request_id for each in (await take(stage)).callbacks] == ["a", "b"]


async def test_lost_entries_and_foreign_times_are_cleared_away(stage: Stage) -> None:
    """Somebody deleted the stream, or wrote a member of his own: neither stops the rest."""
    await told(stage, "a")
    await stage.queue.client.delete(stage.queue.keys.of("outbox_callback"))
    await stage.queue.client.zadd(stage.queue.keys.of("callback_due"), {"not ours": 1})
    assert (await take(stage)).callbacks == ()
    assert await dues(stage) == {}


async def test_a_drain_sees_which_callbacks_come_soon(stage: Stage) -> None:
    """Due by the horizon, and after it."""
    await told(stage, "a", "b")
    callback, _ = (await take(stage)).callbacks
    await settle(stage, callback, "again", delay_ms=600_000)
    now = await remaining(stage.queue, soon_ms=0)
    soon = await remaining(stage.queue, soon_ms=60_000)
    assert (now.callbacks, now.callbacks_later, soon.callbacks, soon.callbacks_later) == (0, 2, 1, 1)
