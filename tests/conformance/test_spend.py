"""The ledger of money: what is reserved, settled and released, by whom, and that a cap is never passed."""

from __future__ import annotations

import asyncio

import pytest

from lib.jobqueue.protocol import Retry, Verdict
from lib.redisqueue import conducting, leasing, quota, spend, upkeep
from lib.redisqueue.fsck import fsck
from lib.redisqueue.producing import flush
from lib.redisqueue.spend import Spent
from tests.conformance.paying import Paying
from tests.conformance.stage import METAL, Stage, ending, tail


@pytest.fixture
def paying(stage: Stage) -> Paying:
    """A watcher that has no job yet."""
    return Paying(stage)


async def test_a_call_is_reserved_then_settled(paying: Paying) -> None:
    """Its most before, its cost after, of today and of its backend."""
    await paying.job("a")
    first = await paying.grant(micro=500)
    second = await paying.grant(micro=300, backend="vast")
    assert await paying.money() == (0, 800)
    await quota.settle(paying.stage.queue, first, 100, 120)
    await quota.settle(paying.stage.queue, second, 100, 300)
    today = await spend.today(paying.stage.queue)
    assert today == Spent(today.day, 420, 0, {"cloud": 120, "vast": 300})
    assert today.total == 420


async def test_a_call_draws_on_what_its_job_has(paying: Paying) -> None:
    """Reserved once, by the move: the call is new money only beyond that, and what it leaves its job has again."""
    await paying.job("a", price=1000, budget=1000)
    first = await paying.grant(micro=800, budget=1000)
    assert await paying.open() == {"job:a": 200, f"call:{first}": 800}
    assert (await paying.take(micro=300, budget=1000)).reason == "budget"
    await quota.settle(paying.stage.queue, first, 100, 50)
    assert await paying.open() == {"job:a": 950}
    assert await paying.money() == (50, 950)
    second = await paying.grant(micro=950, budget=1000)
    await quota.release(paying.stage.queue, second)
    assert await paying.open() == {"job:a": 950}
    third = await paying.grant(micro=1200, budget=2000)
    assert await paying.money() == (50, 1200)
    await quota.settle(paying.stage.queue, third, 100, 1000)
    assert await paying.open() == {"job:a": 0}
    assert await paying.money() == (1050, 0)


async def test_a_cap_counts_what_is_settled_and_what_is_reserved(paying: Paying) -> None:
    """The wait is short where a reservation may be given back, and until the next UTC day where money is gone."""
    await paying.job("a")
    first = await paying.grant(micro=600, budget=1000)
    refused = await paying.take(micro=401, budget=1000)
    assert (refused.reason, refused.wait_ms) == ("budget", 5000)
    second = await paying.grant(micro=400, budget=1000)
    for call in (first, second):
        await quota.settle(paying.stage.queue, call, 10, 500)
    refused = await paying.take(micro=1, budget=1000)
    assert refused.reason == "budget"
    assert refused.wait_ms == pytest.approx(86_400_000 - await paying.stage.now_ms() % 86_400_000, abs=5_000)
    await paying.grant(micro=0, budget=1000)
    await paying.grant(micro=10**9, budget=None)


async def test_what_was_spent_on_another_day_is_not_todays(paying: Paying) -> None:
    """A day ends at midnight UTC; what is open then counts on, and is settled on the day of its settling."""
    await paying.job("a")
    call = await paying.grant(micro=700, budget=1000)
    yesterday = await paying.stage.now_ms() // 86_400_000 - 1
    for name in (str(yesterday), f"{yesterday}|cloud"):
        await paying.stage.queue.client.hset(paying.stage.queue.keys.of("spend"), name, "900")
    assert await paying.money() == (0, 700)
    assert (await paying.take(micro=301, budget=1000)).reason == "budget"
    await quota.settle(paying.stage.queue, call, 10, 600)
    today = await spend.today(paying.stage.queue)
    assert (today.settled, today.by_backend) == (600, {"cloud": 600})


async def test_two_watchers_that_race_never_pass_the_cap(paying: Paying) -> None:
    """A hundred calls at once from two sessions: as many are granted as the cap has room for."""
    stage = paying.stage
    other = Paying(stage, session=await stage.open("other"))
    await paying.job("a")
    await other.job("b")
    wishes = [one.take(name, micro=30, budget=1000) for _ in range(50) for one, name in ((paying, "a"), (other, "b"))]
    answers = await asyncio.gather(*wishes)
    assert sum(answer.reason is None for answer in answers) == 33
    assert await paying.money() == (0, 990)


@pytest.mark.parametrize("way", ["finish", "cancel", "retry", "hand back", "condemn", "put back"])
async def test_a_job_that_leaves_its_lane_frees_its_money(paying: Paying, way: str) -> None:
    """However it leaves; the next move reserves anew."""
    stage = paying.stage
    lease = await paying.job("a", price=700, budget=1000)
    assert await paying.money() == (0, 700)
    match way:
        case "finish":
            assert await stage.finish(paying.session, ending(lease)) == ["ok"]
        case "cancel":
            assert await stage.cancel("a") == "cancelled"
        case "retry":
            assert await leasing.retry(stage.queue, paying.session, [Retry(lease, "free", 0)]) == [True]
        case "hand back":
            assert await leasing.hand_back(stage.queue, paying.session, [lease]) == [True]
        case "condemn":
            await stage.queue.client.zrem(stage.queue.keys.of("sessions"), paying.session)
            verdict = Verdict("a", lease.generation, lease.lane, lease.entry, tail("a"))
            assert await upkeep.condemn(stage.queue, [verdict]) == [True]
        case _:
            assert (await stage.kill(paying.session)).put_back == 1
    assert await paying.open() == {}
    assert await paying.money() == (0, 0)


async def test_jobs_on_metal_never_look_at_money(paying: Paying) -> None:
    """The hot path: no command of its own for the ledger."""
    stage = paying.stage
    lease = await paying.job("a", lane=METAL)
    # What nobody could have reserved stays, since nobody looks.
    await stage.queue.client.hset(stage.queue.keys.of("spend_open"), mapping={"job:a": "5|0|||", "sum": 5})
    await stage.finish(paying.session, ending(lease))
    assert await paying.open() == {"job:a": 5}
    stage.damaged("money that was reserved by hand")


@pytest.mark.parametrize("way", ["finish", "put back"])
async def test_jobs_on_rented_machines_have_no_money_of_their_own(paying: Paying, way: str) -> None:
    """The machine is paid for by the hour: whatever a move says of a price, nothing is reserved for the job."""
    stage = paying.stage
    lease = await paying.job("a", lane="lane:vast:speech", price=700, budget=100)
    assert await paying.open() == {}
    if way == "finish":
        assert await stage.finish(paying.session, ending(lease)) == ["ok"]
    else:
        assert (await stage.kill(paying.session)).put_back == 1
    assert await paying.money() == (0, 0)


async def test_the_calls_of_a_dead_session_are_charged_at_their_most(paying: Paying) -> None:
    """Perhaps they were made; what the dead one says later changes nothing. A living one's calls are left alone."""
    stage = paying.stage
    other = Paying(stage, session=await stage.open("other"))
    await paying.job("a", price=500)
    await other.job("b")
    dead, live = await paying.grant(micro=800), await other.grant("b", micro=100)
    await stage.kill(paying.session)
    assert await paying.money() == (800, 100)
    assert not await quota.settle(stage.queue, dead, 10, 20)
    assert await quota.settle(stage.queue, live, 10, 20)
    assert await paying.money() == (820, 0)
    assert await paying.open() == {}


async def test_a_call_that_outlives_its_job_is_still_settled(paying: Paying) -> None:
    """Cancelled in the middle: the job's money is free, the call's is not, until it is known."""
    await paying.job("a", price=1000)
    call = await paying.grant(micro=400)
    assert await paying.stage.cancel("a") == "cancelled"
    assert await paying.open() == {f"call:{call}": 400}
    await quota.settle(paying.stage.queue, call, 10, 100)
    assert await paying.money() == (100, 0)


async def test_a_settlement_that_a_restarted_server_has_lost_is_charged(paying: Paying) -> None:
    """Rather twice than not at all: a lease of before, a call that nobody knows."""
    stage, key = paying.stage, paying.stage.queue.keys.of
    await paying.job("a")
    call = await paying.grant(micro=400)
    await stage.queue.client.hdel(key("spend_open"), f"call:{call}", "sum")
    assert not await quota.settle(stage.queue, call, 10, 100)
    await stage.queue.client.hset(key("quota"), "since_us", str((await stage.now_ms() + 1000) * 1000))
    assert await quota.settle(stage.queue, call, 10, 100, backend="vast")
    assert (await spend.today(stage.queue)).by_backend == {"vast": 100}


@pytest.mark.parametrize("hard", [False, True])
async def test_a_flush_keeps_the_ledger_and_frees_the_jobs(paying: Paying, hard: bool) -> None:  # noqa: FBT001 - parametrised
    """What was spent is spent, what is under way still is; the jobs are gone, and with them what was kept for them."""
    stage = paying.stage
    await paying.job("a", price=1000)
    await quota.settle(stage.queue, await paying.grant(micro=300), 10, 70)
    call = await paying.grant(micro=400)
    await flush(stage.queue, hard=hard, force=True)
    assert await paying.open() == {f"call:{call}": 400}
    assert await paying.money() == (70, 400)
    (view,) = await quota.pools(stage.queue)
    assert (view.requests, view.today) == (2, 2)
    await quota.settle(stage.queue, call, 10, 100)
    assert await paying.money() == (170, 0)


async def test_what_a_lost_ledger_left_is_found_and_mended(paying: Paying) -> None:
    """Money for a job in no lane, and a sum that is not the sum: found, told, and put right."""
    stage = paying.stage
    await paying.job("a", price=300)
    client, key = stage.queue.client, stage.queue.keys.of("spend_open")
    await client.hset(key, mapping={"job:ghost": "50|0||cloud|"})
    found = sorted((one.kind, one.subject, one.repaired) for one in await fsck(stage.queue, repair=False))
    assert found == [("ledger_sum", "sum", False), ("reservation_of_nobody", "ghost", False)]
    assert {one.repaired for one in await fsck(stage.queue, repair=True)} == {True}
    await fsck(stage.queue, repair=True)
    assert await fsck(stage.queue, repair=False) == []
    assert await paying.open() == {"job:a": 300}
    assert await paying.money() == (0, 300)


async def test_a_day_of_nothing(paying: Paying) -> None:
    """An empty ledger reads as nothing."""
    today = await spend.today(paying.stage.queue)
    assert (today.settled, today.reserved, today.by_backend) == (0, 0, {})
    await upkeep.sweep(paying.stage.queue, interval_ms=1, life_ms=20_000, force=True)
    assert (await conducting.queue_due(paying.stage.queue)).queued == 0


@pytest.mark.parametrize(("field", "value"), [("today", "5"), ("20000", "much"), ("20000|cloud", ""), ("x|y", "z")])
async def test_what_somebody_else_wrote_there_hides_nothing(paying: Paying, field: str, value: str) -> None:
    """The day's sum is read all the same."""
    await paying.job("a")
    await quota.settle(paying.stage.queue, await paying.grant(micro=500), 10, 400)
    client, key = paying.stage.queue.client, paying.stage.queue.keys.of
    await client.hset(key("spend"), field, value)
    await client.hset(key("spend_open"), "sum", "some")
    today = await spend.today(paying.stage.queue)
    # The end of the test looks whether the ledger is sound.
    await client.hdel(key("spend"), field)
    await client.hset(key("spend_open"), "sum", "0")
    assert (today.settled, today.reserved, today.by_backend) == (400, 0, {"cloud": 400})
