"""The process: signals, a server that comes late, lives that follow each other, and what it leaves."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.daemon import Daemon
from job_watcher.display import NoDisplay
from job_watcher.equipping import own_version
from job_watcher.work_dirs import WorkDirs
from lib.errors import NameTakenError, RefusedError, UnreachableError
from tests.support.servers import ValkeyServer, free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from job_watcher.draining import Mode
    from job_watcher.outcomes import Tally
    from tests.job_watcher.watching import Stand


def daemon(stand: Stand, mode: Mode = "forever", name: str = "desk", **more: Any) -> Daemon:
    """A daemon on the stand's queue."""
    return Daemon(stand.settings(**more), mode=mode, consumer_name=name, display=NoDisplay())


async def finished(running: asyncio.Task[Tally], seconds: float = 20) -> Tally:
    """Its tally, when it has ended."""
    done, _ = await asyncio.wait([running], timeout=seconds)
    assert done, "the daemon has not ended"
    return running.result()


async def test_sigterm_finishes_the_running_job(stand: Stand) -> None:
    """The body ends, its record is there, the session is closed, nothing was interrupted."""
    watching = daemon(stand)
    running = asyncio.create_task(watching.run())
    await stand.sleep("a", 1.0)
    await stand.leased("a")
    os.kill(os.getpid(), signal.SIGTERM)
    tally = await finished(running)
    assert (tally.done, watching.interrupted) == (1, False)
    record = await stand.record("a")
    assert record is not None
    assert record["status"] == "done"
    assert await stand.queue.client.zcard(stand.queue.keys.of("sessions")) == 0


async def test_a_second_sigterm_hands_back_at_once(stand: Stand) -> None:
    """Row 24: neither an attempt nor a death is counted."""
    watching = daemon(stand)
    running = asyncio.create_task(watching.run())
    await stand.sleep("a", 60)
    await stand.leased("a")
    os.kill(os.getpid(), signal.SIGTERM)
    await wait_until(watching._stop.is_set)
    os.kill(os.getpid(), signal.SIGTERM)
    tally = await finished(running)
    assert tally.done == 0
    row = await stand.row("a")
    assert row is not None
    assert (row.state, row.attempt, row.deaths, row.crashes) == ("Q", 0, 0, 0)


@pytest.mark.parametrize("mode", ["drain", "once"])
async def test_a_watcher_stopped_before_its_end_counts_what_is_left(stand: Stand, mode: Mode) -> None:
    """What another one like it would do: not what nobody offers a place for, nor what is due much later."""
    watching = daemon(stand, mode)
    await stand.sleep("a", 60)
    await stand.debug("b")
    await stand.debug("c", backend="cloud")
    await stand.debug("d", run_after="2999-01-01T00:00:00Z")
    running = asyncio.create_task(watching.run())
    await stand.leased("a")
    os.kill(os.getpid(), signal.SIGTERM)
    await wait_until(watching._stop.is_set)
    os.kill(os.getpid(), signal.SIGTERM)
    await finished(running)
    assert watching.left == 2


async def test_ctrl_c_is_remembered_as_an_interruption(stand: Stand) -> None:
    """Exit 130 is the CLI's; the daemon says why it ended."""
    watching = daemon(stand)
    running = asyncio.create_task(watching.run())
    await stand.debug("a")
    await stand.ended("a")
    os.kill(os.getpid(), signal.SIGINT)
    await finished(running)
    assert watching.interrupted


async def test_a_lost_session_begins_a_new_life_in_the_same_process(stand: Stand) -> None:
    """ZREM by hand: the body is thrown away, a new session is opened, the job runs again and is recorded once."""
    watching = daemon(stand)
    running = asyncio.create_task(watching.run())
    await stand.sleep("a", 1.0)
    await stand.leased("a")
    row = await stand.row("a")
    assert row is not None
    await stand.evict(row.session)
    (record,) = await stand.ended("a")
    assert int(record["fence"]) > int(row.fence)
    assert await stand.told("done") == ["a"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert (await finished(running)).done == 1


async def test_forever_waits_for_a_server_that_is_not_there_yet(stand: Stand, tmp_path: Path) -> None:
    """A machine that boots starts both in any order."""
    port = free_port()
    watching = daemon(stand, url=f"redis://127.0.0.1:{port}/0")
    running = asyncio.create_task(watching.run())
    # Two refusals are enough to know that it waits.
    await asyncio.wait([running], timeout=0.3)
    assert not running.done()
    server = ValkeyServer(tmp_path / "late", port=port)
    await asyncio.to_thread(server.start)
    try:
        await wait_until(lambda: b"watcher:sessions" in server.command("KEYS", "*"), 15)
        os.kill(os.getpid(), signal.SIGTERM)
        await finished(running)
    finally:
        server.kill()


async def test_sigterm_while_it_waits_for_a_server_ends_it(stand: Stand) -> None:
    """Not after the steps of a stop that has nothing to stop, and not as an error."""
    watching = daemon(stand, url=f"redis://127.0.0.1:{free_port()}/0")
    running = asyncio.create_task(watching.run())
    await asyncio.wait([running], timeout=0.3)
    os.kill(os.getpid(), signal.SIGTERM)
    assert (await finished(running, 5)).done == 0


@pytest.mark.parametrize("mode", ["drain", "once"])
async def test_a_drain_without_a_server_is_refused(stand: Stand, mode: Mode) -> None:
    """A watcher that is to end by itself does not wait for what may never come."""
    watching = daemon(stand, mode, url=f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(UnreachableError, match="does not answer"):
        await watching.run()


async def test_a_server_that_stays_away_is_waited_for_at_no_cost(stand: Stand) -> None:
    """Each try to begin is a life of its own; what belonged to those that came to nothing is not kept."""
    server = f"redis://127.0.0.1:{free_port()}/0"
    watching = daemon(stand, url=server)
    watching._check_server = _passes  # type: ignore[assignment, method-assign]  # it went away right after that check
    running = asyncio.create_task(watching.run())
    lives: set[str] = set()

    def three_tries() -> bool:
        if watching._life is not None:
            lives.add(watching._life.session.run_id)
        return len(lives) >= 3

    await wait_until(three_tries, 20)
    gc.collect()
    root = watching._settings.watcher_work_dir
    assert len([each for each in gc.get_objects() if isinstance(each, WorkDirs) and each._root == root]) == 1
    watching._stop.set()
    await running


async def _passes(_: object) -> None:
    """A server that is there."""


async def test_a_name_whose_holder_is_gone_for_good_is_free_when_its_session_has_ended(stand: Stand) -> None:
    """A host that never comes back, and nobody else to sweep: its successor elsewhere waits, and begins."""
    gone = await stand.watcher("desk").start()
    await gone.kill()
    assert await stand.member(gone.session)
    watching = daemon(stand, state="elsewhere")
    running = asyncio.create_task(watching.run())
    await stand.debug("a")
    await stand.ended("a")
    assert not await stand.member(gone.session)
    watching._stop.set()
    await running


async def test_a_name_that_is_alive_is_refused(stand: Stand) -> None:
    """The second process of a name ends at once and takes nothing."""
    running = asyncio.create_task(daemon(stand).run())
    await stand.debug("a")
    await stand.ended("a")
    with pytest.raises(NameTakenError, match="desk"):
        await daemon(stand).run()
    with pytest.raises(NameTakenError, match="desk"):
        await daemon(stand, state="elsewhere").run()
    # The refused ones have replaced the handlers of this loop, as only one daemon is meant to live in a process.
    third = daemon(stand, name="third")
    other = asyncio.create_task(third.run())
    await wait_until(lambda: stand.member_named("third"))
    os.kill(os.getpid(), signal.SIGTERM)
    await finished(other)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_server_that_evicts_is_refused(own_stand: Stand) -> None:
    """It could throw jobs away: refused with the mend, and taken by force with a warning."""
    await own_stand.queue.client.config_set("maxmemory-policy", "allkeys-lru")
    with pytest.raises(RefusedError, match="maxmemory-policy allkeys-lru") as caught:
        await daemon(own_stand).run()
    assert "CONFIG SET maxmemory-policy noeviction" in (caught.value.hint or "")
    assert await own_stand.queue.client.exists(own_stand.queue.keys.of("sessions")) == 0
    await own_stand.debug("a")
    forced = Daemon(own_stand.settings(), mode="drain", consumer_name="desk", display=NoDisplay(), force=True)
    assert (await forced.run()).done == 1
    await own_stand.queue.client.config_set("maxmemory-policy", "noeviction")
    await own_stand.debug("b")
    assert (await daemon(own_stand, "drain").run()).done == 1


async def test_the_end_leaves_no_task_and_no_directory(stand: Stand) -> None:
    """Clients, duties and bodies are gone; the name can be taken again."""
    await stand.debug("a", "b")
    before = asyncio.all_tasks()
    assert (await daemon(stand, "drain").run()).done == 2
    assert asyncio.all_tasks() == before
    assert list(stand.settings().watcher_work_dir.rglob("*")) == []
    assert (await daemon(stand, "drain").run()).done == 0


def test_the_version_is_said() -> None:
    """Of the installed package, or 0."""
    assert own_version()[0].isdigit()
