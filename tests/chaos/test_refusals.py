"""A server that answers and refuses: full disk, loading, read-only, scripts forgotten: it passes, and fails no job."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import UnreachableError
from tests.chaos.yard import PAST_LIFE_SECONDS, Yard
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.support.servers import RealServer

pytestmark = pytest.mark.chaos


@asynccontextmanager
async def _misconf(yard: Yard) -> AsyncIterator[None]:
    """Its directory is gone, so snapshots fail and writes are refused."""
    client = yard.queue.client
    await client.config_set("save", "3600 1")
    # What is open, the append-only file, goes on.
    shutil.rmtree(yard.server.directory)
    await client.bgsave()

    async def failed() -> bool:
        persistence: Any = await client.info("persistence")
        return bool(persistence["rdb_last_bgsave_status"] == "err")

    await wait_until(failed, 20, what="a failed snapshot")
    yield
    await client.config_set("save", "")


@asynccontextmanager
async def _read_only(yard: Yard) -> AsyncIterator[None]:
    """It became the replica of a master that is not there, as after a failover that went wrong."""
    await yard.queue.client.replicaof("127.0.0.1", 1)
    yield
    await yard.queue.client.replicaof("NO", "ONE")


async def _refused(yard: Yard, code: str) -> bool:
    """Whether the server has answered a command with this error."""
    errors: Any = await yard.queue.client.info("errorstats")
    return f"errorstat_{code}" in errors


@pytest.mark.parametrize(("trouble", "code"), [(_misconf, "MISCONF"), (_read_only, "READONLY")])
async def test_a_server_that_refuses_writes_fails_no_job(
    yard: Yard, trouble: Callable[[Yard], AbstractAsyncContextManager[None]], code: str
) -> None:
    """Faults row 14, MISCONF and READONLY: retried until it passes, for longer than L; run once, recorded once."""
    watcher = await yard.started("watcher")
    session = await yard.session("watcher")
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    async with trouble(yard):
        yard.open_gate("end")
        await wait_until(lambda: _refused(yard, code), 20, what="a refused write")
        with pytest.raises(UnreachableError):
            await yard.submit(yard.gated("refused"))
        await yard.pass_a_life()
        assert await yard.records() == {}
    assert await yard.submit(yard.gated("refused")) == ["queued"]
    await yard.all_done("job", "refused")
    assert (yard.runs("job"), yard.runs("refused")) == (1, 1)
    assert await yard.session("watcher") == session
    assert "ERROR" not in watcher.log


async def test_scripts_forgotten_again_and_again_fail_no_job(yard: Yard) -> None:
    """Faults row 14, NOSCRIPT: SCRIPT FLUSH in mid-run, many times; every job done, each run once."""
    ids = [f"job-{i:02}" for i in range(60)]
    await yard.started("watcher", slots=2)
    await yard.submit(*(yard.gated(each) for each in ids))

    async def all_recorded() -> bool:
        await yard.queue.client.script_flush()
        return len(await yard.records()) == len(ids)

    await wait_until(all_recorded, 60)
    await yard.all_done(*ids)
    assert [yard.runs(each) for each in ids] == [1] * len(ids)


async def test_a_server_that_loads_is_waited_for(yard: Yard) -> None:
    """Faults row 14, LOADING: a restart with a big file; what runs goes on, is committed after it, and runs once."""
    client = yard.queue.client
    await client.eval("for i = 1, 10000 do redis.call('SET', 'ballast:' .. i, 'x') end", 0)
    await yard.started("watcher")
    session = await yard.session("watcher")
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    # A tenth of a millisecond's pause a key: loading takes a second or two, and the server answers meanwhile.
    yard.server.options = ("--key-load-delay", "100", "--loading-process-events-interval-bytes", "1024")
    yard.server.restart()
    yard.open_gate("end")
    await yard.submitted(yard.gated("later"))
    await yard.all_done("job", "later")
    assert await _refused(yard, "LOADING")
    assert (yard.runs("job"), yard.runs("later")) == (1, 1)
    assert await yard.session("watcher") == session


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Four megabytes of disk; needs the right to mount."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture
def full_server(small_disk: Path) -> Iterator[RealServer]:
    """A server whose disk a test may fill."""
    with ValkeyServer(small_disk / "server") as server:
        yield server


async def test_a_full_disk_under_the_server_fails_no_job(yard: Yard, full_server: RealServer, small_disk: Path) -> None:
    """Faults row 14: the append-only file cannot grow, writes are refused; when there is room, all goes on."""
    async with yard.moved_to(full_server) as there:
        watcher = await there.started("watcher")
        await there.submit(there.gated("job", gate="end"))
        await there.runs_reach("job", 1)
        filler = small_disk / "filler"
        _fill(filler)
        await wait_until(lambda: "MISCONF" in watcher.log, 30, what="MISCONF")
        there.open_gate("end")
        with pytest.raises(UnreachableError):
            await there.submit(there.gated("refused"))
        assert await there.records() == {}
        filler.unlink()
        await there.submitted(there.gated("refused"))
        await there.all_done("job", "refused", deadline_seconds=PAST_LIFE_SECONDS + 30)
        assert (there.runs("job"), there.runs("refused")) == (1, 1)


def _fill(file: Path) -> None:
    """Write until there is no room for another byte."""
    with file.open("wb", buffering=0) as disk:
        for size in (65536, 512, 1):
            try:
                while True:
                    disk.write(b"x" * size)
            except OSError:
                continue
