"""The census and fsck: each damage made by hand is found, mended, and gone; nothing healthy is touched."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.jobqueue.protocol import Retry
from lib.redisqueue import conducting, leasing, producing, upkeep
from lib.redisqueue import fsck as checking
from lib.redisqueue.fsck import Finding, census, fsck
from tests.conformance.stage import CLOUD, METAL, Stage, ending, submission

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HOUR_MS = 3_600_000
HIGH = "stream:high:speech"


async def kinds(stage: Stage, *, repair: bool = False) -> list[str]:
    """What fsck finds, without the sum, whose failure follows from other damage."""
    return sorted(found.kind for found in await fsck(stage.queue, repair=repair) if found.kind != "imbalance")


async def busy(stage: Stage) -> str:
    """A queue with a job in every healthy state; the session that runs one of them."""
    session = await stage.open("busy")
    leases = await stage.lease(session, "done", "failed", "gone", "retry", "runs", conflict_key="")
    by_name = {lease.request_id: lease for lease in leases}
    await stage.finish(
        session, ending(by_name["done"], publish=True, ttl_ms=HOUR_MS), ending(by_name["failed"], "failed")
    )
    await leasing.retry(stage.queue, session, [Retry(by_name["retry"], "attempt", HOUR_MS)])
    await stage.cancel("gone")
    later = await stage.now_ms() + HOUR_MS
    await stage.submit(submission("later", due_ms=later), submission("holds", conflict_key="k"))
    await stage.submit(
        submission("waits", conflict_key="k", on_conflict="queue"),
        submission("waits later", conflict_key="k", on_conflict="queue", due_ms=later),
    )
    await stage.submit(submission("in lane"))
    await stage.move()
    await stage.submit(submission("queued", intake="stream:low:speech"))
    dead = await stage.open("dead")
    await leasing.wait_for_entries(stage.queue, stage.queue.client, dead, [METAL], block_ms=1)
    await stage.lapse(dead)
    return session


async def test_a_healthy_queue_has_no_findings_and_is_not_touched(stage: Stage) -> None:
    """Also with a lapsed session's pending entry, which is the sweep's business."""
    await busy(stage)
    before = await stage.check()
    assert await fsck(stage.queue, repair=True) == []
    assert await stage.check() == before


async def test_the_census_names_every_term(stage: Stage) -> None:
    """Each state counts in exactly one term, and the sum holds."""
    await busy(stage)
    await stage.by_hand({"job": "by hand"})
    await stage.queue.client.zadd(stage.queue.keys.of("expiry"), {"done": 1}, xx=True)
    await upkeep.expire(stage.queue)
    counted = await census(stage.queue)
    assert counted.balance == 0
    ended = (counted.done, counted.failed, counted.cancelled, counted.expired, counted.flushed)
    assert ended == (0, 1, 1, 1, 0)
    waiting = (counted.accepted, counted.intake, counted.lanes, counted.leased, counted.delayed)
    assert waiting == (11, 1, 1, 2, 4)
    assert (counted.foreign, counted.foreign_exact, counted.rows) == (1, True, 8)


async def test_the_census_counts_what_a_flush_took(stage: Stage) -> None:
    """Flushed jobs and records are a term too."""
    await busy(stage)
    await producing.flush(stage.queue, hard=True, force=True)
    counted = await census(stage.queue)
    assert (counted.flushed, counted.rows, counted.balance) == (11, 0, 0)


async def test_more_entries_than_a_census_reads_still_balance(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound foreign entries are what exceeds the rows."""
    await stage.submit(*(submission(f"j{i}") for i in range(5)))
    await stage.by_hand({"job": "by hand"})
    monkeypatch.setattr(checking, "SCAN_MAX", 3)
    counted = await census(stage.queue)
    assert (counted.foreign, counted.foreign_exact, counted.balance) == (1, False, 0)


async def test_the_sum_can_fail(stage: Stage) -> None:
    """A job that vanished with its row is missed: no counter hides it."""
    await stage.submit(submission("a"), submission("b"))
    row = await stage.active("a")
    await stage.queue.client.hdel(stage.queue.keys.of("index"), "a")
    await stage.queue.client.xdel(stage.queue.keys.stream("stream"), row.entry)
    assert (await census(stage.queue)).balance == 1
    (found,) = await fsck(stage.queue, repair=True)
    assert (found.kind, found.repaired) == ("imbalance", False)
    stage.damaged("a job was removed by hand, and nothing of it is left")


async def lose_queued(stage: Stage) -> None:
    """XDEL of a waiting entry."""
    await stage.submit(submission("hurt", conflict_key="lost"))
    await stage.submit(submission("behind", conflict_key="lost", on_conflict="queue"))
    row = await stage.active("hurt")
    await stage.queue.client.xdel(stage.queue.keys.stream("stream"), row.entry)


async def lose_lane(stage: Stage) -> None:
    """DEL of a lane under a job that waits in it."""
    await stage.submit(submission("hurt"))
    await stage.move(lane="lane:vast:speech")
    await stage.queue.client.delete(stage.queue.keys.stream("lane:vast:speech"))


async def lose_delayed(stage: Stage) -> None:
    """HDEL of a delayed payload."""
    await stage.submit(submission("hurt", due_ms=await stage.now_ms() + HOUR_MS))
    await stage.queue.client.hdel(stage.queue.keys.of("delayed"), "hurt")


@pytest.mark.parametrize("lose", [lose_queued, lose_lane, lose_delayed])
async def test_a_lost_payload_ends_as_a_failed_record(stage: Stage, lose: Callable[[Stage], Awaitable[None]]) -> None:
    """Faults row 16: `payload_lost`, its key passed on, others unharmed."""
    session = await busy(stage)
    await lose(stage)
    assert await kinds(stage) == ["payload_lost"]
    assert await kinds(stage, repair=True) == ["payload_lost"]
    record = await stage.record("hurt")
    assert (record["status"], record["error_type"], record["identity"]) == ("failed", "payload_lost", "lost")
    assert await fsck(stage.queue, repair=True) == []
    assert await stage.place("runs") == f"L {METAL}"
    assert session in (await stage.check()).sessions


async def strand(stage: Stage) -> None:
    """XGROUP DELCONSUMER of a dead session that held a lease."""
    session = await stage.open("strander")
    await stage.lease(session, "hurt", lane=CLOUD)
    await stage.lapse(session)
    await stage.queue.client.zrem(stage.queue.keys.of("sessions"), session)
    await stage.queue.client.xgroup_delconsumer(stage.queue.keys.stream(CLOUD), "watchers", session)


async def strand_queued(stage: Stage) -> None:
    """The same before the entry was leased."""
    session = await stage.open("strander")
    await stage.submit(submission("hurt"))
    await stage.move(lane=CLOUD)
    await stage.queue.client.xreadgroup("watchers", session, {stage.queue.keys.stream(CLOUD): ">"})
    await stage.queue.client.xgroup_delconsumer(stage.queue.keys.stream(CLOUD), "watchers", session)


async def strand_living(stage: Stage) -> None:
    """XGROUP DELCONSUMER of a session that is alive and runs the job."""
    session = await stage.open("strander")
    await stage.lease(session, "hurt", lane=CLOUD)
    await stage.queue.client.xgroup_delconsumer(stage.queue.keys.stream(CLOUD), "watchers", session)


async def forget_due(stage: Stage) -> None:
    """ZREM of a due time."""
    await stage.submit(submission("hurt", due_ms=await stage.now_ms() + HOUR_MS, conflict_key="own"))
    await stage.queue.client.zrem(stage.queue.keys.of("due"), "hurt")


async def forget_waiter(stage: Stage) -> None:
    """DEL of the list of who waits for keys."""
    await stage.submit(submission("holder", conflict_key="own"))
    await stage.submit(submission("hurt", conflict_key="own", on_conflict="queue"))
    generation = (await stage.active("hurt")).generation
    await stage.queue.client.zrem(stage.queue.keys.of("key_wait"), f"own\0{generation}\0hurt")


async def leave_due(stage: Stage) -> None:
    """A due time of nobody."""
    await stage.queue.client.zadd(stage.queue.keys.of("due"), {"ghost": await stage.now_ms() + HOUR_MS})


async def leave_delayed(stage: Stage) -> None:
    """A delayed payload of nobody."""
    await stage.queue.client.hset(stage.queue.keys.of("delayed"), "ghost", "{}")


async def leave_progress(stage: Stage) -> None:
    """Progress of a job that only waits."""
    await stage.queue.client.hset(stage.queue.keys.of("progress"), "queued", "{}")


async def leave_expiry(stage: Stage) -> None:
    """An expiry of a record that is gone."""
    await stage.queue.client.zadd(stage.queue.keys.of("expiry"), {"ghost": await stage.now_ms() + HOUR_MS})


async def forge_holder(stage: Stage) -> None:
    """A key held by nobody, with one who waits."""
    await stage.submit(submission("old", conflict_key="own"))
    await stage.submit(submission("hurt", conflict_key="own", on_conflict="queue"))
    await stage.cancel("old")
    await stage.queue.client.hset(stage.queue.keys.of("key"), "own2", "17|ghost")


async def drop_holder(stage: Stage) -> None:
    """HDEL of a key that an active job holds."""
    await stage.submit(submission("hurt", conflict_key="own"))
    await stage.queue.client.hdel(stage.queue.keys.of("key"), "own")


async def free_waited_key(stage: Stage) -> None:
    """HDEL of the key of a finished job's waiter: nobody holds it and somebody waits."""
    await stage.submit(submission("holder", conflict_key="own"))
    await stage.submit(submission("hurt", conflict_key="own", on_conflict="queue"))
    row = await stage.active("holder")
    await stage.queue.client.hset(stage.queue.keys.of("key"), "own", f"{row.generation}|ghost")
    await stage.cancel("holder")
    await stage.queue.client.hdel(stage.queue.keys.of("key"), "own")


async def leave_waiter(stage: Stage) -> None:
    """Somebody waits who is not there."""
    await stage.queue.client.zadd(stage.queue.keys.of("key_wait"), {"k\x00177\x00ghost": 0})


async def leave_entry(stage: Stage) -> None:
    """An entry in a lane that no row names."""
    await stage.by_hand({"id": "ghost", "gen": "1", "job": "x"}, stream=METAL)


async def add_intake(stage: Stage) -> None:
    """SADD of what is no intake; a lane's name is none."""
    await stage.queue.client.sadd(stage.queue.keys.of("intakes"), METAL)


async def add_lane(stage: Stage) -> None:
    """SADD of bytes that are no text."""
    await stage.queue.client.sadd(stage.queue.keys.of("lanes"), b"lane:metal:\xff")


async def add_backlog(stage: Stage) -> None:
    """SADD of what nobody can have submitted to."""
    await stage.queue.client.sadd(stage.queue.keys.of("backlogs"), "No Backlog")


DAMAGE = {
    "stranded": strand,
    "stranded queued": strand_queued,
    "lease_not_pending": strand_living,
    "never_due": forget_due,
    "never_due waiter": forget_waiter,
    "due_without_row": leave_due,
    "delayed_without_row": leave_delayed,
    "progress_without_row": leave_progress,
    "expiry_without_record": leave_expiry,
    "key_of_nobody": forge_holder,
    "key_not_held": drop_holder,
    "waits_for_free_key": free_waited_key,
    "waiter_without_row": leave_waiter,
    "stale_entry": leave_entry,
    "foreign_name intake": add_intake,
    "foreign_name lane": add_lane,
    "foreign_name backlog": add_backlog,
}


@pytest.mark.parametrize("name", DAMAGE)
async def test_each_damage_is_found_mended_and_gone(stage: Stage, name: str) -> None:
    """Looking changes nothing; mending mends; the second look is clean, the queue sound, and the busy one unharmed."""
    await busy(stage)
    healthy = {found: await stage.active(found) for found in ("runs", "later", "holds", "waits", "queued", "retry")}
    await DAMAGE[name](stage)
    wanted = name.split(maxsplit=1)[0]
    for repair in (False, True):
        found = [one for one in await fsck(stage.queue, repair=repair) if one.kind != "imbalance"]
        assert [(one.kind, one.repaired) for one in found] == [(wanted, repair)]
        assert found[0].detail
    # One that must wait for a key again is put on its list by the leader's next round.
    await conducting.queue_due(stage.queue)
    assert await fsck(stage.queue, repair=True) == []
    await stage.check()
    assert {found: await stage.active(found) for found in healthy} == healthy


async def test_a_stranded_job_runs_again(stage: Stage) -> None:
    """Back in intake, its death counted, and somebody else can lease it."""
    await strand(stage)
    await kinds(stage, repair=True)
    row = await stage.active("hurt")
    assert (row.state, row.stream, row.deaths) == ("Q", HIGH, 1)
    await stage.move(HIGH)
    assert [lease.request_id for lease in await stage.start(await stage.open("other"))] == ["hurt"]


async def test_a_living_ones_stranded_lease_is_its_own_again(stage: Stage) -> None:
    """Pending under the session that runs it, so that a later death is found; its commit stands."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.queue.client.xgroup_delconsumer(stage.queue.keys.stream(METAL), "watchers", session)
    assert await kinds(stage, repair=True) == ["lease_not_pending"]
    assert await stage.pending() == {lease.entry: session}
    assert await stage.finish(session, ending(lease)) == ["ok"]


async def test_a_live_lease_whose_entry_was_trimmed_is_left_alone(stage: Stage) -> None:
    """The watcher still has the payload and can end it."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.queue.client.xdel(stage.queue.keys.stream(METAL), lease.entry)
    assert await kinds(stage, repair=True) == []
    assert await stage.finish(session, ending(lease)) == ["ok"]


async def test_what_no_script_can_decide_is_reported(stage: Stage) -> None:
    """A record beside an active row, an unreadable row, and a key with two holders stay as they are."""
    await stage.submit(submission("a"), submission("b", conflict_key="k"))
    await stage.submit(submission("c", conflict_key="k2"))
    row = await stage.active("b")
    client, keys = stage.queue.client, stage.queue.keys
    await client.hset(keys.of("failed"), "a", '{"by":"hand"}')
    raw = await client.hget(keys.of("index"), "c")
    assert isinstance(raw, bytes)
    await client.hset(keys.of("index"), "c", raw.replace(b"|k2", b"|k"))
    await client.hset(keys.of("index"), "d", "nonsense")
    await client.hdel(keys.of("key"), "k2")
    found = await fsck(stage.queue, repair=True)
    assert Finding("key_held_by_two", "c", "k is held by b", repaired=False) in found
    assert Finding("unreadable_row", "d", "nonsense", repaired=False) in found
    assert {one.kind for one in found} == {"key_held_by_two", "unreadable_row", "record_and_row", "imbalance"}
    assert (await stage.active("b")) == row
    await client.hdel(keys.of("index"), "d")
    stage.damaged("an operator wrote rows and records by hand")


async def test_a_large_index_is_walked_to_its_end(stage: Stage) -> None:
    """In chunks: the one damaged job among 1500 is found wherever it stands."""
    await stage.submit(*(submission(f"j{i}") for i in range(1500)))
    row = await stage.active("j777")
    await stage.queue.client.xdel(stage.queue.keys.stream("stream"), row.entry)
    assert [(one.kind, one.subject) for one in await fsck(stage.queue, repair=True)] == [("payload_lost", "j777")]
    assert (await census(stage.queue)).balance == 0


async def test_fsck_runs_beside_work_and_touches_none_of_it(stage: Stage) -> None:
    """Jobs are submitted, moved, started and ended all the while: no finding, and every one is done."""
    session = await stage.open()
    done: list[str] = []

    async def work() -> None:
        for number in range(15):
            names = [f"j{number}-{i}" for i in range(5)]
            leases = await stage.lease(
                session, *names, conflict_key="" if number % 2 else f"k{number}", on_conflict="queue"
            )
            await conducting.queue_due(stage.queue)
            await stage.move()
            leases += await stage.start(session)
            done.extend(await stage.finish(session, *(ending(lease) for lease in leases)))

    worker = asyncio.create_task(work())
    while not worker.done():
        assert await fsck(stage.queue, repair=True) == []
    await worker
    assert set(done) == {"ok"}
    assert await fsck(stage.queue, repair=True) == []
