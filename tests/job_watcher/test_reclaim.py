"""What dead watchers left comes back; what a living one has is never taken."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from loguru import logger

from job_watcher.reclaim import Reclaimer
from lib.jobqueue.protocol import LostEntry
from tests.job_watcher.watching import ANY, Gate
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand


def reclaimer(stand: Stand, ended: asyncio.Event | None = None) -> Reclaimer:
    """A sweep of another watcher."""
    return Reclaimer(stand.queue, HandClock(), 5.0, 20.0, ended or asyncio.Event())


async def test_a_dead_watchers_job_runs_again_elsewhere(stand: Stand) -> None:
    """Promise 6: within L + S; one death is counted, no attempt."""
    first, second = Gate(), Gate()
    dead = await stand.watcher("dead", execution=first).start()
    await stand.debug("a")
    await wait_until(lambda: first.running)
    await dead.kill()
    await stand.watcher("other", execution=second).start()
    await wait_until(lambda: second.running, 6)
    (lease,) = second.begun
    assert (lease.deaths, lease.attempts_used, lease.crashes) == (1, 0, 0)
    second.open.set()
    (record,) = await stand.ended("a")
    assert record["attempt"] == 1


async def test_what_a_watcher_leaves_that_ended_properly_is_no_warning(stand: Stand) -> None:
    """Stopped twice: what ran was handed back by it, what stood in its lane is taken back as what it is."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a", "b")
    await wait_until(lambda: gate.running)
    await wait_until(lambda: stand.length(ANY), what="b in the lane")
    await watcher.finish(hurry=True)
    said: list[str] = []
    sink = logger.add(lambda text: said.append(f"{text.record['level'].name} {text.record['message']}"), level="INFO")
    sweeper = reclaimer(stand)
    await sweeper.sweep(force=True)
    logger.remove(sink)
    assert said == ["INFO a lane has no watcher any more: 1 job that waited there is back in intake"]
    assert sweeper.counts.jobs_reclaimed == 0


async def test_what_a_dead_watcher_held_is_a_warning(stand: Stand) -> None:
    """It was begun and never ended."""
    gate = Gate()
    dead = await stand.watcher(execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    await dead.kill()
    await stand.evict(dead.session)
    said: list[str] = []
    sink = logger.add(lambda text: said.append(text.record["message"]), level="WARNING")
    sweeper = reclaimer(stand)
    await sweeper.sweep(force=True)
    logger.remove(sink)
    assert said == ["1 job of a dead watcher is back in intake"]
    assert sweeper.counts.jobs_reclaimed == 1


async def test_a_living_watchers_job_is_never_taken(stand: Stand) -> None:
    """However often another sweeps, and with force."""
    gate = Gate()
    await stand.watcher(execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    for _ in range(20):
        await reclaimer(stand).sweep(force=True)
    row = await stand.row("a")
    assert row is not None
    assert (row.fence, row.deaths) == (gate.begun[0].fence, 0)
    gate.open.set()
    await stand.ended("a")
    assert len(gate.begun) == 1


async def test_ended_sessions_are_told_to_who_waits_for_the_lead(stand: Stand) -> None:
    """And only then."""
    ended = asyncio.Event()
    sweeper = reclaimer(stand, ended)
    await sweeper.sweep(force=True)
    assert not ended.is_set()
    watcher = stand.watcher()
    await watcher.life.open()
    await stand.queue.client.zadd(stand.queue.keys.of("sessions"), {watcher.session: 1})
    await sweeper.sweep(force=True)
    assert ended.is_set()


async def test_poison_ends_after_the_last_death_with_its_bytes_kept(stand: Stand) -> None:
    """A suspect whose runs have ended ten more watchers; its own TTL and backlog are kept too."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a", backlog="night", ttl_seconds=600)
    await wait_until(lambda: gate.running)
    await watcher.kill()
    await stand.suspect("a", deaths=11)
    await stand.evict(watcher.session)
    await reclaimer(stand).sweep(force=True)
    (record,) = await stand.ended("a")
    assert (record["status"], record["error_type"]) == ("failed", "poison")
    assert (record["job"]["request_id"], record["backlog"]) == ("a", "night")
    assert await stand.queue.client.zscore(stand.queue.keys.of("expiry"), "a") is not None


async def test_a_pending_entry_of_nobody_is_dropped(stand: Stand) -> None:
    """No row names it: it leaves the pending list, and no record is made of it."""
    watcher = stand.watcher()
    await watcher.life.open()
    key = stand.queue.keys.stream(ANY)
    entry = await stand.add(key, {"odd": "entry"})
    await stand.queue.client.xreadgroup("watchers", watcher.session, {key: ">"}, count=1)
    await stand.queue.client.xdel(key, entry)
    sweeper = reclaimer(stand)
    sweeper.note_lost([LostEntry(ANY, entry)])
    await sweeper.sweep(force=True)
    assert await stand.queue.client.xpending_range(key, "watchers", min="-", max="+", count=10) == []


async def test_only_one_sweep_is_let_through_an_interval(stand: Stand) -> None:
    """The others are told how long to wait."""
    assert await reclaimer(stand).sweep() == 5000
    assert 0 < await reclaimer(stand).sweep() <= 5000
    swept = await stand.queue.client.hget(stand.queue.keys.of("sweep"), "at")
    await reclaimer(stand).sweep()
    assert await stand.queue.client.hget(stand.queue.keys.of("sweep"), "at") == swept


async def test_records_past_their_ttl_go_with_the_sweep(stand: Stand) -> None:
    """And the id is new again."""
    await stand.watcher().start()
    await stand.debug("a", ttl_seconds=1)

    async def gone() -> bool:
        return await stand.record("a") is None and await stand.row("a") is None

    await stand.ended("a")
    await wait_until(gone, 8)
    await stand.debug("a")
    await stand.ended("a")
