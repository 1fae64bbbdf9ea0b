"""A child never outlives its parent, whatever its body does; real processes, killed for real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.running import alive
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# A watcher in small: one job on metal, in a process that the test can kill.
PARENT = """
import asyncio, json, sys
from pathlib import Path
from job_watcher.backends.metal import Metal
from job_watcher.work_dirs import WorkDir
from tests.support.running import lease_of, registry, settings_in, spec

home, task, payload, deaths = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
job = spec(task, payload=payload)

async def main():
    metal = Metal(registry(), settings_in(home))
    if task == "warm":
        await metal.warm()
        print(metal._children._idle[0].pid, flush=True)
        await asyncio.sleep(3600)
    async with WorkDir(home / "work", lambda: None) as work_dir:
        await metal.run(job, lease_of(job, deaths=deaths), work_dir, lambda progress: None)

asyncio.run(main())
"""


@pytest.fixture
async def parents() -> AsyncIterator[list[asyncio.subprocess.Process]]:
    """Parents started by a test, ended after it."""
    started: list[asyncio.subprocess.Process] = []
    yield started
    for parent in started:
        if parent.returncode is None:
            parent.kill()
        await parent.wait()


async def start(
    parents: list[asyncio.subprocess.Process], home: Path, task: str, deaths: int = 0
) -> asyncio.subprocess.Process:
    """A parent whose body logs its pid in `runs`."""
    payload = {"run_log": str(home / "runs"), "seconds": 3600, "message": str(home / "grandchild")}
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PARENT,
        str(home),
        task,
        json.dumps(payload),
        str(deaths),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or "." for entry in sys.path)},
    )
    parents.append(parent)
    return parent


async def body_of(home: Path) -> int:
    """The pid of the body's process, once it runs."""
    log = home / "runs"
    return int(await wait_until(lambda: log.exists() and log.read_text(), 20, what="the body runs"))


@pytest.mark.parametrize("deaths", [0, 2])
@pytest.mark.parametrize("task", ["hang", "spin", "hold_lock"])
async def test_a_killed_parent_takes_its_child_along(
    parents: list[asyncio.subprocess.Process], tmp_path: Path, task: str, deaths: int
) -> None:
    """Blocked, computing, or inside one endless C call: the body is gone when its watcher is SIGKILLed."""
    parent = await start(parents, tmp_path, task, deaths)
    body = await body_of(tmp_path)
    parent.send_signal(signal.SIGKILL)
    await wait_until(lambda: not alive(body), what="the body's process is gone")


async def test_a_killed_parent_takes_the_grandchildren_along(
    parents: list[asyncio.subprocess.Process], tmp_path: Path
) -> None:
    """One that ignores SIGTERM too."""
    parent = await start(parents, tmp_path, "hang_with_family")
    note = tmp_path / "grandchild"
    grandchild = int(await wait_until(lambda: note.exists() and note.read_text(), 20, what="the grandchild runs"))
    parent.send_signal(signal.SIGKILL)
    await wait_until(lambda: not alive(grandchild), what="the grandchild is gone")


async def test_a_killed_parent_takes_idle_children_along(
    parents: list[asyncio.subprocess.Process], tmp_path: Path
) -> None:
    """A warm child with a loaded model does not stay in memory."""
    parent = await start(parents, tmp_path, "warm")
    assert parent.stdout is not None
    idle = int(await parent.stdout.readline())
    assert alive(idle)
    parent.send_signal(signal.SIGKILL)
    await wait_until(lambda: not alive(idle), what="the idle child is gone")


async def test_a_parent_that_dies_while_the_child_starts(
    parents: list[asyncio.subprocess.Process], tmp_path: Path
) -> None:
    """There is no moment in which the child is not tied to its parent: killed at its very first process."""
    parent = await start(parents, tmp_path, "hang", 2)
    group = await wait_until(lambda: _sessions_below(parent.pid), 20, what="the minder is started")
    parent.send_signal(signal.SIGKILL)
    await wait_until(lambda: not any(alive(pid) for pid in _group(group[0])), what="the whole group is gone")
    assert not (tmp_path / "runs").exists() or not alive(int((tmp_path / "runs").read_text()))


def _sessions_below(parent: int) -> list[int]:
    return [pid for pid, (above, _) in _processes().items() if above == parent]


def _group(leader: int) -> list[int]:
    return [pid for pid, (_, group) in _processes().items() if group == leader]


def _processes() -> dict[int, tuple[int, int]]:
    """Every process: pid to parent and group."""
    found: dict[int, tuple[int, int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208  names are numbers here, not paths
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:  # noqa: PTH123  ditto
                    parts = stat.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(name)] = (int(parts[1]), int(parts[2]))
    return found
