"""What a call took reaches the ledger, once, however often the server was away meanwhile."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from job_watcher.backends.settling import KEPT_MAX, Settlements
from lib.redisqueue import spend
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.quota import Settlement
from tests.conformance.paying import Paying
from tests.conformance.stage import Stage
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.support.servers import RealServer


async def test_a_word_that_was_not_heard_is_said_again(valkey: RealServer, prefix: str) -> None:
    """By the next word, or by the duty; the ledger has it once."""
    client = connect(valkey.url)
    stage = Stage(Queue.over(client, valkey.url, prefix), "valkey")
    await stage.queue.refresh_streams()
    away = connect("redis://127.0.0.1:1/0")
    settlements = Settlements(Queue.over(away, "redis://127.0.0.1:1/0", prefix), HandClock())
    paying = Paying(stage)
    await paying.job("a")
    calls = [await paying.grant(micro=50) for _ in range(3)]
    for call in calls[:2]:
        await settlements.say(Settlement(call, 10, 30))
    assert settlements.left == 2
    assert await paying.money() == (0, 150)
    settlements.queue = stage.queue
    await settlements.say(Settlement(calls[2], 10, 40))
    assert settlements.left == 0
    assert await paying.money() == (100, 0)
    await settlements.say(Settlement(calls[0], 10, 30))
    assert (await spend.today(stage.queue)).settled == 100
    for one in (client, away):
        await one.aclose()


async def test_what_nobody_hears_is_bounded() -> None:
    """The oldest are dropped: their session has ended long ago, and the sweep has charged them."""
    settlements = Settlements(Queue.over(connect("redis://127.0.0.1:1/0"), "redis://127.0.0.1:1/0"), HandClock())
    for number in range(KEPT_MAX + 5):
        settlements.put(Settlement(f"1.{number}", sent=False))
    assert settlements.left == KEPT_MAX
    await settlements.queue.client.aclose()


async def test_the_duty_waits_for_a_word() -> None:
    """It asks nothing of a server that there is nothing to say to."""
    clock = HandClock()
    settlements = Settlements(Queue.over(connect("redis://127.0.0.1:1/0"), "redis://127.0.0.1:1/0"), clock)
    duty = asyncio.create_task(settlements.run_once())
    await asyncio.sleep(0)
    assert not duty.done()
    settlements.put(Settlement("1.1", sent=False))
    await wait_until(duty.done)
    assert "127.0.0.1" in str(duty.exception())
    await settlements.queue.client.aclose()
