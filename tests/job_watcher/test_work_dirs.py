"""Directories of attempts: empty, private, and gone."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from job_watcher.work_dirs import LOCK_NAME, WorkDirs, id_hash
from lib.errors import TemporaryError
from tests.support.running import lease_of, spec

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease


def lease(request_id: str = "job-1", fence: str = "1") -> Lease:
    """A lease of this job."""
    return lease_of(spec("debug", request_id=request_id), fence=fence)


async def test_an_attempt_has_an_empty_private_directory_below_the_root(tmp_path: Path) -> None:
    """Hostile ids and session names lead nowhere else."""
    work = WorkDirs(tmp_path, "../w/1:run")
    async with work.attempt(lease("../../etc/passwd")) as given:
        place = given.make()
        assert given.make() == place
        assert place.is_relative_to(tmp_path)
        assert list(place.iterdir()) == []
        assert place.stat().st_mode & 0o777 == 0o700
        assert place.parent.parent == tmp_path
    assert not place.exists()


async def test_it_goes_when_the_block_fails_or_is_cancelled(tmp_path: Path) -> None:
    """However an attempt ends, its files are gone when it has."""
    work = WorkDirs(tmp_path, "w1")
    places: list[Path] = []

    async def failing() -> None:
        async with work.attempt(lease()) as given:
            place = given.make()
            places.append(place)
            (place / "deep").mkdir()
            (place / "deep" / "file").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await failing()
    assert not places.pop().exists()
    entered = asyncio.Event()

    async def body() -> None:
        async with work.attempt(lease(fence="2")) as inner:
            places.append(inner.make())
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not places[0].exists()


async def test_a_cancel_while_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    """The thread that makes it cannot be stopped, so the cancellation waits for it."""
    work = WorkDirs(tmp_path, "w1")

    async def body(fence: str) -> None:
        async with work.attempt(lease(fence=fence)) as given:
            await given.promised()

    for turns in range(8):
        task = asyncio.create_task(body(str(turns)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert [entry.name for home in tmp_path.iterdir() for entry in home.iterdir()] == [LOCK_NAME]
    await work.aclose()


async def test_attempts_and_sessions_do_not_share(tmp_path: Path) -> None:
    """Another fence, another job or another session is another directory."""
    first, second = WorkDirs(tmp_path, "w:1"), WorkDirs(tmp_path, "w/1")
    async with (
        first.attempt(lease()) as one,
        first.attempt(lease(fence="2")) as two,
        first.attempt(lease("job-2")) as three,
        second.attempt(lease()) as four,
    ):
        assert len({place.make() for place in (one, two, three, four)}) == 4
    assert id_hash("job-1") != id_hash("job-2")


async def test_a_symlink_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """What a body linked to is not removed with its directory."""
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold").write_text("x")
    work = WorkDirs(tmp_path / "work", "w1")
    async with work.attempt(lease()) as given:
        place = given.make()
        (place / "link").symlink_to(treasure)
    assert not place.exists()
    assert (treasure / "gold").exists()


async def test_a_root_that_is_no_directory_is_temporary(tmp_path: Path) -> None:
    """The message names the directory and the setting."""
    (tmp_path / "work").write_text("a file")
    with pytest.raises(TemporaryError, match=r"no work directory .*work") as caught:
        WorkDirs(tmp_path / "work", "w1").attempt(lease()).make()
    assert "WATCHER_WORK_DIR" in (caught.value.hint or "")


async def test_closing_removes_the_session_and_can_be_repeated(tmp_path: Path) -> None:
    """A watcher that stopped in order leaves nothing."""
    work = WorkDirs(tmp_path, "w1")
    async with work.attempt(lease()) as place:
        place.make()
    await work.aclose()
    await work.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_a_sweep_takes_what_the_dead_left_and_nothing_of_the_living(tmp_path: Path) -> None:
    """A killed watcher's directory goes, a living one's stays, decided by the lock that only the living hold."""
    code = (
        "import sys,time; from pathlib import Path; from job_watcher.work_dirs import WorkDirs\n"
        "work = WorkDirs(Path(sys.argv[1]), 'dead'); work._hold(); (work._home / 'half').mkdir()\n"
        "print(work._home, flush=True); time.sleep(3600)"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220  a moment
    assert other.stdout is not None
    home = Path(other.stdout.readline().strip())
    mine = WorkDirs(tmp_path, "mine")
    try:
        async with mine.attempt(lease()) as given:
            place = given.make()
            assert await mine.sweep() == 0
            assert (home / "half").exists()
            os.kill(other.pid, signal.SIGKILL)
            other.wait()
            assert await mine.sweep() == 1
            assert not home.exists()
            assert place.exists()
    finally:
        other.kill()
        other.stdout.close()
        await mine.aclose()


async def test_a_sweep_touches_nothing_that_is_not_ours(tmp_path: Path) -> None:
    """WATCHER_WORK_DIR may have been pointed at a directory full of other people's things."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_text("x")
    assert await WorkDirs(tmp_path, "w1").sweep() == 0
    assert [entry.name for entry in (tmp_path / "photos").iterdir()] == ["one.jpg"]


async def test_a_directory_that_a_sweep_took_is_made_again(tmp_path: Path) -> None:
    """A sweep between the making of a session's directory and its lock costs nobody an attempt."""
    work = WorkDirs(tmp_path, "w1")
    work._home.mkdir()
    (work._home / LOCK_NAME).touch()
    assert await WorkDirs(tmp_path, "w2").sweep() == 1
    async with work.attempt(lease()) as place:
        assert place.make().exists()
    await work.aclose()


async def test_a_session_that_is_open_twice_is_refused(tmp_path: Path) -> None:
    """Two processes under one session would empty each other's directories."""
    first, second = WorkDirs(tmp_path, "w1"), WorkDirs(tmp_path, "w1")
    async with first.attempt(lease()) as place:
        place.make()
        with pytest.raises(TemporaryError, match="held by another process"):
            second.attempt(lease(fence="2")).make()
    await first.aclose()


async def test_a_body_that_writes_nothing_costs_no_disk(tmp_path: Path) -> None:
    """No directory is made for an attempt that never asks."""
    work = WorkDirs(tmp_path / "work", "w1")
    async with work.attempt(lease()):
        pass
    await work.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_many_attempts_may_begin_at_once(tmp_path: Path) -> None:
    """The first of a session are made in several threads; each gets its own."""
    work = WorkDirs(tmp_path, "w1")
    given = [work.attempt(lease(fence=str(fence))) for fence in range(32)]
    places = await asyncio.gather(*(asyncio.to_thread(place.make) for place in given))
    assert len({place for place in places if place.is_dir()}) == 32
    await work.aclose()


async def test_the_first_of_a_session_sweeps(tmp_path: Path) -> None:
    """Nobody has to remember it: a restarted watcher cleans up after its last life."""
    dead = WorkDirs(tmp_path, "dead")
    dead._home.mkdir()
    (dead._home / LOCK_NAME).touch()
    work = WorkDirs(tmp_path, "w1")
    async with work.attempt(lease()) as place:
        place.make()
        assert not dead._home.exists()
    await work.aclose()


async def test_a_sweep_before_any_work_finds_nothing(tmp_path: Path) -> None:
    """The first start on a machine."""
    assert await WorkDirs(tmp_path / "never", "w1").sweep() == 0
