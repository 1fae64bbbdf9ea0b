"""Rows of rented machines that were lost, damaged or flushed: what may still cost is never forgotten by the ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from lib.redisqueue import instances
from lib.redisqueue.fsck import fsck
from lib.redisqueue.instances import RentRefused
from lib.redisqueue.producing import flush
from tests.conformance.renting import USD, Renting

if TYPE_CHECKING:
    from tests.conformance.stage import Stage


@pytest.fixture
async def renting(stage: Stage) -> Renting:
    """A watcher that has rented nothing yet."""
    return await Renting(stage).opened()


async def test_a_restarted_server_that_forgot_takes_the_owners_word(renting: Renting) -> None:
    """The last versions, the reservation, or the whole row: what it cost is charged rather twice than not at all."""
    queue, client, key = renting.stage.queue, renting.stage.queue.client, renting.stage.queue.keys.of
    rented = await renting.rent()
    older: Any = await client.hget(key("instances"), rented.intent)
    newest = await renting.advanced(await renting.advanced(rented, 100), 200)
    await client.hset(key("instances"), rented.intent, older)
    newest = await renting.advanced(newest, 50)
    assert (newest.version, newest.cost) == (4, 350)
    assert (await renting.money())[0] == 300 + 350

    await renting.forget(rented.intent)
    assert await renting.advance(newest, 5) is None, "a row that a hand took away stays away"
    await renting.restarted()
    newest = await renting.advanced(newest, 5, state="idle")
    assert await renting.rows() == {rented.intent: newest}
    settled, reserved = await renting.money()
    assert settled == 650 + 355
    assert reserved == USD - 355, "half a dollar an hour, for two hours"

    await renting.forget(rented.intent)
    await renting.restarted()
    gone = replace(newest, state="gone")
    bill = await instances.end(queue, renting.session, gone, 1)
    assert bill is not None
    assert await renting.money() == (settled + 356, 0)
    assert await instances.end(queue, renting.session, gone, 1) == bill
    assert await renting.advance(newest, 5) is None, "what has a bill never comes back"


async def test_a_sweep_makes_reservations_fit_the_rows(renting: Renting) -> None:
    """Those of no row are free again, those that a row lacks are made anew; what else is reserved is left alone."""
    stage, client, key = renting.stage, renting.stage.queue.client, renting.stage.queue.keys.of("spend_open")
    rented = await renting.advanced(await renting.rent(), 400_000)
    await client.hset(key, "rent:ghost000", "70|0|w:1|vast|")
    await client.hincrby(key, "sum", 70)
    assert await renting.money() == (400_000, 600_070)
    await stage.sweep()
    assert await renting.money() == (400_000, 600_000)
    await client.delete(key)
    await stage.sweep()
    assert await renting.money() == (400_000, 600_000)
    await renting.advanced(rented, 100_000)
    assert await renting.money() == (500_000, 500_000)


async def test_fsck_finds_and_mends_the_same(renting: Renting) -> None:
    """And a row that cannot be read: what was reserved for it is charged, and it stands in nobody's way any more."""
    stage, client, key = renting.stage, renting.stage.queue.client, renting.stage.queue.keys.of
    await renting.rent(most=9)
    await renting.rent("aaaa0002", living=1, most=9, reserve=30)
    await client.hset(key("instances"), "aaaa0002", "junk")
    await client.hset(key("spend_open"), "rent:ghost000", "70|0|w:1|vast|")
    await client.hdel(key("spend_open"), "rent:aaaa0001")
    await client.hset(key("spend_open"), "sum", 100)
    found = sorted((one.kind, one.subject, one.repaired) for one in await fsck(stage.queue, repair=False))
    assert found == [
        ("rent_not_reserved", "aaaa0001", False),
        ("reservation_of_nobody", "ghost000", False),
        ("unreadable_instance", "aaaa0002", False),
    ]
    assert {one.repaired for one in await fsck(stage.queue, repair=True)} == {True}
    assert await fsck(stage.queue, repair=False) == []
    assert await renting.money() == (30, USD)
    assert (await instances.rows(stage.queue)).living == 1


JUNK = [
    b"",
    b"junk",
    b"\xff\xfe",
    b"1|2|idle|0|0|0|w:1|{}",
    b"1|2|dancing|0|0|0|w:1|{}",
    b'1|2|idle|0|0|0|w:1|{"market":5}',
    b"1|2|idle|0|0|0|w:1|[]",
    b"1|2|idle|0|0|0|w:1|{" + b"[" * 5000,
    b"1|2|idle|" + b"9" * 40 + b"|0|0|w:1|{}",
    b"1|2|idle|0|" + b"9" * 40 + b"|0|w:1|{}",
]


@pytest.mark.parametrize("raw", JUNK)
async def test_a_damaged_row_hides_no_other(renting: Renting, raw: bytes) -> None:
    """It is shown, it counts as a machine that may bill, nobody adopts it, and whoever drops it drops what was seen."""
    queue = renting.stage.queue
    rented = await renting.rent(most=9)
    await queue.client.hset(queue.keys.of("instances"), "broken00", raw)
    rows = await instances.rows(queue)
    assert (rows.instances, [row.intent for row in rows.damaged], rows.living) == ((rented,), ["broken00"], 2)
    assert rows.damaged[0].raw == raw
    assert await renting.ask("aaaa0002", living=1, most=9) == RentRefused("raced")
    assert await renting.ask("aaaa0002", living=2, most=2) == RentRefused("enough")
    assert await instances.adopt(queue, renting.session, "broken00") is None
    assert await renting.advance(replace(rented, intent="broken00")) is None
    await renting.advanced(rented, 5)
    await renting.stage.sweep()
    await queue.client.hset(queue.keys.of("instances"), "broken00", raw + b" ")
    assert await instances.drop_damaged(queue, rows.damaged) == [False]
    assert await instances.drop_damaged(queue, (await instances.rows(queue)).damaged) == [True]
    assert (await instances.rows(queue)).damaged == ()


@pytest.mark.parametrize("hard", [False, True])
async def test_a_flush_keeps_what_bills_on(renting: Renting, hard: bool) -> None:  # noqa: FBT001 - parametrised
    """Row, reservation, bills and exclusions: the world outside does not end with the queue; and it says so."""
    queue = renting.stage.queue
    first = await renting.rent()
    await instances.end(queue, renting.session, replace(first, state="gone"), 5)
    rented = await renting.rent("aaaa0002")
    await instances.exclude(queue, "m-1", 60, "bad")
    flushed = await flush(queue, hard=hard, force=True)
    assert flushed.instances == 1
    assert await renting.rows() == {"aaaa0002": rented}
    assert await renting.money() == (5, USD)
    assert len(await instances.bills(queue)) == 1
    assert set(await instances.excluded(queue)) == {"m-1"}
    assert await renting.advance(rented, 1) is not None


async def test_a_bill_that_cannot_be_read_hides_no_other(renting: Renting) -> None:
    """It is left out."""
    queue = renting.stage.queue
    await queue.client.xadd(queue.keys.of("bills"), {"intent": "x", "bill": "{"})
    await queue.client.xadd(queue.keys.of("bills"), {"other": "x"})
    await instances.end(queue, renting.session, await renting.rent(), 3)
    assert [bill.micro for bill in await instances.bills(queue)] == [3]
