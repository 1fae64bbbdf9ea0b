"""Rounds through the database in real children: the address reaches them, and a death in the middle costs nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from typing import TYPE_CHECKING

import pytest

from job_watcher.backends.metal import Metal
from job_watcher.crashes import ChildCrashedError
from job_watcher.work_dirs import WorkDir
from lib.errors import PermanentError
from lib.jobqueue.receipts import LIFECYCLE
from tests.support.running import children, lease_of, registry, settings_in, spec

if TYPE_CHECKING:
    from pathlib import Path

    from lib.jobqueue import JobSpec
    from lib.tasks.base import TaskResult


async def run(
    metal: Metal, job: JobSpec, place: Path, on_progress: object = lambda _: None, used: int = 0
) -> TaskResult:
    """One attempt; `used` were used before."""
    async with WorkDir(place / "attempt", lambda: place.mkdir(exist_ok=True)) as work_dir:
        return await metal.run(job, lease_of(job, attempts_used=used), work_dir, on_progress)  # type: ignore[arg-type]  # any callable does


async def test_the_default_database_is_made_where_the_state_is(tmp_path: Path) -> None:
    """By the first round, in the child; nothing is left in it."""
    metal = Metal(registry(), settings_in(tmp_path))
    try:
        done = await run(metal, spec("fast_crud", payload={"data": {"a": 1}}), tmp_path / "work")
    finally:
        await metal.aclose()
    assert done.result is not None
    assert tuple(done.result["lifecycle"]) == LIFECYCLE
    kept = sqlite3.connect(tmp_path / "database.sqlite3")
    assert kept.execute("SELECT count(*) FROM job_runner_rounds").fetchone() == (0,)
    assert kept.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    kept.close()


async def test_a_body_sees_no_address(tmp_path: Path) -> None:
    """The child takes it out of its environment: programs that other bodies start do not inherit a password."""
    url = "postgresql+pg8000://someone:correct-horse@127.0.0.1:1/x"
    metal = Metal(registry(), settings_in(tmp_path, DATABASE_URL=url))
    try:
        seen = await run(metal, spec("look_around"), tmp_path / "work")
    finally:
        await metal.aclose()
    assert seen.result is not None
    assert "DATABASE_URL" not in seen.result["environment"]
    assert "correct-horse" not in str(seen.result)


async def test_a_driver_that_is_missing_is_said_in_the_child(tmp_path: Path) -> None:
    """As a permanent failure with the mend, and without the password."""
    metal = Metal(registry(), settings_in(tmp_path, DATABASE_URL="postgresql+asyncpg://someone:correct-horse@h/x"))
    try:
        with pytest.raises(PermanentError) as caught:
            await run(metal, spec("fast_crud"), tmp_path / "work")
    finally:
        await metal.aclose()
    assert "the driver of postgresql+asyncpg is not installed" in caught.value.message
    assert "[postgres]" in (caught.value.hint or "")
    assert "correct-horse" not in f"{caught.value.message}{caught.value.hint}"


async def test_a_child_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    """While it holds its connection; the next attempt goes round, and takes away what was left."""
    others = set(children())
    metal = Metal(registry(), settings_in(tmp_path))
    job = spec("sleep_crud", payload={"seconds": 60.0}, timeout_seconds=90.0)
    connected = asyncio.Event()
    try:
        await run(metal, spec("fast_crud", request_id="warm"), tmp_path / "work")
        under_way = asyncio.create_task(run(metal, job, tmp_path / "work", lambda _: connected.set()))
        await asyncio.wait_for(connected.wait(), 30)
        kept = sqlite3.connect(tmp_path / "database.sqlite3")
        row = ("left", job.request_id, 1, 1, "{}")
        # What a death between two steps leaves.
        kept.execute("INSERT INTO job_runner_rounds VALUES (?, ?, ?, ?, ?)", row)
        kept.commit()
        for pid in set(children()) - others:
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ChildCrashedError):
            await under_way
        again = spec("sleep_crud", payload={"seconds": 0.0})
        done = await run(metal, again, tmp_path / "work", used=1)
    finally:
        await metal.aclose()
    assert done.result is not None
    assert (tuple(done.result["lifecycle"]), done.result["left_over"]) == (LIFECYCLE, 1)
    assert kept.execute("SELECT count(*) FROM job_runner_rounds").fetchone() == (0,)
    kept.close()
