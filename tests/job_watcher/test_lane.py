"""Leases from the lanes: never more than there are slots, and nothing that was delivered is ever forgotten."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.lane import LaneReader
from lib.errors import SessionLostError
from lib.redisqueue import leasing
from tests.job_watcher.watching import ANY, SPEECH, Gate
from tests.support.proxy import FaultProxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.jobqueue.protocol import Ending, Lease, Retry, Started
    from lib.redisqueue.leasing import Entry
    from tests.job_watcher.watching import Stand
    from tests.support.servers import RealServer

SPEECH_JOB = {"task": "speak", "text": "Hello.", "speaker": "en_US-1"}


async def test_never_more_bodies_than_slots(stand: Stand) -> None:
    """However the jobs come, in a crowd or one by one, the backend is asked for no more than it offers."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="3", METAL_QUEUE_MAX="5").start()
    ids = [f"job-{i}" for i in range(12)]
    await stand.debug(*ids[:6])
    await wait_until(lambda: len(gate.running) == 3)
    await stand.debug(*ids[6:])
    for each in ids:
        gate.let(each)
    await stand.ended(*ids)
    assert gate.most == 3
    assert sorted(gate.ids()) == sorted(ids)
    assert watcher.life.in_hand.leases() == []


async def test_a_mistake_in_running_a_job_ends_that_job_only(stand: Stand) -> None:
    """Promise 7: it is tried as often as after crashes, then it is poison; its neighbour is done."""

    class Mistaken(Gate):
        async def run(self, lease: Lease, *rest: Any) -> Ending | Retry:
            if lease.request_id == "bad":
                raise KeyError(lease.fence)
            return await super().run(lease, *rest)

    gate = Mistaken(real=True)
    gate.open.set()
    await stand.watcher(execution=gate, METAL_CONCURRENCY="2", WATCHER_MAX_CRASHES="2").start()
    await stand.debug("bad", "good")
    bad, good = await stand.ended("bad", "good")
    assert (bad["error_type"], good["status"]) == ("poison", "done")


async def test_a_slot_is_free_while_outputs_are_stored(stand: Stand) -> None:
    """Speech is not held up by a disk: the next body begins when the last is over, and its lease stands till its end.

    No more are storing than there are slots, so that a slow store does not pile up work.
    """
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="1", METAL_QUEUE_MAX="5").start()
    await stand.debug("a", "b", "c")
    await wait_until(lambda: gate.ids() == ["a"])
    gate.leave_slot("a")
    await wait_until(lambda: gate.ids() == ["a", "b"], what="the next body, while the outputs of the first are stored")
    assert (watcher.life.in_hand.unanswered, watcher.life.in_hand.in_slots) == (2, 1)
    gate.leave_slot("b")
    await wait_until(lambda: watcher.life.in_hand.in_slots == 0)
    assert watcher.life.in_hand.free(1) == 0
    gate.let("a")
    await wait_until(lambda: gate.ids() == ["a", "b", "c"])
    gate.open.set()
    await stand.ended("a", "b", "c")


async def test_the_surplus_of_two_lanes_goes_back_at_no_cost(stand: Stand) -> None:
    """COUNT is per stream: with one slot and two lanes, what came too much waits again, no attempt and no death."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="1").start()
    # Both lanes are filled in one transaction, so that the one blocked read is given an entry of each.
    await wait_until(lambda: watcher.life.conductor.leads)

    async def parked_in_a_read() -> bool:
        clients: Any = await stand.queue.client.client_list()
        return any(each["cmd"] == "xreadgroup" and "b" in each["flags"] for each in clients)

    await wait_until(parked_in_a_read, what="the lane reader is blocked")
    await stand.submit({"request_id": "speech", **SPEECH_JOB}, {"request_id": "any", "task": "debug", "payload": {}})
    await wait_until(lambda: gate.running)
    await wait_until(lambda: watcher.life.conductor.leads)
    first = gate.ids()[0]
    other = {"speech": "any", "any": "speech"}[first]

    async def back_and_waiting() -> bool:
        row = await stand.row(other)
        return row is not None and row.state == "Q"

    await wait_until(back_and_waiting)
    row = await stand.row(other)
    assert row is not None
    assert (row.attempt, row.deaths, row.crashes) == (0, 0, 0)
    gate.open.set()
    records = await stand.ended("speech", "any")
    assert [record["attempt"] for record in records] == [1, 1]
    assert gate.most == 1
    assert await stand.length(ANY) == await stand.length(SPEECH) == 0


async def test_a_lost_start_reply_starts_the_job_again_under_a_new_fence(stand: Stand, valkey: RealServer) -> None:
    """Row 7: leased on the server, never seen here; found by comparing the pending list, run once, recorded once."""
    gate = Gate()
    gate.open.set()
    async with FaultProxy(valkey.port) as proxy:
        slow: dict[str, Any] = {"WATCHER_SESSION_TTL": "3600", "WATCHER_POLL_INTERVAL": "600"}
        watcher = await stand.watcher(execution=gate, url=proxy.url, **slow).start()
        await stand.debug("before")
        await stand.ended("before")
        trap = proxy.trap_reply(b"lane:metal:any\r\n", then="reset")
        gate.open.clear()
        await stand.debug("a")
        await wait_until(trap.caught.is_set, what="a reply about the lane was dropped")
        await wait_until(lambda: "a" in gate.ids())
        row = await stand.row("a")
        assert row is not None
        assert row.fence == gate.begun[-1].fence
        assert (row.attempt, row.deaths) == (0, 0)
        gate.open.set()
        (record,) = await stand.ended("a")
        assert record["fence"] == int(gate.begun[-1].fence)
        assert gate.ids() == ["before", "a"]
        await watcher.finish()


async def test_an_entry_delivered_and_never_seen_is_started(stand: Stand) -> None:
    """The reply of a blocked read was lost: the entry is pending under this session and unleased; it is started."""
    gate = Gate()
    watcher = stand.watcher(execution=gate)
    await watcher.life.open()
    await stand.debug("a")
    conducting = asyncio.create_task(watcher.life.conductor.run_once())
    await wait_until(lambda: stand.length(ANY), what="a in the lane")
    await conducting
    key = stand.queue.keys.stream(ANY)
    assert await stand.queue.client.xreadgroup("watchers", watcher.session, {key: ">"}, count=1)
    watcher.run()
    await wait_until(lambda: gate.running)
    gate.open.set()
    (record,) = await stand.ended("a")
    assert (record["attempt"], gate.ids()) == (1, ["a"])


async def test_suspects_run_one_at_a_time_beside_ordinary_work(stand: Stand) -> None:
    """Two jobs that were running at two deaths: the second waits for the first; others run meanwhile."""
    gate = Gate()
    await stand.debug("s1", "s2", "o1", "o2")
    await stand.suspect("s1", "s2")
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="4").start()
    await wait_until(lambda: len(gate.running) == 3, what="one suspect and two others")
    running = {lease.request_id for lease in gate.running.values()}
    assert {"o1", "o2"} < running
    (suspect,) = running - {"o1", "o2"}
    (second,) = {"s1", "s2"} - running
    assert watcher.life.in_hand.suspects_running == 1
    gate.let(suspect)
    await wait_until(lambda: second in gate.ids(), 10, what="the second suspect after the first")
    gate.open.set()
    records = await stand.ended("s1", "s2", "o1", "o2")
    assert {record["attempt"] for record in records} == {1}


async def test_a_suspect_that_was_put_off_is_left_as_it_was(stand: Stand) -> None:
    """It was never started: at the end it waits, delayed, and another watcher may have it."""
    gate = Gate()
    await stand.debug("s1", "s2")
    await stand.suspect("s1", "s2")
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="2").start()

    async def put_off() -> bool:
        rows = [await stand.row(each) for each in ("s1", "s2")]
        return bool(gate.running) and sorted(row.state for row in rows if row) == ["D", "L"]

    await wait_until(put_off, what="one suspect runs and the other one is put off")
    await watcher.finish(hurry=True)
    rows = [await stand.row(each) for each in ("s1", "s2")]
    assert sorted((row.state, row.deaths) for row in rows if row) == [("D", 2), ("Q", 2)]


async def test_a_pending_entry_that_was_deleted_by_hand_is_payload_lost_alone(stand: Stand) -> None:
    """Row 16: its record says so, its neighbours run, the pending list is clean."""
    gate = Gate()
    await stand.debug("a", "b", "c")
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="1", METAL_QUEUE_MAX="3").start()
    await wait_until(lambda: gate.running)
    running = gate.ids()[0]
    victim = next(each for each in "abc" if each != running)

    async def in_lane() -> bool:
        row = await stand.row(victim)
        return row is not None and row.stream == ANY

    await wait_until(in_lane)
    row = await stand.row(victim)
    assert row is not None
    key = stand.queue.keys.stream(ANY)
    await stand.queue.client.xreadgroup("watchers", watcher.session, {key: ">"}, count=5)
    await stand.queue.client.xdel(key, row.entry)
    gate.open.set()
    records = {record["request_id"]: record for record in await stand.ended("a", "b", "c")}
    assert records[victim]["status"] == "failed"
    assert records[victim]["error_type"] == "payload_lost"
    assert [records[each]["status"] for each in "abc" if each != victim] == ["done", "done"]
    assert victim not in gate.ids()


async def test_a_deleted_lane_gets_its_group_again_from_the_first_entry(own_stand: Stand) -> None:
    """Row 12, DEL: jobs submitted afterwards run, and no loop runs hot meanwhile."""
    watcher = await own_stand.watcher().start()
    await own_stand.debug("before")
    await own_stand.ended("before")
    for lane in (ANY, SPEECH):
        await own_stand.queue.client.delete(own_stand.queue.keys.stream(lane))
    before = await own_stand.calls()
    began = watcher.clock.elapsed()

    async def mended() -> bool:
        return bool(await own_stand.queue.client.exists(own_stand.queue.keys.stream(ANY)))

    await wait_until(mended)
    await wait_until(lambda: watcher.clock.elapsed() - began > 1.2, what="three intervals")
    assert await own_stand.calls() - before < 600
    groups: Any = await own_stand.queue.client.xinfo_groups(own_stand.queue.keys.stream(ANY))
    assert len(groups) == 1
    await own_stand.debug("after")
    await own_stand.ended("after", seconds=5)


async def test_flushall_ends_the_life_and_the_next_one_works(own_stand: Stand) -> None:
    """Row 12, FLUSHALL: the session is gone with everything else; a new life makes lanes and groups and goes on."""
    gate = Gate()
    watcher = await own_stand.watcher(execution=gate).start()
    await own_stand.debug("before")
    await wait_until(lambda: gate.running)
    await own_stand.queue.client.flushall()
    before = await own_stand.calls()
    with pytest.raises(SessionLostError):
        await watcher.ended()
    assert await own_stand.calls() - before < 600
    assert gate.stopped == ["before"]
    watcher.new_life()
    await watcher.start()
    gate.open.set()
    await own_stand.debug("after")
    assert (await own_stand.ended("after"))[0]["status"] == "done"


async def test_a_body_cancelled_before_its_first_step_frees_its_slot(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cancel word that is quicker than the body's first step must not cost the watcher a slot for ever."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="1").start()
    take = LaneReader._take
    early: list[str] = []

    def take_and_stop(lane: LaneReader, started: Started) -> None:
        take(lane, started)
        for lease in started.leases:
            if not early:
                early.append(lease.fence)
                watcher.life.in_hand.stop(lease.fence)

    monkeypatch.setattr(LaneReader, "_take", take_and_stop)
    await stand.debug("a")
    await wait_until(lambda: early)
    gate.open.set()
    # The lease still stands on the server: the comparison finds it within S and runs it in the slot that is free.
    (record,) = await stand.ended("a", seconds=5)
    assert record["fence"] != int(early[0])


async def test_what_is_answered_during_the_comparison_is_not_taken_for_missing(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit between the server's list and its arrival: no start, no walk through the whole index."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="2").start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    listed = leasing.pending_entries
    asked: list[Entry] = []
    start = LaneReader._start

    async def counted(lane: LaneReader, entries: Sequence[Entry], read: int) -> Started:
        asked.extend(entries)
        return await start(lane, entries, read)

    async def late(*given: Any) -> list[Entry]:
        found = await listed(*given)
        if found:
            gate.open.set()
            await wait_until(lambda: not watcher.life.in_hand.leases(), what="the ending is committed")
        return found

    monkeypatch.setattr(LaneReader, "_start", counted)
    monkeypatch.setattr(leasing, "pending_entries", late)
    before = watcher.life.lanes.readers["metal"]._compared_at
    await stand.ended("a")
    await wait_until(lambda: watcher.life.lanes.readers["metal"]._compared_at > before, what="the comparison has ended")
    assert asked == []
