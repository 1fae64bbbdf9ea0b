"""Orders for named jobs, and orders that cost money: what is reserved, what is never passed, what is free again."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lib.errors import NotLeaderError
from lib.jobqueue.moves import Move, Moved, OwnSlot, RateLimits
from lib.jobqueue.protocol import Retry
from lib.redisqueue import conducting, leasing, producing, sessions, spend
from tests.conformance.stage import CLOUD, METAL, Stage, ending, submission
from tests.conformance.truth import text

PLAIN = Move("stream", CLOUD, 100, 1000, (CLOUD,), 1000)
PRICE = 250


async def carry_out(
    stage: Stage, *orders: Move, budget: int | None = None, jobs: int = 1000, slot: OwnSlot | None = None
) -> Moved:
    """Carry out orders as the leader."""
    if not stage.epoch:
        await stage.lead()
    await sessions.ensure_lanes(stage.queue, [METAL, CLOUD])
    limits = RateLimits(jobs, 60_000, budget)
    return await conducting.move(stage.queue, stage.leader, stage.epoch, orders, slot, limits=limits)


def picking(*request_ids: str, **more: Any) -> Move:
    """An order for these."""
    return replace(PLAIN, picks=request_ids, **more)


def priced(count: int = 100, price: int = PRICE, **more: Any) -> Move:
    """An order whose jobs cost so much each."""
    return replace(PLAIN, count=count, price=price, rated=True, **more)


async def in_lane(stage: Stage, lane: str = CLOUD) -> list[str]:
    """The jobs of a lane, in order."""
    return [fields["id"] for fields in (await stage.check()).lanes[lane].values()]


async def test_exactly_the_named_jobs_move_wherever_they_stand(stage: Stage) -> None:
    """From the middle and the end, in the order named; their neighbours stay."""
    await stage.submit(*(submission(name) for name in "abcdef"))
    moved = await carry_out(stage, picking("f", "b", "c"))
    assert (moved.counts, moved.survey.waiting["stream"]) == ((3,), 3)
    assert await in_lane(stage) == ["f", "b", "c"]
    assert await stage.told("moved") == ["f", "b", "c"]


async def test_what_is_not_there_is_left_out_and_the_rest_moves(stage: Stage) -> None:
    """Gone, elsewhere, delayed, leased, in another intake, named twice, never heard of: no error, no harm."""
    session = await stage.open()
    await stage.lease(session, "leased")
    later = await stage.now_ms() + 90_000
    await stage.submit(submission("a"), submission("gone"), submission("later", due_ms=later), submission("b"))
    await stage.submit(submission("low", intake="stream:low:speech"), submission("laned"))
    await stage.cancel("gone")
    await carry_out(stage, picking("laned"))
    moved = await carry_out(stage, picking("leased", "gone", "b", "later", "low", "laned", "never", "b", ""))
    assert moved.counts == (1,)
    assert await in_lane(stage) == ["laned", "b"]
    assert [await stage.place(name) for name in ("leased", "low", "a")] == [
        f"L {METAL}",
        "Q stream:low:speech",
        "Q stream",
    ]
    assert await conducting.read_foreign(stage.queue, moved.foreign) == []


@pytest.mark.parametrize("name", ["a,b", 'say "hi"', "back\\slash", "ünï-日本-🎉", "a|b", "sum", "x" * 300, " "])
async def test_ids_of_any_characters_are_found(stage: Stage, name: str) -> None:
    """Commas, quotes, bars, what is not ASCII: an id is what a user gave."""
    await stage.submit(submission("before"), submission(name), submission("after"))
    moved = await carry_out(stage, picking(name, price=PRICE))
    assert moved.counts == (1,)
    assert await in_lane(stage) == [name]
    assert (await spend.today(stage.queue)).reserved == PRICE


async def test_picks_keep_to_room_and_limit(stage: Stage) -> None:
    """`count`, the lane's room, the pool and the limit a minute hold for named jobs too: the first named go."""
    await stage.submit(*(submission(name) for name in "abcdef"))
    assert (await carry_out(stage, picking("f", "e", "d", count=2))).counts == (2,)
    assert (await carry_out(stage, picking("d", "c", limit=3))).counts == (1,)
    assert (await carry_out(stage, picking("c", "b", rated=True), jobs=1)).counts == (1,)
    assert await in_lane(stage) == ["f", "e", "d", "c"]


async def test_an_entry_that_was_taken_away_by_hand_is_no_obstacle(stage: Stage) -> None:
    """The row names a place that is empty: the others of the order move."""
    await stage.submit(submission("a"), submission("b"))
    row = await stage.active("a")
    stage.damaged("an entry is deleted by hand")
    await stage.queue.client.xdel(stage.queue.keys.stream("stream"), row.entry)
    assert (await carry_out(stage, picking("a", "b"))).counts == (1,)
    assert await stage.place("b") == f"Q {CLOUD}"


async def test_two_leaders_and_only_one_moves_named_jobs(stage: Stage) -> None:
    """An epoch of the past picks nothing and reserves nothing."""
    await stage.submit(submission("a"))
    await carry_out(stage)
    old = stage.leader, stage.epoch
    await stage.kill(stage.leader)
    await stage.lead()
    with pytest.raises(NotLeaderError):
        await conducting.move(stage.queue, *old, [picking("a", price=PRICE)])
    assert await stage.place("a") == "Q stream"
    assert (await spend.today(stage.queue)).reserved == 0


async def test_a_price_is_reserved_for_each_job_that_moves(stage: Stage) -> None:
    """The survey says it; what is free reserves nothing."""
    await stage.submit(*(submission(name) for name in "abcd"))
    moved = await carry_out(stage, priced(2), replace(PLAIN, lane=METAL, pool=(METAL,), count=1))
    assert (moved.counts, moved.survey.rate.spent) == ((2, 1), 2 * PRICE)
    open_now = await stage.queue.client.hgetall(stage.queue.keys.of("spend_open"))
    assert {text(name) for name in open_now} == {"job:a", "job:b", "sum"}
    assert (await carry_out(stage)).survey.rate.spent == 2 * PRICE


@pytest.mark.parametrize(("budget", "goes"), [(3 * PRICE - 1, 2), (3 * PRICE, 3), (PRICE - 1, 0), (0, 0), (None, 5)])
async def test_the_budget_is_never_passed_and_what_is_unpaid_stays(stage: Stage, budget: int | None, goes: int) -> None:
    """The order stops where the money does: no job moves unpaid, and none behind it in its place."""
    await stage.submit(*(submission(name) for name in "abcde"))
    moved = await carry_out(stage, priced(), budget=budget)
    assert (moved.counts, moved.survey.rate.spent) == ((goes,), goes * PRICE)
    assert await in_lane(stage) == list("abcde"[:goes])
    assert (await carry_out(stage, priced(), budget=budget)).counts == (0,)


async def test_the_limit_a_minute_is_not_used_by_what_is_not_paid(stage: Stage) -> None:
    """A job that the budget holds back uses none of the limit."""
    await stage.submit(*(submission(name) for name in "abc"))
    moved = await carry_out(stage, priced(), budget=PRICE, jobs=2)
    assert (moved.counts, moved.survey.rate.left) == ((1,), 1)


async def test_one_order_without_money_does_not_stop_the_next(stage: Stage) -> None:
    """What costs nothing goes on, and so does what still fits."""
    await stage.submit(*(submission(name) for name in "abc"))
    free = replace(PLAIN, lane=METAL, pool=(METAL,), count=1)
    moved = await carry_out(stage, priced(price=900), free, priced(1, price=100), budget=500)
    assert (moved.counts, moved.survey.rate.spent) == ((0, 1, 1), 100)


async def test_what_today_has_settled_counts(stage: Stage) -> None:
    """Spent and reserved together are held against the budget."""
    await stage.submit(submission("a"), submission("b"))
    day = (await stage.now_ms()) // 86_400_000
    await stage.queue.client.hset(stage.queue.keys.of("spend"), str(day), 1000)
    moved = await carry_out(stage, priced(), budget=1000 + PRICE)
    assert (moved.counts, moved.survey.rate.spent) == ((1,), 1000 + PRICE)
    await stage.queue.client.hset(stage.queue.keys.of("spend"), str(day - 1), 10**9)
    assert (await carry_out(stage)).survey.rate.spent == 1000 + PRICE


async def _end(stage: Stage, way: str, session: str) -> None:
    """Bring one leased or waiting job of the cloud out of its lane."""
    if way == "cancelled while it waits":
        assert await stage.cancel("a") == "cancelled"
        return
    if way == "its lane is nobody's":
        await stage.kill(session)
        return
    (lease,) = await stage.start(session, lane=CLOUD)
    if way in {"done", "failed"}:
        assert await stage.finish(session, ending(lease, "done" if way == "done" else "failed")) == ["ok"]
    elif way in {"attempt", "crash", "free"}:
        retry = Retry(lease, way, 1000)  # type: ignore[arg-type]  # one of its kinds
        assert await leasing.retry(stage.queue, session, [retry]) == [True]
    elif way == "handed back":
        assert await leasing.hand_back(stage.queue, session, [lease]) == [True]
    elif way == "cancelled":
        assert await stage.cancel("a") == "cancelled"
    elif way == "its watcher died":
        await stage.kill(session)
    elif way == "flushed":
        await producing.flush(stage.queue, hard=False, force=True)


@pytest.mark.parametrize(
    "way",
    [
        "done",
        "failed",
        "attempt",
        "crash",
        "free",
        "handed back",
        "cancelled",
        "cancelled while it waits",
        "its lane is nobody's",
        "its watcher died",
        "flushed",
    ],
)
async def test_what_was_reserved_is_free_again_whichever_way_a_job_leaves(stage: Stage, way: str) -> None:
    """Not a millionth stays behind, and the money lets the next job through."""
    await stage.submit(submission("a"), submission("b"))
    assert (await carry_out(stage, priced(1), budget=PRICE)).survey.rate.spent == PRICE
    session = await stage.open()
    await _end(stage, way, session)
    open_now = await stage.queue.client.hgetall(stage.queue.keys.of("spend_open"))
    assert {name: int(value) for name, value in open_now.items()} in ({}, {b"sum": 0})
    if way != "flushed":
        assert (await carry_out(stage, priced(1), budget=PRICE)).counts == (1,)


async def test_money_and_a_lease_in_the_same_call(stage: Stage) -> None:
    """The leader's own slot: the job is paid for, then leased, and its end releases it."""
    await stage.submit(submission("a"))
    moved = await carry_out(stage, priced(1), budget=PRICE, slot=OwnSlot((CLOUD,), 1))
    (lease,) = moved.started.leases
    assert moved.survey.rate.spent == PRICE
    assert await stage.finish(stage.leader, ending(lease)) == ["ok"]
    assert (await spend.today(stage.queue)).reserved == 0


async def test_a_job_moved_again_is_reserved_once(stage: Stage) -> None:
    """Handed back and moved anew: one price, never two."""
    await stage.submit(submission("a"))
    await carry_out(stage, priced(1))
    session = await stage.open()
    (lease,) = await stage.start(session, lane=CLOUD)
    await leasing.hand_back(stage.queue, session, [lease])
    moved = await carry_out(stage, replace(priced(1, price=PRICE + 1), intake="stream:high:speech"))
    assert (moved.counts, moved.survey.rate.spent) == ((1,), PRICE + 1)


async def test_as_many_names_as_are_planned_with_are_one_order(stage: Stage) -> None:
    """Five hundred names, which is as many as are planned with, fit one order."""
    names = [f"job-{i:03}" for i in range(500)]
    await stage.submit(*(submission(name) for name in names))
    chosen = names[::2]
    moved = await carry_out(stage, picking(*chosen, count=500))
    assert moved.counts == (250,)
    assert await in_lane(stage) == chosen
    assert json.loads((await stage.entries("events"))[-1]["ids"]) == chosen


async def test_a_cancel_of_everything_leaves_no_reservation(stage: Stage) -> None:
    """Many at once, some moved and some not."""
    await stage.submit(*(submission(f"j{i}") for i in range(6)))
    await carry_out(stage, priced(4))
    for i in range(6):
        assert await stage.cancel(f"j{i}") == "cancelled"
    assert (await spend.today(stage.queue)).reserved == 0
    assert await producing.submit(stage.queue, [submission("next")])
