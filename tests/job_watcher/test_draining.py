"""When a watcher that is to end by itself has nothing left to do."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from job_watcher.draining import Drain
from lib.redisqueue.sessions import open_session
from tests.job_watcher.watching import Gate, HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
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
