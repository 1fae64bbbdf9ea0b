"""Published names equal the current records, whoever committed them, however often it is done."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from loguru import logger

from job_watcher import publish
from job_watcher.publish import Publisher
from lib import wiring
from lib.redisqueue import upkeep
from lib.redisqueue.sessions import open_session
from tests.job_watcher.watching import Gate
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from loguru import Message

    from tests.job_watcher.watching import Stand, Watcher


async def committed(stand: Stand, request_id: str, content: str, **more: Any) -> Watcher:
    """A job whose watcher died between its commit and its publishing."""
    watcher = stand.watcher(f"dead-{request_id}", WATCHER_SESSION_TTL="3600", WATCHER_POLL_INTERVAL="600")
    watcher.life.outcomes.publish = lambda _entry: None  # dies before
    await watcher.start()
    job = {"request_id": request_id, "output_name": request_id, "task": "write_output_inline", **more}
    assert await stand.submit({**job, "payload": {"files": {"best.wav": content}}}) == ["queued"]
    await stand.ended(request_id)
    await watcher.kill()
    assert not target(stand, request_id).exists()
    return watcher


def target(stand: Stand, request_id: str) -> Path:
    """The published file."""
    return stand.directory / "output" / request_id / "best.wav"


def publisher(watcher: Watcher, clock: HandClock) -> Publisher:
    """A publisher on a clock of the test, of an opened session."""
    life = watcher.life
    return Publisher(watcher.queue, life.session, wiring.artifacts(watcher.settings), clock, 5.0)


async def test_what_a_dead_watcher_committed_is_published_by_another(stand: Stand) -> None:
    """Its entry is taken over when its session has ended; while it lives it is left to it."""
    dead = await committed(stand, "a", "x")
    other = stand.watcher("other")
    await other.life.open()
    clock = HandClock()
    mine = publisher(other, clock)
    await mine._take_over()
    assert mine._waiting == {}
    await stand.evict(dead.session)
    await mine._take_over()
    assert len(mine._waiting) == 1
    await mine.run_once()
    assert target(stand, "a").read_text() == "x"
    assert await stand.outbox() == 0


async def test_a_record_that_changed_meanwhile_is_published_from_the_newer(stand: Stand) -> None:
    """Copied under an older fence: the entry stays until the copy is that of the current record."""
    dead = await committed(stand, "a", "old")
    await stand.evict(dead.session)
    (entry,) = await upkeep.read_outbox(stand.queue)
    other = stand.watcher("other")
    await other.life.open()
    mine = publisher(other, HandClock())
    copies: list[str] = []
    copy = wiring.artifacts(other.settings).publish

    class Store:
        """The real store, during whose first copy the job is done anew."""

        def __getattr__(self, name: str) -> Any:
            return getattr(wiring.artifacts(other.settings), name)

        async def publish(self, output_name: str, stored: Any, *, order: tuple[int, ...] = ()) -> bool:
            assert await copy(output_name, stored, order=order)
            copies.append(target(stand, "a").read_text())
            if len(copies) == 1:
                raw: Any = await stand.queue.client.hget(stand.queue.keys.of("result"), "a")
                assert raw is not None
                newer = raw.replace(entry.fence.encode(), str(int(entry.fence) + 1).encode(), 1)
                await stand.queue.client.hset(stand.queue.keys.of("result"), "a", newer)
            return True

    mine.store = Store()
    await mine._take_over()
    await mine.run_once()
    assert copies == ["old", "old"], "copied again from the record with the newer fence"
    assert await stand.outbox() == 0


async def test_the_older_of_two_jobs_with_one_name_never_replaces_the_newer(stand: Stand) -> None:
    """`a` is committed and its watcher dies; `b`, of the same output name, is committed and published; then `a`."""
    dead = await committed(stand, "a", "old")
    await stand.evict(dead.session)
    live = stand.watcher("live", WATCHER_SESSION_TTL="3600", WATCHER_POLL_INTERVAL="600")
    await live.life.open()
    live.life.publisher._taken_over_at = live.clock.elapsed()  # leaves `a` for later
    live.run()
    job = {"request_id": "b", "output_name": "a", "task": "write_output_inline"}
    await stand.submit({**job, "payload": {"files": {"best.wav": "new"}}})
    await wait_until(target(stand, "a").exists)
    await live.finish()
    assert await stand.outbox() == 1
    other = stand.watcher("other")
    await other.life.open()
    mine = publisher(other, HandClock())
    await mine.run_once()
    assert await stand.outbox() == 0, "it counts as done: what stands there is newer"
    assert target(stand, "a").read_text() == "new"


async def test_missing_files_leave_the_entry_and_are_said_once(stand: Stand) -> None:
    """This host may lack the files: another may have them, so nothing is lost and nobody is flooded."""
    dead = await committed(stand, "a", "x")
    await stand.evict(dead.session)
    shutil.rmtree(stand.directory / "output" / ".store")
    shutil.rmtree(stand.directory / "output" / "a", ignore_errors=True)
    other = stand.watcher("other")
    await other.life.open()
    clock = HandClock()
    mine = publisher(other, clock)
    said: list[str] = []

    def hear(message: Message) -> None:
        said.append(str(message))

    sink = logger.add(hear, level="WARNING")
    for _ in range(3):
        await mine._take_over()
        await mine.run_once()
        assert await stand.outbox() == 1
        assert mine.stuck == 1
        await clock.move(10)
    logger.remove(sink)
    assert len([line for line in said if "not published yet" in line]) == 1
    # Another host publishes it: it is no longer counted as stuck here.
    await stand.queue.client.delete(stand.queue.keys.of("outbox"))
    await mine._take_over()
    assert mine.stuck == 0


async def test_a_record_damaged_by_hand_stops_nobody_else(stand: Stand) -> None:
    """Promise 13: its entry stays, the next one is published."""
    stand.damaged("a record is overwritten by hand")
    first = await committed(stand, "a", "x")
    await stand.queue.client.hset(stand.queue.keys.of("result"), "a", b"{}")
    await stand.evict(first.session)
    second = await committed(stand, "b", "y")
    await stand.evict(second.session)
    other = stand.watcher("other")
    await other.life.open()
    mine = publisher(other, HandClock())
    await mine._take_over()
    await mine.run_once()
    assert target(stand, "b").read_text() == "y"
    assert (await stand.outbox(), mine.stuck) == (1, 1)


async def test_publishing_again_changes_nothing(stand: Stand) -> None:
    """Two watchers may take over the same entry."""
    dead = await committed(stand, "a", "x")
    await stand.evict(dead.session)
    both = []
    for name in ("one", "two"):
        other = stand.watcher(name)
        await other.life.open()
        both.append(publisher(other, HandClock()))
        await both[-1]._take_over()
    for mine in both:
        await mine.run_once()
    assert target(stand, "a").read_text() == "x"
    assert await stand.outbox() == 0


async def test_own_entries_are_published_without_waiting_for_an_interval(stand: Stand) -> None:
    """S of an hour: the published name is there as soon as the commit is."""
    gate = Gate(real=True)
    times: dict[str, Any] = {"WATCHER_SESSION_TTL": "3600", "WATCHER_POLL_INTERVAL": "600"}
    await stand.watcher(execution=gate, **times).start()
    gate.open.set()
    await stand.submit(
        {"request_id": "a", "output_name": "a", "task": "write_output_inline", "payload": {"files": {"best.wav": "x"}}}
    )
    await wait_until(target(stand, "a").exists)
    await wait_until(stand.outbox_empty)


async def test_more_entries_than_one_page_are_all_seen(stand: Stand) -> None:
    """Behind five hundred entries of a living watcher stands one of a dead one."""
    await open_session(stand.queue, "live:1", name="live", previous="", life_ms=60_000, heartbeat=b'"slots":{}}')
    key = stand.queue.keys.of("outbox")
    async with stand.queue.client.pipeline(transaction=False) as pipe:
        for i in range(600):
            pipe.xadd(key, {"id": f"j{i}", "fence": "1", "session": "live:1"})
        pipe.xadd(key, {"id": "gone", "fence": "1", "session": "dead:1"})
        await pipe.execute()
    other = stand.watcher("other")
    await other.life.open()
    mine = publisher(other, HandClock())
    await mine._take_over()
    assert [entry.request_id for entry in mine._waiting.values()] == ["gone"]
    await mine.run_once()
    assert await stand.outbox() == 600, "an entry whose record is gone is removed"


async def test_a_long_outbox_is_looked_at_in_parts(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A look takes in a bounded part and goes on where the last one ended; at the end it begins anew."""
    monkeypatch.setattr(publish, "LOOK_MAX", 500)
    await open_session(stand.queue, "live:1", name="live", previous="", life_ms=60_000, heartbeat=b'"slots":{}}')
    key = stand.queue.keys.of("outbox")
    async with stand.queue.client.pipeline(transaction=False) as pipe:
        for i in range(700):
            pipe.xadd(key, {"id": f"j{i}", "fence": "1", "session": "live:1"})
        pipe.xadd(key, {"id": "gone", "fence": "1", "session": "dead:1"})
        await pipe.execute()
    other = stand.watcher("other")
    await other.life.open()
    mine = publisher(other, HandClock())
    assert await mine._take_over(), "there is more to look at"
    assert mine._waiting == {}
    assert not await mine._take_over()
    assert [entry.request_id for entry in mine._waiting.values()] == ["gone"]
    mine._stuck.add("0-1")
    await mine._take_over()
    await mine._take_over()
    assert mine._stuck == set(), "what is gone from the outbox is stuck no more"
