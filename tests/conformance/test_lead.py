"""Who leads, with a process that only conducts among those that work; and lanes that a watcher leaves for a while."""

from __future__ import annotations

import pytest

from lib.errors import NotLeaderError
from lib.jobqueue.moves import Move
from lib.redisqueue import conducting, leasing, sessions
from tests.conformance.stage import CLOUD, METAL, Stage, submission

HIGH = "stream:high:speech"


async def leads(stage: Stage, session: str, *, dedicated: bool = False) -> str:
    """Ask for the lead; the epoch, empty when another has it."""
    return (await sessions.lead(stage.queue, session, dedicated=dedicated)).epoch


async def moves(stage: Stage, session: str, epoch: str) -> bool:
    """Whether the queue lets it move."""
    try:
        await conducting.move(stage.queue, session, epoch, [])
    except NotLeaderError:
        return False
    return True


async def test_one_that_only_conducts_takes_the_lead_from_one_that_works(stage: Stage) -> None:
    """At once, under a later epoch; the one that led can move nothing any more, and is woken to learn it."""
    worker, conductor = await stage.open("worker"), await stage.open("conductor")
    first = await leads(stage, worker)
    second = await leads(stage, conductor, dedicated=True)
    assert int(second) > int(first)
    assert not await moves(stage, worker, first)
    assert await moves(stage, conductor, second)
    assert [entry["why"] for entry in await stage.entries("wake")][-1] == "lead"


async def test_the_one_that_lost_the_lead_does_not_get_it_back(stage: Stage) -> None:
    """Asked again and again it is told who leads; nothing goes to and fro."""
    worker, conductor = await stage.open("worker"), await stage.open("conductor")
    await leads(stage, worker)
    epoch = await leads(stage, conductor, dedicated=True)
    for _ in range(3):
        answer = await sessions.lead(stage.queue, worker)
        assert (answer.mine, answer.leader) == (False, conductor)
    assert await leads(stage, conductor, dedicated=True) == epoch


async def test_it_never_takes_the_lead_from_its_like(stage: Stage) -> None:
    """Two that only conduct: the second stands by, whatever it asks, and wakes nobody."""
    one, two = await stage.open("one"), await stage.open("two")
    epoch = await leads(stage, one, dedicated=True)
    before = len(await stage.entries("wake"))
    assert await leads(stage, two, dedicated=True) == ""
    assert await moves(stage, one, epoch)
    assert len(await stage.entries("wake")) == before


@pytest.mark.parametrize("end", ["closed", "dead"])
async def test_the_lead_goes_back_when_it_ends(stage: Stage, end: str) -> None:
    """Closed or dead, whoever asks first leads again, and loses it again to the next that only conducts."""
    worker, conductor = await stage.open("worker"), await stage.open("conductor")
    await leads(stage, worker)
    await leads(stage, conductor, dedicated=True)
    if end == "closed":
        await sessions.close_session(stage.queue, conductor, name="conductor")
    else:
        await stage.kill(conductor)
    epoch = await leads(stage, worker)
    assert await moves(stage, worker, epoch)
    again = await stage.open("conductor")
    assert await leads(stage, again, dedicated=True)
    assert not await moves(stage, worker, epoch)


async def test_a_watcher_that_works_is_no_dedicated_leader_after_one(stage: Stage) -> None:
    """What the lock says of the last leader is not said of the next one."""
    first, worker, second = [await stage.open(name) for name in ("first", "worker", "second")]
    await leads(stage, first, dedicated=True)
    await stage.kill(first)
    assert await leads(stage, worker)
    assert await leads(stage, second, dedicated=True)


async def test_a_session_that_has_ended_takes_no_lead(stage: Stage) -> None:
    """Dedicated or not: the lead stays where it is."""
    worker, conductor = await stage.open("worker"), await stage.open("conductor")
    epoch = await leads(stage, worker)
    await stage.kill(conductor)
    with pytest.raises(Exception, match="has ended"):
        await leads(stage, conductor, dedicated=True)
    assert await moves(stage, worker, epoch)


async def readers(stage: Stage, lane: str = METAL) -> list[str]:
    """Who reads a lane, as the server knows it."""
    found = await stage.queue.client.xinfo_consumers(stage.queue.keys.stream(lane), "watchers")
    return [each["name"].decode() for each in found]


async def reading(stage: Stage, name: str, *lanes: str) -> str:
    """A session that reads these lanes, which are empty."""
    session = await stage.open(name)
    await sessions.ensure_lanes(stage.queue, lanes)
    for lane in lanes:
        await stage.queue.client.xgroup_createconsumer(stage.queue.keys.stream(lane), "watchers", session)
    return session


async def test_a_lane_of_which_nothing_is_held_is_left(stage: Stage) -> None:
    """And only that of this session: its other lane and the other reader stay."""
    one, two = await reading(stage, "one", METAL, CLOUD), await reading(stage, "two", METAL)
    assert await leasing.leave(stage.queue, one, [METAL]) == [METAL]
    assert (await readers(stage), await readers(stage, CLOUD)) == ([two], [one])
    assert await leasing.leave(stage.queue, one, [METAL]) == [METAL]


async def test_what_is_held_is_never_dropped_by_leaving(stage: Stage) -> None:
    """A lane with something pending is left at a later try: to leave it would lose the entry's reader, and the job."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    assert await leasing.leave(stage.queue, session, [METAL, CLOUD]) == [CLOUD]
    assert await stage.pending() == {lease.entry: session}
    await leasing.hand_back(stage.queue, session, [lease])
    assert await leasing.leave(stage.queue, session, [METAL]) == [METAL]


async def test_what_was_delivered_and_never_leased_is_held_too(stage: Stage) -> None:
    """A reply that was lost on its way: pending is pending."""
    session = await stage.open()
    await stage.submit(submission("a"))
    await stage.move()
    await stage.queue.client.xreadgroup("watchers", session, {stage.queue.keys.stream(METAL): ">"}, count=1)
    assert await leasing.leave(stage.queue, session, [METAL]) == []
    assert (await stage.sweep()).put_back == 0
    assert await stage.place("a") == f"Q {METAL}"


async def test_one_whose_session_has_ended_leaves_nothing(stage: Stage) -> None:
    """What it held is the sweep's business."""
    session = await reading(stage, "one", METAL)
    await stage.queue.client.zrem(stage.queue.keys.of("sessions"), session)
    assert await leasing.leave(stage.queue, session, [METAL]) == []
    assert await readers(stage) == [session]


async def test_a_lane_whose_group_is_gone_is_no_error(stage: Stage) -> None:
    """Somebody removed it by hand: the other lanes are left all the same."""
    session = await reading(stage, "one", METAL, CLOUD)
    await stage.queue.client.xgroup_destroy(stage.queue.keys.stream(METAL), "watchers")
    assert await leasing.leave(stage.queue, session, [METAL, CLOUD]) == [CLOUD]
    await sessions.ensure_lanes(stage.queue, [METAL])


async def test_what_waits_in_a_lane_that_all_have_left_goes_back(stage: Stage) -> None:
    """At the next sweep, to the front of its class, no death and no try counted; then it goes where it is offered."""
    one = await reading(stage, "one", METAL)
    await stage.submit(submission("a"), submission("b"))
    await stage.move()
    assert (await stage.sweep()).put_back == 0
    await leasing.leave(stage.queue, one, [METAL])
    assert (await stage.sweep()).put_back == 2
    row = await stage.active("a")
    assert (row.state, row.stream, row.attempt, row.deaths, row.crashes) == ("Q", HIGH, 0, 0, 0)
    other = await reading(stage, "other", CLOUD)
    assert (await stage.order(Move(HIGH, CLOUD, 9, 9, (CLOUD,), 9))).counts == (2,)
    assert [lease.request_id for lease in await stage.start(other, lane=CLOUD)] == ["a", "b"]


async def test_one_reader_is_enough_to_keep_what_waits(stage: Stage) -> None:
    """Another watcher's backend is well: nothing is taken from its lane."""
    one, two = await reading(stage, "one", METAL), await reading(stage, "two", METAL)
    await stage.submit(submission("a"))
    await stage.move()
    await leasing.leave(stage.queue, one, [METAL])
    assert (await stage.sweep()).put_back == 0
    await leasing.leave(stage.queue, two, [METAL])
    assert (await stage.sweep()).put_back == 1


async def test_a_job_that_runs_in_a_lane_keeps_it(stage: Stage) -> None:
    """Its holder is a reader until it ends; what waits behind it goes back then."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "runs")
    await stage.submit(submission("waits"))
    await stage.move()
    await leasing.leave(stage.queue, session, [METAL])
    assert (await stage.sweep()).put_back == 0
    await leasing.hand_back(stage.queue, session, [lease])
    await leasing.leave(stage.queue, session, [METAL])
    assert (await stage.sweep()).put_back == 1
    assert await stage.place("waits") == f"Q {HIGH}"


async def test_a_read_after_leaving_makes_it_a_reader_again(stage: Stage) -> None:
    """To enter a lane again needs nothing but the next read."""
    session = await reading(stage, "one", METAL)
    await leasing.leave(stage.queue, session, [METAL])
    await stage.submit(submission("a"))
    await stage.move()
    assert [lease.request_id for lease in await stage.start(session)] == ["a"]
    assert await readers(stage) == [session]
