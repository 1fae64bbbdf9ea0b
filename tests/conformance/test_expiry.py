"""What ends records: expiry by their own TTL, flush; and the outbox of what is still to be published."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.errors import QueueError, RefusedError
from lib.jobqueue.outbox import OutboxEntry
from lib.redisqueue import leasing, producing, upkeep
from lib.redisqueue.connection import connect
from lib.redisqueue.fsck import fsck
from lib.redisqueue.queue import BATCH_MAX_JOBS, Queue
from tests.conformance.stage import METAL, Stage, ending, submission

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease


async def finished(stage: Stage, *names: str, ttl_ms: int = 60_000, publish: bool = False) -> list[Lease]:
    """Jobs that are done."""
    session = await stage.open(f"done-{names[0]}")
    leases = await stage.lease(session, *names)
    done = [ending(lease, ttl_ms=ttl_ms, publish=publish) for lease in leases]
    assert set(await stage.finish(session, *done)) == {"ok"}
    return leases


async def expire_now(stage: Stage, *names: str) -> None:
    """Let the TTL of records pass."""
    await stage.queue.client.zadd(stage.queue.keys.of("expiry"), dict.fromkeys(names, 1), xx=True)


async def test_an_expired_record_frees_its_id_in_the_same_step(stage: Stage) -> None:
    """Promise 2: until its TTL `already_done`, from then on new; counted once more as accepted."""
    await finished(stage, "a", "b")
    assert await upkeep.expire(stage.queue) == 0
    await expire_now(stage, "a")
    assert await upkeep.expire(stage.queue) == 1
    assert await stage.told("expired") == ["a"]
    assert await stage.codes(submission("a", content="z"), submission("b")) == ["queued", "already_done"]
    truth = await stage.check()
    assert (truth.counters["accepted"], truth.counters["expired"]) == (3, 1)


async def test_failed_and_cancelled_records_expire_too(stage: Stage) -> None:
    """Whatever the hash."""
    session = await stage.open()
    one, two = await stage.lease(session, "a", "b")
    await stage.finish(session, ending(one, "failed", ttl_ms=9), ending(two, "cancelled", ttl_ms=9))
    await expire_now(stage, "a", "b")
    assert await upkeep.expire(stage.queue) == 2


async def test_a_record_without_a_ttl_stays(stage: Stage) -> None:
    """Jobs of the command line are kept."""
    await finished(stage, "a", ttl_ms=0)
    assert (await stage.check()).expiry == {}


async def test_more_than_a_batch_expires_in_one_call(stage: Stage) -> None:
    """It goes on until nothing is due."""
    names = [f"j{i}" for i in range(BATCH_MAX_JOBS + 7)]
    await finished(stage, *names)
    await expire_now(stage, *names)
    assert await upkeep.expire(stage.queue) == len(names)


async def test_a_leftover_expiry_harms_nobody(stage: Stage) -> None:
    """A TTL without a record is cleared, and an active job of that id is untouched."""
    await stage.submit(submission("a"))
    await stage.queue.client.zadd(stage.queue.keys.of("expiry"), {"a": 1})
    assert await upkeep.expire(stage.queue) == 0
    assert await stage.place("a") == "Q stream"


async def test_what_is_published_leaves_the_outbox_once(stage: Stage) -> None:
    """The last step of publish: the record's fence is the one that was copied; twice is harmless."""
    (lease,) = await finished(stage, "a", publish=True)
    (entry,) = await upkeep.read_outbox(stage.queue)
    assert (entry.request_id, entry.fence) == ("a", lease.fence)
    assert await upkeep.publish(stage.queue, [entry]) == ["ok"]
    assert await upkeep.publish(stage.queue, [entry]) == ["ok"]
    assert await upkeep.read_outbox(stage.queue) == []


async def test_a_copy_of_a_record_that_is_over_does_not_count(stage: Stage) -> None:
    """The name must equal the current record: another fence answers `changed` and the entry stays."""
    (old,) = await finished(stage, "a", publish=True)
    await stage.submit(submission("a", content="b"), mode="replace")
    session = await stage.open()
    await stage.move()
    (lease,) = await stage.start(session)
    await stage.finish(session, ending(lease, publish=True))
    first, second = await upkeep.read_outbox(stage.queue)
    assert await upkeep.publish(stage.queue, [first]) == ["changed"]
    copied = OutboxEntry(first.entry, "a", lease.fence, first.session)
    assert await upkeep.publish(stage.queue, [copied, second]) == ["ok", "ok"]
    assert (await stage.check()).records["a"]
    assert old.fence != lease.fence


async def test_nothing_is_published_of_what_has_gone(stage: Stage) -> None:
    """Replaced or expired meanwhile: the entry goes, and says so."""
    await finished(stage, "a", publish=True)
    await expire_now(stage, "a")
    await upkeep.expire(stage.queue)
    entries = await upkeep.read_outbox(stage.queue)
    assert await upkeep.publish(stage.queue, entries) == ["gone"]


async def test_the_outbox_is_read_page_by_page(stage: Stage) -> None:
    """`after` is exclusive."""
    await finished(stage, "a", "b", "c", publish=True)
    first = await upkeep.read_outbox(stage.queue, count=2)
    rest = await upkeep.read_outbox(stage.queue, after=first[-1].entry)
    assert [entry.request_id for entry in (*first, *rest)] == ["a", "b", "c"]


async def full_house(stage: Stage) -> None:
    """A job in every state, and a record."""
    session = await stage.open()
    await stage.lease(session, "done", "leased", "failed")
    leases = {lease.request_id: lease for lease in await _again(stage, session)}
    await stage.finish(session, ending(leases["done"], publish=True), ending(leases["failed"], "failed"))
    await stage.submit(submission("waiting"), submission("k1", conflict_key="k"))
    await stage.submit(submission("k2", conflict_key="k", on_conflict="queue"))
    await stage.submit(submission("later", due_ms=await stage.now_ms() + 90_000))


async def _again(stage: Stage, session: str) -> list[Lease]:
    pending = await leasing.pending_entries(stage.queue, session, [METAL])
    return list((await leasing.start(stage.queue, session, [METAL], entries=pending, again=True)).leases)


async def test_flush_is_refused_while_a_watcher_is_alive(stage: Stage) -> None:
    """It names who lives; `force` flushes all the same."""
    await full_house(stage)
    with pytest.raises(RefusedError, match="w"):
        await producing.flush(stage.queue, hard=True, force=False)
    assert (await stage.check()).rows.keys() == {"leased", "waiting", "k1", "k2", "later"}
    assert (await producing.flush(stage.queue, hard=False, force=True)).jobs == 5


async def test_a_soft_flush_keeps_the_records(stage: Stage) -> None:
    """What waits or runs is gone, what ended still answers `already_…`, and the sum holds."""
    await full_house(stage)
    await stage.lapse("w:1", "leader:1")
    flushed = await producing.flush(stage.queue, hard=False, force=False)
    assert (flushed.jobs, flushed.records) == (5, 0)
    truth = await stage.check()
    assert (truth.rows, truth.holders, truth.due, truth.counters["flushed"]) == ({}, {}, {}, 5)
    assert await stage.codes(submission("done"), submission("failed"), submission("waiting")) == [
        "already_done",
        "already_failed",
        "queued",
    ]


async def test_a_hard_flush_takes_the_records_and_keeps_the_counter(stage: Stage) -> None:
    """Every id is new again; fences go on rising, so that a late worker of before is still refused."""
    await full_house(stage)
    leases = await _again(stage, "w:1")
    before = (await stage.check()).fence
    await producing.flush(stage.queue, hard=True, force=True)
    truth = await stage.check()
    assert (truth.all_records, truth.fence) == ({}, before)
    assert await stage.codes(submission("done"), submission("leased")) == ["queued", "queued"]
    assert int((await stage.active("done")).generation) > before
    assert await stage.finish("w:1", *(ending(lease) for lease in leases)) == ["refused"]
    await stage.move()
    assert {lease.request_id for lease in await stage.start("w:1")} == {"done", "leased"}


async def test_a_name_that_is_none_keeps_no_flush_from_ending(stage: Stage) -> None:
    """Anybody may have put something into the sets of streams: it is passed over, as by all who read them."""
    await full_house(stage)
    client, keys = stage.queue.client, stage.queue.keys
    await client.sadd(keys.of("intakes"), "junk", b"\xff", METAL, "result", "backlog:A:high:any")
    await client.sadd(keys.of("lanes"), "stream", "lane:", "events")
    flushed = await asyncio.wait_for(producing.flush(stage.queue, hard=False, force=True), 20)
    assert flushed.jobs == 5
    found = await fsck(stage.queue, repair=True)
    assert sorted(one.subject for one in found) == sorted(
        ["junk", "\\xff", METAL, "result", "backlog:A:high:any", "stream", "lane:", "events"]
    )
    assert await fsck(stage.queue, repair=False) == []
    assert set((await stage.check()).all_records) == {"done", "failed"}


async def test_a_flush_that_never_sees_all_streams_gives_up(real_stage: Stage) -> None:
    """Who reads the names elsewhere than the script, as from a replica that lags, is told so and empties nothing."""
    queue = real_stage.queue
    await real_stage.submit(submission("a", intake="stream:low:any"))
    elsewhere = connect(queue.url.rpartition("/")[0] + "/1")
    behind = Queue(elsewhere, queue.keys, queue.url, queue.scripts)
    with pytest.raises(QueueError, match="nothing was flushed"):
        await asyncio.wait_for(producing.flush(behind, hard=True, force=True), 20)
    assert await real_stage.place("a") == "Q stream:low:any"
    await elsewhere.aclose()


async def test_lanes_keep_their_group_through_a_flush(stage: Stage) -> None:
    """A blocked reader goes on; nobody meets NOGROUP."""
    session = await stage.open()
    await stage.lease(session, "a")
    await producing.flush(stage.queue, hard=False, force=True)
    assert [lease.request_id for lease in await stage.lease(session, "b")] == ["b"]
