"""Leasing: a fence for what the index places here, and an own answer for everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.errors import SessionLostError
from lib.jobqueue.protocol import SUSPECT_DEATHS
from lib.redisqueue import conducting, leasing, sessions
from lib.redisqueue.queue import BATCH_MAX_BYTES
from tests.conformance.stage import CLOUD, METAL, Stage, ending, submission

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Started


async def named(stage: Stage, session: str, *entries: str, suspects: int = 1, again: bool = False) -> Started:
    """Start entries of the metal lane by name."""
    return await leasing.start(
        stage.queue, session, [METAL], entries=[(METAL, entry) for entry in entries], suspects=suspects, again=again
    )


async def make_suspect(stage: Stage, *request_ids: str) -> None:
    """Let a watcher die twice while these run; they wait in the lane again."""
    await stage.submit(*(submission(request_id) for request_id in request_ids))
    await stage.move()
    for _ in range(SUSPECT_DEATHS):
        session = await stage.open("dier")
        assert len(await stage.start(session, suspects=0)) == len(request_ids)
        await stage.kill(session)
        await stage.move("stream:high:speech")


async def test_a_read_takes_fences_that_rise_and_differ(stage: Stage) -> None:
    """Each lease has its own fence, higher than every one before."""
    session = await stage.open()
    leases = await stage.lease(session, "a", "b", "c")
    fences = [int(lease.fence) for lease in leases]
    assert fences == sorted(set(fences))
    assert [(lease.request_id, lease.job) for lease in leases] == [(i, submission(i).job) for i in "abc"]
    row = await stage.active("a")
    assert (row.state, row.session, row.fence) == ("L", session, leases[0].fence)
    assert await stage.told("started") == ["a", "b", "c"]


async def test_a_read_takes_no_more_than_it_asks_for_over_all_lanes(stage: Stage) -> None:
    """COUNT is per stream in XREADGROUP; `read` is a sum over the lanes."""
    session = await stage.open()
    await stage.submit(*(submission(f"j{i}") for i in range(6)))
    await stage.move(count=3)
    await stage.move(lane=CLOUD, count=3)
    started = await leasing.start(stage.queue, session, [METAL, CLOUD], read=4)
    assert [lease.lane for lease in started.leases] == [METAL] * 3 + [CLOUD]


async def test_a_read_takes_no_more_than_one_call_may_carry(stage: Stage) -> None:
    """Big jobs are leased a few at a time; the others are neither pending nor lost, and the next call has them."""
    session = await stage.open()
    await stage.submit(*(submission(f"big-{i}", content="x" * 200_000) for i in range(8)))
    await stage.submit(submission("small"))
    for _ in range(8):
        await stage.move()
    first = await stage.start(session, read=9)
    assert sum(len(lease.job) for lease in first) < BATCH_MAX_BYTES + 200_100
    assert len(await stage.pending()) == len(first)
    taken = list(first)
    while more := await stage.start(session, read=9):
        taken += more
    assert [lease.request_id for lease in taken] == [*(f"big-{i}" for i in range(8)), "small"]


async def test_a_wait_delivers_one_of_each_lane_and_start_takes_it(stage: Stage) -> None:
    """Idle: a blocked read wakes with an entry that is pending and not leased; `start` by name leases it."""
    session = await stage.open()
    await stage.submit(submission("a"), submission("b"))
    await stage.move()
    entries = await leasing.wait_for_entries(stage.queue, stage.queue.client, session, [METAL], block_ms=1)
    assert len(entries) == 1
    assert await stage.place("a") == f"Q {METAL}"
    started = await leasing.start(stage.queue, session, [METAL], entries=entries)
    assert [lease.request_id for lease in started.leases] == ["a"]


async def test_an_ended_session_starts_nothing(stage: Stage) -> None:
    """Promise 4: a session that was removed never returns."""
    session = await stage.open()
    await stage.submit(submission("a"))
    await stage.move()
    await stage.kill(session)
    with pytest.raises(SessionLostError):
        await stage.start(session)
    assert (await stage.active("a")).state == "Q"


async def test_the_own_lease_again_gets_a_new_fence(stage: Stage) -> None:
    """After a lost reply a session starts its own pending entries again; the first fence is void."""
    session = await stage.open()
    (lost,) = await stage.lease(session, "a")
    assert await leasing.pending_entries(stage.queue, session, [METAL]) == [(METAL, lost.entry)]
    (lease,) = (await named(stage, session, lost.entry, again=True)).leases
    assert int(lease.fence) > int(lost.fence)
    assert await stage.finish(session, ending(lost)) == ["refused"]
    assert await stage.finish(session, ending(lease)) == ["ok"]


async def test_what_runs_here_is_not_started_again_by_a_rewound_group(stage: Stage) -> None:
    """A group destroyed and made anew delivers from its first entry: the running body keeps its fence."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.queue.client.xgroup_destroy(stage.queue.keys.stream(METAL), "watchers")
    await stage.queue.client.xgroup_create(stage.queue.keys.stream(METAL), "watchers", id="0")
    started = await leasing.start(stage.queue, session, [METAL], read=5)
    assert (started.leases, started.others) == ((), 1)
    assert await stage.finish(session, ending(lease)) == ["ok"]


async def test_another_live_sessions_lease_is_claimed_back_to_it(stage: Stage) -> None:
    """A steal by XCLAIM does not stick: the index says whose lease it is."""
    owner, thief = await stage.open(), await stage.open("thief")
    (lease,) = await stage.lease(owner, "a")
    await stage.queue.client.xclaim(stage.queue.keys.stream(METAL), "watchers", thief, 0, [lease.entry])
    started = await named(stage, thief, lease.entry)
    assert (started.leases, started.others) == ((), 1)
    assert await stage.pending() == {lease.entry: owner}
    assert await stage.finish(owner, ending(lease)) == ["ok"]


async def test_a_dead_sessions_lease_is_left_to_the_sweep(stage: Stage) -> None:
    """Met before the sweep came by, it is the dead one's again: the sweep counts the death, and tells what it did."""
    dead, live = await stage.open(), await stage.open("live")
    (lease,) = await stage.lease(dead, "a")
    await sessions.close_session(stage.queue, dead, name="w")
    await stage.queue.client.xclaim(stage.queue.keys.stream(METAL), "watchers", live, 0, [lease.entry])
    assert (await named(stage, live, lease.entry)).others == 1
    assert await stage.pending() == {lease.entry: dead}
    assert (await stage.active("a")).deaths == 0
    await stage.sweep()
    row = await stage.active("a")
    assert (row.state, row.stream, row.deaths) == ("Q", "stream:high:speech", 1)


async def test_a_stale_entry_is_removed_where_it_is_met(stage: Stage) -> None:
    """XACK and XDEL in one step: neither the stream nor the pending list keeps it."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    ghost = await stage.by_hand({"id": "a", "gen": lease.generation, "job": "x"}, stream=METAL)
    assert (await leasing.start(stage.queue, session, [METAL], read=5)).others == 1
    assert ghost not in await stage.pending()
    # Neither in the stream nor pending, it is nobody's payload: a cancel may have taken it meanwhile.
    assert (await named(stage, session, ghost)).lost == ()


async def test_a_bad_entry_fails_none_of_its_neighbours(stage: Stage) -> None:
    """Promise 7: each entry is answered in its own slot."""
    session = await stage.open()
    await stage.submit(submission("a"), submission("b"))
    await stage.move(count=1)
    await stage.by_hand({"junk": b"\xff"}, stream=METAL)
    await stage.move()
    started = await leasing.start(stage.queue, session, [METAL], read=10)
    assert ([lease.request_id for lease in started.leases], started.others) == (["a", "b"], 1)


async def test_a_payload_removed_by_hand_is_told_as_lost(stage: Stage) -> None:
    """Faults row 16: pending without an entry is named, for the caller to condemn."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.queue.client.xdel(stage.queue.keys.stream(METAL), lease.entry)
    assert (await named(stage, session, lease.entry)).lost == ((METAL, lease.entry),)
    stage.damaged("the entry was removed by hand and the job still runs")


async def test_suspects_run_one_at_a_time_and_the_others_are_put_off(stage: Stage) -> None:
    """While one runs here the next is delayed for a moment, so that another watcher may have it; nothing is counted."""
    await make_suspect(stage, "a", "b")
    session = await stage.open()
    started = await leasing.start(stage.queue, session, [METAL], read=2, suspects=1)
    assert [(lease.request_id, lease.suspect) for lease in started.leases] == [("a", True)]
    assert started.others == 1
    row = await stage.active("b")
    assert (row.state, row.reason, row.attempt, row.deaths) == ("D", "retry", 0, SUSPECT_DEATHS)
    await stage.come_due("b")
    await conducting.queue_due(stage.queue)
    await stage.move("stream:high:speech")
    elsewhere = await stage.open("other")
    (lease,) = (await leasing.start(stage.queue, elsewhere, [METAL], read=2, suspects=1)).leases
    assert (lease.request_id, lease.deaths) == ("b", SUSPECT_DEATHS)


async def test_suspects_do_not_hold_up_ordinary_work(stage: Stage) -> None:
    """A watcher that may run no suspect still starts everything else."""
    await make_suspect(stage, "a")
    await stage.submit(submission("b"))
    await stage.move()
    session = await stage.open()
    started = await leasing.start(stage.queue, session, [METAL], read=9, suspects=0)
    assert [lease.request_id for lease in started.leases] == ["b"]
    assert await stage.pending() == {started.leases[0].entry: session}


async def test_a_long_pending_list_is_read_to_its_end(stage: Stage) -> None:
    """The comparison with what is in hand follows the list page by page."""
    session = await stage.open()
    leases = await stage.lease(session, *(f"j{i}" for i in range(1200)))
    assert len(leases) == 1200
    pending = await leasing.pending_entries(stage.queue, session, [METAL])
    assert pending == [(METAL, lease.entry) for lease in leases]
