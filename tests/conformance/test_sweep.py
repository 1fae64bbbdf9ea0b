"""The sweep: ends what lapsed, takes back what the dead held, and spares the living (promises 6 and 7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.jobqueue.protocol import POISON_SUSPECT_DEATHS, SUSPECT_DEATHS, LostEntry, Verdict
from lib.redisqueue import leasing, sessions, upkeep
from tests.conformance.stage import CLOUD, INTERVAL_MS, LIFE_MS, METAL, Stage, ending, submission, tail

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease

HIGH = "stream:high:speech"


async def age_sweep(stage: Stage, milliseconds: int) -> None:
    """Pretend that the last sweep was so long ago, or in the future when negative."""
    await stage.queue.client.hset(stage.queue.keys.of("sweep"), "at", str(await stage.now_ms() - milliseconds))


async def expire_in(stage: Stage, session: str, milliseconds: int) -> None:
    """Set a session's end relative to now."""
    end = await stage.now_ms() + milliseconds
    await stage.queue.client.zadd(stage.queue.keys.of("sessions"), {session: end})


async def consumers(stage: Stage, lane: str = METAL) -> set[str]:
    """The names that the lane's group knows."""
    found = await stage.queue.client.xinfo_consumers(stage.queue.keys.stream(lane), "watchers")
    return {item["name"].decode() for item in found}


async def test_one_sweep_an_interval_is_let_through(stage: Stage) -> None:
    """Every watcher sweeps; the server lets one through per S and says when the next may come."""
    assert (await stage.sweep(force=False)).ran
    second = await stage.sweep(force=False)
    assert (second.ran, 0 < second.next_in_ms <= INTERVAL_MS) == (False, True)
    await age_sweep(stage, int(INTERVAL_MS * 0.95))
    assert (await stage.sweep(force=False)).ran
    assert (await stage.sweep()).ran


async def test_the_dead_ones_jobs_go_back_and_the_living_keep_theirs(stage: Stage) -> None:
    """Promise 6: to the high intake, deaths counted for what ran, the session gone with its heartbeat."""
    dead, live = await stage.open(), await stage.open("live")
    await stage.lease(dead, "a", "b")
    (kept,) = await stage.lease(live, "c")
    swept = await stage.kill(dead)
    assert (swept.ended, swept.put_back) == ((dead,), 2)
    row = await stage.active("a")
    assert (row.state, row.stream, row.deaths, row.attempt) == ("Q", HIGH, 1, 0)
    assert await stage.place("c") == f"L {METAL}"
    assert await consumers(stage) == {live}
    assert b"w" not in await stage.queue.client.hgetall(stage.queue.keys.of("heartbeat"))
    assert await stage.finish(live, ending(kept)) == ["ok"]


async def test_what_was_delivered_and_not_leased_counts_no_death(stage: Stage) -> None:
    """Promise 7: a watcher's death touches only jobs whose body was running."""
    dead = await stage.open()
    await stage.submit(submission("a"))
    await stage.move()
    await leasing.wait_for_entries(stage.queue, stage.queue.client, dead, [METAL], block_ms=1)
    assert (await stage.kill(dead)).put_back == 1
    assert (await stage.active("a")).deaths == 0


async def test_a_reader_that_was_never_a_session_is_swept_too(stage: Stage) -> None:
    """A stopped client is still fed after its consumer was deleted: the name is no session, so it goes back."""
    await stage.open("live")
    await stage.submit(submission("a"))
    await stage.move()
    await stage.queue.client.xreadgroup("watchers", "ghost:9", {stage.queue.keys.stream(METAL): ">"})
    assert (await stage.sweep()).put_back == 1
    assert await consumers(stage) == set()


@pytest.mark.parametrize("gap", [3 * INTERVAL_MS, 3_600_000, -3_600_000])
async def test_a_session_ages_only_while_the_server_is_seen(stage: Stage, gap: int) -> None:
    """Server down, paused or its clock stepped: every expiry moves by the gap, and nobody is reaped for it."""
    session = await stage.open()
    await stage.lease(session, "a")
    left = LIFE_MS // 2
    # What the session's end looks like after the gap: it was set `gap` ago with `left` to live.
    await expire_in(stage, session, left - gap)
    await expire_in(stage, stage.leader, left - gap)
    await age_sweep(stage, gap)
    swept = await stage.sweep(force=False)
    assert (swept.ran, swept.ended) == (True, ())
    end = (await stage.check()).sessions[session]
    assert abs(end - (await stage.now_ms() + left)) < INTERVAL_MS
    assert await stage.place("a") == f"L {METAL}"


async def test_a_session_that_renewed_after_the_clock_stepped_back_is_not_set_back_again(stage: Stage) -> None:
    """Its end is already in the new time: moved once more it would be reaped alive."""
    await age_sweep(stage, -3_600_000)
    session = await stage.open()
    await stage.lease(session, "a")
    swept = await stage.sweep(force=False)
    assert (swept.ran, swept.ended) == (True, ())
    assert await stage.place("a") == f"L {METAL}"


async def test_a_gap_never_gives_more_than_one_life(stage: Stage) -> None:
    """Beyond TIME + L no session is lifted, so a flapping server does not spare the dead for ever."""
    session = await stage.open()
    await age_sweep(stage, 3_600_000)
    await stage.sweep(force=False)
    assert (await stage.check()).sessions[session] <= await stage.now_ms() + LIFE_MS


async def test_an_ordinary_gap_moves_nothing(stage: Stage) -> None:
    """Up to 2 S between two sweeps is ordinary: what lapsed is reaped."""
    session = await stage.open()
    await expire_in(stage, session, -1)
    await age_sweep(stage, 2 * INTERVAL_MS - 500)
    assert (await stage.sweep(force=False)).ended == (session,)


async def test_waiting_jobs_of_a_lane_without_readers_go_back(stage: Stage) -> None:
    """A lane whose readers are all gone must not hold what another backend could run."""
    dead = await stage.open()
    (lease,) = await stage.lease(dead, "a")
    await stage.submit(submission("b"))
    await stage.move()
    assert (await stage.kill(dead)).put_back == 2
    assert await stage.place("b") == f"Q {HIGH}"
    assert (await stage.active("b")).deaths == 0
    assert await stage.length(lease.lane) == 0


async def test_waiting_jobs_of_a_lane_with_a_reader_stay(stage: Stage) -> None:
    """One live reader is enough, however many died beside it."""
    dead, live = await stage.open(), await stage.open("live")
    await stage.lease(live, "l")
    await stage.lease(dead, "a")
    await stage.submit(submission("b"))
    await stage.move()
    assert (await stage.kill(dead)).put_back == 1
    assert await stage.place("b") == f"Q {METAL}"


async def test_5000_pending_of_which_the_last_is_the_dead_ones(stage: Stage) -> None:
    """Faults row 20: however long the living one's list is, the one entry behind it is found at once."""
    live, dead = await stage.open("live"), await stage.open()
    leases = await stage.lease(live, *(f"j{i}" for i in range(4999)))
    assert len(leases) == 4999
    await stage.lease(dead, "last")
    assert (await stage.kill(dead)).put_back == 1
    assert await stage.place("last") == f"Q {HIGH}"
    assert await stage.place("j0") == f"L {METAL}"


async def test_1201_entries_of_one_dead_consumer_all_go_back_in_one_sweep(stage: Stage) -> None:
    """At most 500 a step, and the sweep goes on until nothing is left."""
    dead = await stage.open()
    await stage.lease(dead, *(f"j{i}" for i in range(1201)))
    assert (await stage.kill(dead)).put_back == 1201
    assert await consumers(stage) == set()
    assert await stage.length(METAL) == 0


async def test_a_job_behind_1200_stale_entries_is_found_in_the_same_sweep(stage: Stage) -> None:
    """Entries that are only thrown away are progress too: the sweep does not stop before it reaches the job."""
    dead = await stage.open()
    await stage.open("live")
    async with stage.queue.client.pipeline(transaction=False) as pipe:
        for _ in range(1200):
            pipe.xadd(stage.queue.keys.stream(METAL), {"junk": "x"})
        await pipe.execute()
    await sessions.ensure_lanes(stage.queue, [METAL])
    await stage.submit(submission("a"))
    await stage.move()
    await stage.queue.client.xreadgroup("watchers", dead, {stage.queue.keys.stream(METAL): ">"}, count=5000)
    assert (await stage.kill(dead)).put_back == 1
    assert await stage.place("a") == f"Q {HIGH}"
    assert await stage.length(METAL) == 0


async def test_big_payloads_are_taken_back_in_bounded_steps(stage: Stage) -> None:
    """512 KiB a step; all of it comes back all the same."""
    dead = await stage.open()
    await stage.lease(dead, *(f"i{i}" for i in range(5)), content="x" * 100_000)
    await stage.lease(dead, *(f"j{i}" for i in range(5)), content="x" * 100_000)
    await stage.lease(dead, *(f"k{i}" for i in range(4)), content="x" * 100_000)
    assert (await stage.kill(dead)).put_back == 14


async def test_a_consumer_with_something_pending_is_never_deleted(stage: Stage) -> None:
    """DELCONSUMER strands what is pending, so a consumer with a lost entry stays until that is settled."""
    dead = await stage.open()
    one, two = await stage.lease(dead, "a", "b")
    await stage.queue.client.xdel(stage.queue.keys.stream(METAL), one.entry)
    swept = await stage.kill(dead)
    assert (swept.lost, swept.put_back) == ((LostEntry(METAL, one.entry),), 1)
    assert await consumers(stage) == {dead}
    row = await stage.active("a")
    verdict = Verdict("a", row.generation, METAL, one.entry, tail("a"), lost=True)
    assert await upkeep.condemn(stage.queue, [verdict]) == [True]
    assert (await stage.record("a"))["identity"] == "lost"
    await stage.sweep()
    assert await consumers(stage) == set()
    assert await stage.place(two.request_id) == f"Q {HIGH}"


async def test_a_lost_entry_that_no_row_names_can_be_dropped(stage: Stage) -> None:
    """Added and removed by hand: nothing of it is anybody's job."""
    dead = await stage.open()
    await stage.open("live")
    await sessions.ensure_lanes(stage.queue, [METAL])
    entry = await stage.by_hand({"junk": "x"}, stream=METAL)
    await stage.queue.client.xreadgroup("watchers", dead, {stage.queue.keys.stream(METAL): ">"})
    await stage.queue.client.xdel(stage.queue.keys.stream(METAL), entry)
    (lost,) = (await stage.kill(dead)).lost
    await upkeep.drop_unowned(stage.queue, lost)
    await stage.sweep()
    assert await consumers(stage) == set()


async def test_a_thousand_dead_readers_without_entries_are_removed(stage: Stage) -> None:
    """Faults row 17: names pile up, and go in one sweep."""
    live = await stage.open("live")
    await stage.lease(live, "a")
    async with stage.queue.client.pipeline(transaction=False) as pipe:
        for i in range(1000):
            pipe.xgroup_createconsumer(stage.queue.keys.stream(METAL), "watchers", f"ghost:{i}")
        await pipe.execute()
    await stage.sweep()
    assert await consumers(stage) == {live}


async def die_with(stage: Stage, lease_of: str) -> Lease:
    """One watcher leases the job and dies."""
    session = await stage.open("dier")
    for intake in ("stream", HIGH):
        await stage.move(intake)
    leases = await stage.start(session)
    (lease,) = [lease for lease in leases if lease.request_id == lease_of]
    await stage.lapse(session)
    return lease


async def test_poison_is_found_and_its_neighbour_is_unharmed(stage: Stage) -> None:
    """Promise 7: twelve deaths during its runs make a job poison; one beside it in some of them is not."""
    await stage.submit(submission("bad"))
    for death in range(SUSPECT_DEATHS + POISON_SUSPECT_DEATHS - 1):
        await die_with(stage, "bad")
        assert (await stage.sweep()).poison == ()
        assert (await stage.active("bad")).deaths == death + 1
    await stage.submit(submission("good"))
    last = await die_with(stage, "bad")
    swept = await stage.sweep()
    (found,) = swept.poison
    assert (found.request_id, found.entry, found.job) == ("bad", last.entry, submission("bad").job)
    assert found.deaths == SUSPECT_DEATHS + POISON_SUSPECT_DEATHS
    assert (await stage.active("good")).deaths == 1
    verdict = Verdict("bad", found.generation, found.lane, found.entry, tail("bad"))
    assert await upkeep.condemn(stage.queue, [verdict]) == [True]
    await stage.sweep()
    assert await consumers(stage) == set()


async def test_a_lease_stolen_by_a_dead_consumer_goes_back_to_its_living_owner(stage: Stage) -> None:
    """The index names a live session's lease: claimed back to it, never put back."""
    owner = await stage.open()
    (lease,) = await stage.lease(owner, "a")
    await stage.queue.client.xclaim(stage.queue.keys.stream(METAL), "watchers", "ghost:1", 0, [lease.entry])
    assert (await stage.sweep()).put_back == 0
    assert await stage.pending() == {lease.entry: owner}


async def test_a_lost_group_is_made_again_from_the_first_entry(stage: Stage) -> None:
    """NOGROUP: what waits is delivered again, what runs is still the living one's."""
    live = await stage.open()
    (lease,) = await stage.lease(live, "a")
    await stage.submit(submission("b"))
    await stage.move()
    await stage.queue.client.xgroup_destroy(stage.queue.keys.stream(METAL), "watchers")
    assert (await stage.sweep()).mended_lanes == (METAL,)
    other = await stage.open("other")
    for intake in (HIGH,):
        await stage.move(intake)
    assert [found.request_id for found in await stage.start(other)] == ["b"]
    assert await stage.pending() == {lease.entry: live, (await stage.active("b")).entry: other}
    assert await stage.finish(live, ending(lease)) == ["ok"]


async def test_an_interrupted_sweep_is_taken_up_by_the_next(stage: Stage) -> None:
    """Faults row 19: the reaper dies after its first step; whoever sweeps next finishes."""
    dead = await stage.open()
    await stage.lease(dead, *(f"j{i}" for i in range(700)))
    await stage.lapse(dead)
    reply = await stage.queue.scripts.call(
        "sweep",
        intakes=stage.queue.intakes,
        lanes=stage.queue.lanes,
        interval_ms=INTERVAL_MS,
        life_ms=LIFE_MS,
        resume=0,
        force=1,
        deaths_max=12,
        entries_max=500,
        bytes_max=512 * 1024,
    )
    assert (reply[3], reply[4]) == (500, 1)
    await age_sweep(stage, INTERVAL_MS)
    assert (await stage.sweep(force=False)).put_back == 200


async def test_every_lane_is_swept(stage: Stage) -> None:
    """Two lanes, one dead reader in both."""
    dead = await stage.open()
    await stage.lease(dead, "a")
    await stage.lease(dead, "b", lane=CLOUD)
    assert (await stage.kill(dead)).put_back == 2
