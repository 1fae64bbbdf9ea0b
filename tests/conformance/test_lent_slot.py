"""A move that also leases: the leader's own watcher gets a job in the call that brings it to the lane."""

from __future__ import annotations

import pytest

from lib.errors import NotLeaderError, QueueError
from lib.jobqueue.moves import Move, Moved, OwnSlot
from lib.redisqueue import conducting, sessions
from tests.conformance.stage import CLOUD, METAL, Stage, ending, submission

OWN = OwnSlot((METAL,), 1)


async def moved(stage: Stage, *, slot: OwnSlot | None = OWN, count: int = 1, lane: str = METAL) -> Moved:
    """Move the head of the default intake, with a slot to fill."""
    if not stage.epoch:
        await stage.lead()
    await sessions.ensure_lanes(stage.queue, [METAL, CLOUD])
    order = Move("stream", lane, count, 1000, (lane,), 1000)
    return await conducting.move(stage.queue, stage.leader, stage.epoch, [order], slot)


async def test_one_call_moves_and_leases(stage: Stage) -> None:
    """The lease is a whole one: fence, row, pending list and both events; its ending is accepted."""
    await stage.submit(submission("a"))
    (lease,) = (await moved(stage)).started.leases
    assert (lease.request_id, lease.lane, lease.job, lease.home) == (
        "a",
        METAL,
        submission("a").job,
        "stream:high:speech",
    )
    row = await stage.active("a")
    assert (row.state, row.session, row.fence) == ("L", stage.leader, lease.fence)
    assert await stage.pending() == {lease.entry: stage.leader}
    assert (await stage.told("moved"), await stage.told("started")) == (["a"], ["a"])
    assert await stage.finish(stage.leader, ending(lease)) == ["ok"]


async def test_one_job_and_no_more(stage: Stage) -> None:
    """The others wait in the lane, for whoever has a slot."""
    await stage.submit(*(submission(name) for name in "abc"))
    answer = await moved(stage, count=3)
    assert [lease.request_id for lease in answer.started.leases] == ["a"]
    assert answer.survey.held[METAL] == 3
    assert [await stage.place(name) for name in "bc"] == [f"Q {METAL}"] * 2


async def test_without_a_slot_nothing_is_leased(stage: Stage) -> None:
    """A leader that is busy, or that only leads, moves and no more."""
    await stage.submit(submission("a"))
    assert (await moved(stage, slot=None)).started.leases == ()
    assert await stage.place("a") == f"Q {METAL}"


async def test_only_from_the_lanes_of_the_slot(stage: Stage) -> None:
    """What goes to somebody else's lane is not this watcher's."""
    await stage.submit(submission("a"))
    assert (await moved(stage, lane=CLOUD)).started.leases == ()
    assert await stage.place("a") == f"Q {CLOUD}"


async def test_a_suspect_needs_a_slot_that_may_have_one(stage: Stage) -> None:
    """Beside a suspect that runs, another one is delayed, as `start` does it, so that another watcher may have it."""
    await stage.submit(submission("a"))
    await stage.move()
    for _ in range(2):
        session = await stage.open("dier")
        await stage.start(session)
        await stage.kill(session)
        await stage.move("stream:high:speech")
    answer = await moved(stage, slot=OwnSlot((METAL,), 0))
    assert (answer.started.leases, answer.started.others) == ((), 1)
    assert (await stage.active("a")).state == "D"
    assert await stage.told("delayed") == ["a"]


async def test_an_unknown_lane_of_the_slot_changes_nothing(stage: Stage) -> None:
    """A caller must name each key that a script may touch: refused before the first write."""
    await stage.submit(submission("a"))
    with pytest.raises(QueueError, match="NOSTREAM"):
        await moved(stage, slot=OwnSlot(("lane:metal:tape",), 1))
    assert await stage.place("a") == "Q stream"


async def test_who_leads_no_more_leases_nothing(stage: Stage) -> None:
    """Promise 4: an epoch of the past neither moves nor leases."""
    await stage.submit(submission("a"))
    await stage.lead()
    await stage.kill(stage.leader)
    with pytest.raises(NotLeaderError):
        await moved(stage)
    assert await stage.place("a") == "Q stream"


async def test_a_lane_without_its_group_is_filled_all_the_same(stage: Stage) -> None:
    """Faults row 12: the reader's own call makes the group again, and finds what was moved."""
    await stage.submit(submission("a"))
    await moved(stage, count=0)
    await stage.queue.client.xgroup_destroy(stage.queue.keys.stream(METAL), "watchers")
    order = Move("stream", METAL, 1, 1000, (METAL,), 1000)
    answer = await conducting.move(stage.queue, stage.leader, stage.epoch, [order], OWN)
    assert (answer.counts, answer.started.leases) == ((1,), ())
    assert [lease.request_id for lease in await stage.start(stage.leader)] == ["a"]
