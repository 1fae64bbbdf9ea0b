"""When a watcher that is to end by itself has nothing left to do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from job_watcher.draining import Drain, Left, left_to_do, unoffered_text
from lib.redisqueue.keys import IntakeName
from lib.redisqueue.sessions import open_session
from tests.job_watcher.watching import Gate
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from job_watcher.draining import Mode
    from lib.redisqueue.keys import Pin
    from tests.job_watcher.watching import Stand


async def test_drain_does_everything_retries_too(stand: Stand) -> None:
    """Done, failed for good, and retried until it was: then it ends."""
    watcher = stand.watcher(METAL_CONCURRENCY="2")
    await stand.debug("a", "b")
    await stand.submit(
        {"request_id": "t", "task": "fail_temporary", "payload": {}, "max_attempts": 3},
        {"request_id": "p", "task": "fail_permanent", "payload": {}},
    )
    await watcher.start("drain")
    await watcher.ended()
    assert (watcher.tally.done, watcher.tally.failed, watcher.tally.delayed) == (2, 2, 2)
    assert not await stand.member(watcher.session)


async def test_drain_of_an_empty_queue_ends_at_once(stand: Stand) -> None:
    """Nothing to do is done."""
    watcher = await stand.watcher().start("drain")
    await watcher.ended(5)


async def test_a_job_for_tomorrow_does_not_keep_a_drain(stand: Stand) -> None:
    """Delayed by more than the longest pause between two tries: left for whoever comes then."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    await stand.debug("later", run_after=tomorrow)
    await stand.debug("now")
    watcher = await stand.watcher().start("drain")
    await watcher.ended()
    assert await stand.record("now")
    row = await stand.row("later")
    assert row is not None
    assert row.state == "D"


async def test_drain_waits_for_what_is_due_soon_and_once_does_not(stand: Stand) -> None:
    """`--once`: what waits now; `--drain`: retries too."""
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    await stand.debug("soon", run_after=soon)
    await stand.debug("now")
    once = await stand.watcher("once").start("once")
    await once.ended()
    assert await stand.record("now")
    assert await stand.record("soon") is None
    drain = await stand.watcher("drain").start("drain")
    await drain.ended()
    assert await stand.record("soon")


async def test_a_job_left_for_later_is_told(stand: Stand, warned: list[str]) -> None:
    """It ends at once and exits 0, but a person must learn that something is left, and until when."""
    await stand.debug("later", run_after="2999-01-01T00:00:00Z")
    await (await stand.watcher().start("drain")).ended()
    await stand.debug("last", run_after="2999-01-02T00:00:00Z")
    await (await stand.watcher("again").start("once")).ended()
    assert warned == [
        "1 job is left: not due before 2999-01-01T00:00:00Z",
        "2 jobs are left: not due before 2999-01-01T00:00:00Z",
    ]


async def test_a_drain_that_only_waits_for_a_due_time_says_so_once(stand: Stand, warned: list[str]) -> None:
    """Ten minutes of an empty bar would pass for a hang; while something else is to be done it says nothing."""
    watcher = stand.watcher()
    await watcher.life.open()
    life = watcher.life
    drain = Drain(watcher.queue, "drain", life.in_hand, life.publisher, watcher.clock)
    due = (datetime.now(UTC) + timedelta(minutes=10)).replace(microsecond=0)
    await stand.debug("now")
    await stand.debug("soon", run_after=due.isoformat())
    assert not await drain._finished()
    assert warned == []
    await stand.cancel("now")
    for _ in range(3):
        assert not await drain._finished()
    assert warned == [f"1 job is not due until {due.isoformat().replace('+00:00', 'Z')}; waiting"]
    await stand.cancel("soon")
    assert await drain._finished()


async def test_drain_waits_for_another_watchers_job(stand: Stand) -> None:
    """All done means all: also what runs elsewhere."""
    gate = Gate()
    await stand.watcher("other", execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    drain = await stand.watcher("drain").start("drain")
    look = drain.life.session
    first = await stand.queue.client.zscore(stand.queue.keys.of("sessions"), look.id)

    async def renewed() -> bool:
        score = await stand.queue.client.zscore(stand.queue.keys.of("sessions"), look.id)
        return score is not None and first is not None and score - first > 800

    await wait_until(renewed, what="it goes on while the other works")
    assert drain.task is not None
    assert not drain.task.done()
    gate.open.set()
    await drain.ended()


async def test_drain_waits_for_the_outbox(stand: Stand) -> None:
    """Another living watcher's publishing is waited for; the published name is part of the job."""
    await open_session(stand.queue, "slow:1", name="slow", previous="", life_ms=60_000, heartbeat=b'"slots":{}}')
    key = stand.queue.keys.of("outbox")
    entry = await stand.queue.client.xadd(key, {"id": "a", "fence": "1", "session": "slow:1"})
    watcher = stand.watcher()
    await watcher.life.open()
    life = watcher.life
    drain = Drain(watcher.queue, "drain", life.in_hand, life.publisher, HandClock())
    assert not await drain._finished()
    await stand.queue.client.xdel(key, entry)
    assert await drain._finished()


async def test_what_cannot_be_published_here_does_not_keep_it_for_ever(stand: Stand) -> None:
    """It was tried and said; another host may have the files."""
    watcher = stand.watcher()
    await watcher.life.open()
    entry = await stand.add(stand.queue.keys.of("outbox"), {"id": "a", "fence": "1", "session": "gone:1"})
    life = watcher.life
    life.publisher._stuck.add(entry)
    assert await Drain(watcher.queue, "drain", life.in_hand, life.publisher, HandClock())._finished()
    await stand.queue.client.delete(stand.queue.keys.of("outbox"))


async def test_a_look_that_fails_is_no_end(stand: Stand) -> None:
    """A damaged key: it cannot tell, so it goes on and says so; mended, it ends."""
    watcher = stand.watcher()
    await watcher.life.open()
    life, clock = watcher.life, HandClock()
    key = stand.queue.keys.of("outbox")
    await stand.queue.client.set(key, "not a stream")
    waiting = asyncio.create_task(Drain(watcher.queue, "drain", life.in_hand, life.publisher, clock).wait())
    await wait_until(lambda: clock.sleepers or waiting.done())
    assert not waiting.done()
    await stand.queue.client.delete(key)
    await clock.move(60)
    await asyncio.wait_for(waiting, 5)


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """Warnings as they are logged."""
    said: list[str] = []
    sink = logger.add(lambda message: said.append(message.record["message"]), level="WARNING")
    yield said
    logger.remove(sink)


@pytest.mark.parametrize("mode", ["drain", "once"])
async def test_jobs_that_nobody_can_run_are_left_and_told(stand: Stand, mode: Mode, warned: list[str]) -> None:
    """Pinned to a backend that no watcher has: it does the rest, says once what it leaves, and ends."""
    await stand.debug("a")
    await stand.debug("x", "y", "z", backend="cloud")
    await stand.debug("v", backend="vast", priority="low")
    watcher = await stand.watcher().start(mode)
    await watcher.ended()
    assert await stand.record("a")
    assert warned == ["3 jobs wait for cloud, which no watcher offers; 1 job waits for vast, which no watcher offers"]
    row = await stand.row("x")
    assert row is not None
    assert row.state == "Q"


async def test_what_is_missing_is_named_with_its_backend(stand: Stand) -> None:
    """A cloud that is there but has no model is not said to be away: the capability is what nobody offers on it."""
    beat = b'"session":"s:1","capabilities":["any"],"slots":{"cloud":1}}'
    await open_session(stand.queue, "s:1", name="s", previous="", life_ms=60_000, heartbeat=beat)
    entries = []
    wanted: tuple[Pin, ...] = ("cloud", "")
    for pin in wanted:
        name = str(IntakeName("default", "normal", "text_model", pin))
        await stand.queue.client.sadd(stand.queue.keys.of("intakes"), name)
        entries.append((stand.queue.keys.stream(name), await stand.add(stand.queue.keys.stream(name), {"job": "1"})))
    left = await left_to_do(stand.queue, soon_ms=0)
    assert left.unoffered == {"text_model on cloud": 1, "text_model": 1}
    assert unoffered_text(left.unoffered) == (
        "1 job waits for text_model, which no watcher offers; "
        "1 job waits for text_model on cloud, which no watcher offers"
    )
    for stream, entry in entries:
        await stand.queue.client.xdel(stream, entry)


async def test_what_another_watcher_offers_is_waited_for(stand: Stand) -> None:
    """Judged by all live watchers, and by what they offer now; entries added by hand count with the rest."""
    await open_session(
        stand.queue, "s:1", name="s", previous="", life_ms=60_000, heartbeat=b'"session":"s:1","slots":{}}'
    )
    await stand.debug("a")
    assert (await left_to_do(stand.queue, soon_ms=0)).unoffered == {"any": 1}
    beat = b'"session":"s:2","capabilities":["any"],"slots":{"metal":1}}'
    await open_session(stand.queue, "s:2", name="s", previous="s:1", life_ms=60_000, heartbeat=beat)
    assert await left_to_do(stand.queue, soon_ms=0) == Left(active=1, outbox=0, unoffered={})
    by_hand = stand.queue.keys.stream("stream:low:any")
    await stand.queue.client.sadd(stand.queue.keys.of("intakes"), "stream:low:any")
    entries = [await stand.add(by_hand, {"job": "1"}) for _ in range(3)]
    assert (await left_to_do(stand.queue, soon_ms=0)).active == 4
    await stand.queue.client.xdel(by_hand, *entries)


async def test_a_stopping_watchers_jobs_are_waited_for(stand: Stand) -> None:
    """It offers no slot any more, but what it runs will end; what a lane holds for nobody will not."""
    gate = Gate()
    watcher = await stand.watcher("other", execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    watcher.life.session.offer.slots = {}
    await watcher.life.session.renew()
    assert (await left_to_do(stand.queue, soon_ms=0)).active == 1
    gate.open.set()
    await stand.ended("a")
    await stand.queue.client.sadd(stand.queue.keys.of("lanes"), "lane:metal:text_model")
    entry = await stand.add(stand.queue.keys.stream("lane:metal:text_model"), {"job": "1"})
    assert (await left_to_do(stand.queue, soon_ms=0)).unoffered == {"text_model": 1}
    await stand.queue.client.xdel(stand.queue.keys.stream("lane:metal:text_model"), entry)


async def test_forever_tells_once_of_jobs_that_nobody_can_run(stand: Stand, warned: list[str]) -> None:
    """Once when they appear, and again only when they had gone meanwhile; a server that is away is no news."""
    watcher = stand.watcher()
    await watcher.life.open()
    life, clock = watcher.life, HandClock()
    drain = Drain(watcher.queue, "forever", life.in_hand, life.publisher, clock)
    waiting = asyncio.create_task(drain.wait())
    await wait_until(lambda: clock.sleepers)
    assert warned == []
    await stand.debug("x", backend="cloud")
    for _ in range(2):
        await drain._tell_unoffered()
    assert warned == ["1 job waits for cloud, which no watcher offers"]
    await stand.cancel("x")
    await clock.move(60)
    await wait_until(lambda: not drain._told)
    await stand.debug("y", backend="cloud")
    await wait_until(lambda: clock.sleepers)
    await clock.move(60)
    await wait_until(lambda: len(warned) == 2)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_forever_never_ends_by_itself(stand: Stand) -> None:
    """Nothing to do is no reason."""
    watcher = stand.watcher()
    await watcher.life.open()
    life = watcher.life
    waiting = asyncio.create_task(Drain(watcher.queue, "forever", life.in_hand, life.publisher, HandClock()).wait())
    await stand.debug("a")
    await asyncio.wait([waiting], timeout=0.5)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
