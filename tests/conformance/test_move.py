"""From intake to lane: the leader's epoch and every limit hold in the step that moves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from lib.errors import NotLeaderError, QueueError
from lib.jobqueue.moves import Move
from lib.redisqueue import conducting, sessions
from lib.redisqueue.queue import BATCH_MAX_BYTES
from tests.conformance.stage import CLOUD, METAL, Stage, ending, submission

HIGH = "stream:high:speech"


def order(**more: object) -> Move:
    """An order with room to spare."""
    plain = Move("stream", METAL, 100, 1000, (METAL, CLOUD), 1000)
    return replace(plain, **more)  # type: ignore[arg-type]  # the fields of Move, each by its name


async def test_first_come_first_served(stage: Stage) -> None:
    """The head of an intake moves, in order, and the entry says where it goes back to."""
    await stage.submit(*(submission(name) for name in "abc"))
    assert (await stage.order(order(count=2))).counts == (2,)
    lane = (await stage.check()).lanes[METAL]
    assert [(fields["id"], fields["home"]) for fields in lane.values()] == [("a", HIGH), ("b", HIGH)]
    assert await stage.place("c") == "Q stream"
    assert await stage.told("moved") == ["a", "b"]


async def test_a_lane_is_never_filled_beyond_its_room(stage: Stage) -> None:
    """`limit` counts what waits and what runs in the lane, whatever the leader believed."""
    session = await stage.open()
    await stage.lease(session, "running")
    await stage.submit(*(submission(f"j{i}") for i in range(5)))
    assert (await stage.order(order(limit=3))).counts == (2,)
    assert (await stage.order(order(limit=3))).counts == (0,)
    assert await stage.length(METAL) == 3


async def test_the_pool_holds_over_all_its_lanes(stage: Stage) -> None:
    """`pool_limit` counts all lanes of the pool, also within one call."""
    await stage.submit(*(submission(f"j{i}") for i in range(9)))
    moved = await stage.order(order(count=3, pool_limit=4), order(lane=CLOUD, pool_limit=4))
    assert moved.counts == (3, 1)


async def test_one_call_to_two_lanes_gives_equal_ids_and_both_run(real_stage: Stage) -> None:
    """Both entries come to have one id: the place is (stream, entry), never the entry."""
    stage = real_stage
    session = await stage.open()
    for turn in range(50):  # the older server lets time pass in a script: a call may end in the next millisecond
        a, b = f"a{turn}", f"b{turn}"
        await stage.submit(submission(a), submission(b))
        await stage.order(order(count=1), order(count=1, lane=CLOUD))
        first, second = await stage.active(a), await stage.active(b)
        assert (first.stream, second.stream) == (METAL, CLOUD)
        assert [lease.request_id for lease in await stage.start(session, lane=CLOUD)] == [b]
        leases = await stage.start(session)
        assert [lease.request_id for lease in leases] == [a]
        if first.entry == second.entry:
            return
        await stage.finish(session, ending(leases[0]))
    pytest.fail("no two entries have got one id")


async def test_only_the_leader_of_this_epoch_moves(stage: Stage) -> None:
    """A session that is not the leader, an old epoch, or an ended session moves nothing."""
    await stage.submit(submission("a"))
    await stage.order(order(count=0))
    other = await stage.open()
    for session, epoch in ((other, stage.epoch), (stage.leader, "1"), ("ghost:1", stage.epoch)):
        with pytest.raises(NotLeaderError):
            await conducting.move(stage.queue, session, epoch, [order()])
    await stage.kill(stage.leader)
    with pytest.raises(NotLeaderError):
        await conducting.move(stage.queue, stage.leader, stage.epoch, [order()])
    assert await stage.place("a") == "Q stream"


async def test_the_lead_passes_on_when_its_session_is_gone(stage: Stage) -> None:
    """The lock is free when the leader's session is; a new epoch ends the old one."""
    await stage.lead()
    other = await stage.open()
    assert not (await sessions.lead(stage.queue, other)).mine
    assert (await sessions.lead(stage.queue, stage.leader)).epoch == stage.epoch
    await stage.kill(stage.leader)
    lead = await sessions.lead(stage.queue, other)
    assert lead.mine
    assert int(lead.epoch) > int(stage.epoch)
    assert (await sessions.lead(stage.queue, other)).epoch == lead.epoch


async def test_a_leader_that_drains_frees_the_lead_at_once(stage: Stage) -> None:
    """Closing a session deletes its lock."""
    await stage.lead()
    assert await sessions.close_session(stage.queue, stage.leader, name="leader")
    other = await stage.open()
    assert (await sessions.lead(stage.queue, other)).mine


async def test_the_byte_budget_bounds_a_call(stage: Stage) -> None:
    """A call moves at most 512 KiB and the one entry that passes it; the rest follows in the next call."""
    big = "x" * 100_000
    await stage.submit(*(submission(f"j{i}", content=big) for i in range(12)))
    assert 6 * len(big) > BATCH_MAX_BYTES
    assert (await stage.order(order())).counts == (6,)
    assert (await stage.order(order())).counts == (6,)


async def test_streams_that_become_known_meanwhile_are_not_in_its_survey(stage: Stage) -> None:
    """Another duty learns of an intake while the reply is on its way: the counts belong to what was asked."""
    await stage.lead()
    asked = set(stage.queue.intakes)
    looking = asyncio.create_task(conducting.move(stage.queue, stage.leader, stage.epoch, []))
    await asyncio.sleep(0)
    stage.queue.know_intakes(["stream:low:speech"])
    assert set((await looking).survey.waiting) == asked


async def test_the_survey_says_what_stands_where(stage: Stage) -> None:
    """Waiting, held, the next due time and the newest entry of the inlet, as of the end of the call."""
    await stage.submit(submission("a"), submission("b"), submission("later", due_ms=await stage.now_ms() + 90_000))
    survey = (await stage.order(order(count=1))).survey
    assert survey.waiting["stream"] == 1
    assert survey.held == {CLOUD: 0, METAL: 1}
    assert survey.due_in_ms is not None
    assert 0 < survey.due_in_ms <= 90_000
    assert survey.newest == (await stage.active("b")).entry


async def test_without_orders_it_only_looks(stage: Stage) -> None:
    """A round that has nothing to move still learns what stands where."""
    await stage.lead()
    moved = await conducting.move(stage.queue, stage.leader, stage.epoch, [])
    assert (moved.counts, moved.foreign, moved.survey.due_in_ms, moved.survey.newest) == ((), (), None, "")


@pytest.mark.parametrize("wrong", [{"lane": "lane:gone:speech"}, {"pool": ("lane:gone:speech",)}])
async def test_an_order_that_names_an_unknown_lane_moves_nothing_at_all(stage: Stage, wrong: dict[str, object]) -> None:
    """Lua is not rolled back: the orders are checked before the first of them is carried out."""
    await stage.submit(submission("a"))
    await stage.order(order(count=0))
    with pytest.raises(QueueError, match="gone"):
        await conducting.move(stage.queue, stage.leader, stage.epoch, [order(pool=(METAL,)), order(**wrong)])
    assert await stage.place("a") == "Q stream"


async def test_a_stale_entry_at_the_head_does_not_move(stage: Stage) -> None:
    """An entry of a generation that is over is foreign to the index and never reaches a lane."""
    await stage.submit(submission("a"))
    old = await stage.active("a")
    await stage.cancel("a")
    await stage.submit(submission("a", content="b"), mode="replace")
    await stage.by_hand({"id": "a", "gen": old.generation, "job": "old"})
    moved = await stage.order(order())
    assert (moved.counts, len(moved.foreign)) == ((1,), 1)


async def test_hand_added_entries_beyond_the_report_are_not_walked(stage: Stage) -> None:
    """A million entries by hand must not stall the server in one call: after fifty the order ends."""
    for _ in range(70):
        await stage.by_hand({"junk": "x"})
    moved = await stage.order(order())
    assert (moved.counts, len(moved.foreign)) == ((0,), 50)
