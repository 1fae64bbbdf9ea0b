"""Rows of rented machines and their money: one step each, for their owner alone, and never past the day's budget."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import QueueError
from lib.redisqueue import instances, sessions, spend, upkeep
from lib.redisqueue.instances import Intended, RentRefused
from lib.redisqueue.rent_rows import rest_of
from tests.conformance.renting import HOUR, USD, Renting, machine

if TYPE_CHECKING:
    from lib.market.instance import Instance
    from tests.conformance.stage import Stage


@pytest.fixture
async def renting(stage: Stage) -> Renting:
    """A watcher that has rented nothing yet."""
    return await Renting(stage).opened()


async def test_a_whole_life_and_its_bill(renting: Renting) -> None:
    """Reserved at the intent, charged as it runs, the rest released at the end; the bill is kept and the row goes."""
    queue = renting.stage.queue
    rented = await renting.rent()
    assert (rented.owner, rented.version, rented.state) == (renting.session, 1, "intended")
    assert await renting.money() == (0, USD)
    loading = await renting.advanced(rented, state="loading", market_id="i-9", created_at=1010.0)
    idle = await renting.advanced(loading, 300_000, state="idle", jobs_done=40, spent={"loading": 90.0})
    assert (idle.version, idle.cost) == (3, 300_000)
    assert await renting.money() == (300_000, 700_000)
    assert await renting.rows() == {"aaaa0001": idle}
    gone = replace(idle, state="gone", reason="idle", spent={"loading": 90.0, "draining": 600.0, "idle": 75.0})
    bill = await instances.end(queue, renting.session, gone, 50_000)
    assert bill is not None
    assert (bill.micro, bill.jobs, bill.why, bill.machine_id, bill.gpu) == (350_000, 40, "idle", "m-7", "RTX 4090")
    assert (bill.spent, bill.created_at) == ({"loading": 90.0, "draining": 600.0, "idle": 75.0}, 1010.0)
    assert bill.ended_at == pytest.approx(await renting.stage.now_ms() / 1000, abs=5)
    assert await instances.bills(queue) == [bill]
    assert await renting.rows() == {}
    assert await renting.money() == (350_000, 0)
    assert (await spend.today(queue)).by_backend == {"vast": 350_000}


@pytest.mark.parametrize("intent", ["aaaa0001", None])
async def test_watchers_that_race_rent_once(stage: Stage, intent: str | None) -> None:
    """Eight that saw nothing, each with an intent of its own or all with the same: one row, one reservation."""
    crowd = [await Renting(stage).opened(f"w{i}") for i in range(8)]
    answers = await asyncio.gather(*(one.ask(intent or f"bbbb000{i}", most=4) for i, one in enumerate(crowd)))
    assert sum(isinstance(answer, Intended) for answer in answers) == 1
    assert {answer.why for answer in answers if isinstance(answer, RentRefused)} == {"raced"}
    assert len(await crowd[0].rows()) == 1
    assert await crowd[0].money() == (0, USD)


async def test_no_more_than_may_be_and_than_were_seen(renting: Renting) -> None:
    """Who has not seen all rows decides again; who has seen them keeps to the limit."""
    await renting.rent("aaaa0001", most=2, reserve=0)
    assert await renting.ask("aaaa0002", most=2) == RentRefused("raced")
    await renting.rent("aaaa0002", living=1, most=2, reserve=0)
    assert await renting.ask("aaaa0003", living=2, most=2) == RentRefused("enough")
    assert await renting.money() == (0, 0)


async def test_an_intent_is_repeated_after_a_lost_answer(renting: Renting) -> None:
    """The same fence, and nothing is reserved twice; once it has moved on, the old intent is no more."""
    first = await renting.ask()
    assert isinstance(first, Intended)
    assert await renting.ask() == first
    assert await renting.money() == (0, USD)
    await renting.advanced(first.instance, state="creating")
    assert await renting.ask() == RentRefused("raced")


async def test_the_budget_of_the_day_holds(renting: Renting) -> None:
    """What others have reserved counts; without a budget nothing is rented that costs, and what is free always."""
    assert await renting.ask(cap=None) == RentRefused("no_budget")
    assert await renting.ask(cap=USD - 1) == RentRefused("budget", 0)
    await renting.rent(cap=USD)
    assert await renting.ask("aaaa0002", living=1, most=9, reserve=1, cap=USD) == RentRefused("budget", USD)
    await renting.rent("aaaa0003", living=1, most=9, reserve=0, cap=None)
    assert await renting.money() == (0, USD)


async def test_a_cap_is_not_passed_by_a_race(stage: Stage) -> None:
    """Those that come one after the other, each with what it has seen: as many as there is money for."""
    crowd = [await Renting(stage).opened(f"w{i}") for i in range(8)]

    async def insist(one: Renting, number: int) -> int:
        for _ in range(20):
            seen = (await instances.rows(stage.queue)).living
            answer = await one.ask(f"cccc000{number}", living=seen, most=100, reserve=400_000)
            if isinstance(answer, Intended):
                return 1
            if answer.why == "budget":
                return 0
        raise AssertionError("beaten twenty times")

    assert sum(await asyncio.gather(*(insist(one, i) for i, one in enumerate(crowd)))) == 7
    assert await crowd[0].money() == (0, 2_800_000)


async def test_what_costs_more_than_was_reserved_is_charged_all_the_same(renting: Renting) -> None:
    """The reservation never falls below nothing."""
    rented = await renting.advanced(await renting.rent(), 900_000)
    rented = await renting.advanced(rented, 300_000)
    assert rented.cost == 1_200_000
    assert await renting.money() == (1_200_000, 0)
    assert (await renting.advanced(rented, -5)).cost == 1_200_000


async def test_only_the_owner_changes_a_row(renting: Renting) -> None:
    """Neither another session, nor an older version or fence, nor a session that has ended; nothing is charged then."""
    stage, queue = renting.stage, renting.stage.queue
    other = await Renting(stage).opened("other")
    rented = await renting.rent()
    newer = await renting.advanced(rented, 10, state="creating")
    for one, told in ((other, newer), (renting, rented), (renting, replace(newer, fence="7"))):
        assert await one.advance(told, 500, state="idle") is None
        assert await instances.end(queue, one.session, told, 500) is None
    assert await renting.money() == (10, USD - 10)
    await stage.kill(renting.session)
    assert await renting.advance(newer, 500) is None
    assert await instances.end(queue, renting.session, newer, 500) is None
    assert await renting.ask("aaaa0002", living=1) == RentRefused("session")
    assert await other.rows() == {"aaaa0001": newer}


async def test_each_step_may_be_repeated_after_a_lost_answer(renting: Renting) -> None:
    """Word for word: charged once, one version more, one bill."""
    queue = renting.stage.queue
    rented = await renting.rent()
    first = await renting.advance(rented, 250_000, state="loading")
    assert await renting.advance(rented, 250_000, state="loading") == first
    assert first is not None
    assert await renting.money() == (250_000, 750_000)
    gone = replace(first, state="gone", reason="told")
    bill = await instances.end(queue, renting.session, gone, 1)
    assert bill is not None
    assert await instances.end(queue, renting.session, gone, 1) == bill
    assert await renting.advance(first, 99) is None
    assert await instances.bills(queue) == [bill]
    assert await renting.money() == (250_001, 0)


async def test_what_a_dead_watcher_rented_is_adopted_once(renting: Renting) -> None:
    """Eight find it, one has it, to destroy it; its money stays reserved, and the dead one's word counts no more."""
    stage, queue = renting.stage, renting.stage.queue
    rented = await renting.advanced(await renting.rent(), 100, state="draining", since=1000.0, spent={"loading": 60.0})
    crowd = [await Renting(stage).opened(f"w{i}") for i in range(8)]
    assert await instances.adopt(queue, crowd[0].session, rented.intent) is None
    assert await instances.adopt(queue, renting.session, rented.intent) is None
    await stage.kill(renting.session)
    answers = await asyncio.gather(*(instances.adopt(queue, one.session, rented.intent) for one in crowd))
    ((new, taken),) = [(one, answer) for one, answer in zip(crowd, answers, strict=True) if answer]
    assert (taken.state, taken.reason, taken.owner, taken.cost) == ("destroying", "orphaned", new.session, 100)
    assert int(taken.fence) > int(rented.fence)
    assert taken.spent["loading"] == 60.0
    assert taken.spent["draining"] == pytest.approx(await stage.now_ms() / 1000 - 1000, abs=5)
    assert await new.rows() == {rented.intent: taken}
    assert await instances.adopt(queue, new.session, rented.intent) == taken
    assert await renting.advance(rented, 7) is None
    assert await new.money() == (100, USD - 100)
    assert await instances.end(queue, new.session, taken, 50) is not None
    assert await new.money() == (150, 0)


async def test_what_has_changed_since_it_was_read_is_not_adopted(renting: Renting) -> None:
    """The last word of the owner came between, such as the market's name for it: that must not be written over."""
    stage, queue = renting.stage, renting.stage.queue
    other = await Renting(stage).opened("other")
    seen = await renting.rent()
    newest = await renting.advanced(seen, state="loading", market_id="i-9")
    await stage.kill(renting.session)
    stale: dict[str, Any] = {
        "session": other.session,
        "intent": seen.intent,
        "version": seen.version,
        "rest": rest_of(seen),
    }
    assert await queue.scripts.call("rent_adopt", **stale) == b""
    assert await renting.rows() == {seen.intent: newest}
    taken = await instances.adopt(queue, other.session, seen.intent)
    assert taken is not None
    assert taken.market_id == "i-9"


async def test_an_adopter_that_has_ended_adopts_nothing(renting: Renting) -> None:
    """Nor is there anything to adopt where nothing stands."""
    stage, queue = renting.stage, renting.stage.queue
    other = await Renting(stage).opened("other")
    rented = await renting.advanced(await renting.rent(), state="destroying", reason="lost", asked=4)
    await sessions.close_session(queue, other.session, name="other")
    await stage.kill(renting.session)
    assert await instances.adopt(queue, other.session, rented.intent) is None
    await other.opened("other")
    assert await instances.adopt(queue, other.session, "nobody00") is None
    taken = await instances.adopt(queue, other.session, rented.intent, seconds=9.0)
    assert taken is not None
    assert (taken.reason, taken.asked, taken.since) == ("lost", 0, rented.since)
    assert taken.deadline == pytest.approx(await stage.now_ms() / 1000 + 9, abs=5)


async def test_anybody_may_ask_for_an_end(renting: Renting) -> None:
    """The owner learns it from the rows, and may go on writing; the wish stays."""
    queue = renting.stage.queue
    rented = await renting.rent()
    assert not await instances.ask_end(queue, "nobody00")
    assert await instances.ask_end(queue, rented.intent)
    await renting.advanced(rented, state="creating")
    assert (await instances.rows(queue)).told_to_end == {rented.intent}


async def test_machines_are_excluded_for_a_time_of_the_server(renting: Renting) -> None:
    """The longer exclusion stays; what is over is forgotten, and what somebody else wrote there excludes nobody."""
    queue, key = renting.stage.queue, renting.stage.queue.keys.of("excluded")
    now = await renting.stage.now_ms() / 1000
    await instances.exclude(queue, "m-1", 3600, "canary: silent")
    await instances.exclude(queue, "m-1", 60, "probe")
    await instances.exclude(queue, "m-2", 60, "lost|and|found")
    found = await instances.excluded(queue)
    assert {name: each.why for name, each in found.items()} == {"m-1": "canary: silent", "m-2": "lost|and|found"}
    assert found["m-1"].until == pytest.approx(now + 3600, abs=5)
    await queue.client.hset(key, mapping={"m-2": f"{int(now * 1000) - 1}|lost", "m-3": "junk", "m-4": "x|y"})
    assert set(await instances.excluded(queue)) == {"m-1"}
    await instances.exclude(queue, "m-5", 1, "x" * 1000)
    assert sorted(await queue.client.hkeys(key)) == [b"m-1", b"m-5"]
    assert len((await instances.excluded(queue))["m-5"].why) == 500


async def test_machines_and_bills_that_are_remembered_are_bounded(
    renting: Renting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exclusion that would end first goes, and the oldest bill."""
    queue = renting.stage.queue
    monkeypatch.setattr(instances, "EXCLUDED_MAX", 2)
    monkeypatch.setattr(instances, "BILLS_MAX", 2)
    for seconds, name in ((300, "a"), (100, "b"), (200, "c")):
        await instances.exclude(queue, name, seconds, "")
    assert set(await instances.excluded(queue)) == {"a", "c"}
    for i in range(3):
        await instances.end(queue, renting.session, await renting.rent(f"aaaa000{i}"), i)
    assert [(bill.intent, bill.micro) for bill in await instances.bills(queue)] == [("aaaa0002", 2), ("aaaa0001", 1)]
    assert len(await instances.bills(queue, 1)) == 1


@pytest.mark.parametrize(
    ("instance", "says"),
    [
        (machine("short"), "not an intent"),
        (machine("a/b/c/d/e"), "not an intent"),
        (machine(gpu="x" * 5000), "bytes"),
        (machine(since=float("nan")), "no number"),
    ],
)
async def test_what_is_no_row_is_refused(renting: Renting, instance: Instance, says: str) -> None:
    """Before anything is sent; a reason that is too long is cut."""
    with pytest.raises(QueueError, match=says):
        await instances.intend(renting.stage.queue, renting.session, instance, living=0, most=1, reserve=0, cap=None)
    rented = await renting.rent(reserve=0)
    await renting.advanced(rented, reason="lost: " + "é" * 1000)
    assert len((await renting.rows())["aaaa0001"].reason) == 500


async def test_rows_are_told_with_the_servers_time(renting: Renting) -> None:
    """So that whoever reads them can say how old they are."""
    rows = await instances.rows(renting.stage.queue)
    assert (rows.instances, rows.living) == ((), 0)
    assert rows.now == pytest.approx(await renting.stage.now_ms() / 1000, abs=5)
    assert (await upkeep.sweep(renting.stage.queue, interval_ms=1, life_ms=int(HOUR * 1000), force=True)).ran
