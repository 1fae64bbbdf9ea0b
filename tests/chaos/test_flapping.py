"""A server that comes and goes again and again, or whose clock jumps: the living keep their jobs, the dead do not."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chaos.yard import RECOVERY_SECONDS, YARD_LIFE_SECONDS
from tests.support.servers import ValkeyServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.yard import Yard
    from tests.support.servers import RealServer

pytestmark = pytest.mark.chaos

# 11 s down and 15 s up of a life of 20 s, in the shares of the shorter life of tests.
DOWN_SECONDS = YARD_LIFE_SECONDS * 11 / 20
UP_SECONDS = YARD_LIFE_SECONDS * 15 / 20
ROUNDS = 3


async def _pass(seconds: float) -> None:
    """The outage itself is what is tested, so its length is not waited for by anything else."""
    end = time.monotonic() + seconds
    await wait_until(lambda: time.monotonic() > end, seconds + 5)


async def test_flapping_neither_kills_the_living_nor_spares_the_dead(yard: Yard) -> None:
    """Faults row 8: down and up, again and again, never up for a whole life; afterwards all goes on at once."""
    living = await yard.started("living", host="one")
    dying = await yard.started("dying", host="two")
    await yard.submit(*(yard.gated(f"job-{i}", gate="end") for i in range(4)))
    for i in range(4):
        await yard.runs_reach(f"job-{i}", 1)
    session, dead = await yard.session("living"), await yard.session("dying")
    dying.kill()
    for _ in range(ROUNDS):
        yard.server.kill()
        await _pass(DOWN_SECONDS)
        yard.server.start()
        await yard.answers()
        await _pass(UP_SECONDS)
    await yard.reaped(dead, RECOVERY_SECONDS)
    yard.open_gate("end")
    await yard.all_done(*(f"job-{i}" for i in range(4)), deadline_seconds=RECOVERY_SECONDS)
    assert living.running
    assert await yard.session("living") == session
    assert sorted(yard.runs(f"job-{i}") for i in range(4)) == [1, 1, 2, 2]
    assert await yard.submit(yard.gated("later")) == ["queued"]
    await yard.all_done("later", deadline_seconds=10)


def _libfaketime() -> Path:
    found = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if shutil.which("faketime") is None or found is None:
        pytest.skip("faketime is not installed; on Debian: apt-get install faketime")
    return found


@pytest.fixture
def clock(tmp_path: Path) -> Path:
    """What the server's wall clock is off by; its monotonic clock is true."""
    place = tmp_path / "clock"
    place.write_text("+0")
    return place


@pytest.fixture
def jumpy(tmp_path: Path, clock: Path) -> Iterator[RealServer]:
    """A server whose clock jumps when that file changes."""
    environ = (
        f"LD_PRELOAD={_libfaketime()}",
        f"FAKETIME_TIMESTAMP_FILE={clock}",
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    )
    with ValkeyServer(tmp_path / "jumpy", prefix=("env", *environ)) as server:
        yield server


@pytest.mark.parametrize("step", ["+3600", "-3600"])
async def test_a_servers_clock_that_jumps_robs_nobody(yard: Yard, jumpy: RealServer, clock: Path, step: str) -> None:
    """Faults row 21: an hour forth or back while jobs run: the living keep theirs, the dead are found, new jobs run."""
    async with yard.moved_to(jumpy) as there:
        living = await there.started("living", host="one")
        dying = await there.started("dying", host="two")
        await there.submit(*(there.gated(f"job-{i}", gate="end") for i in range(4)))
        for i in range(4):
            await there.runs_reach(f"job-{i}", 1)
        session, dead = await there.session("living"), await there.session("dying")
        before = await there.time_ms()
        dying.kill()
        clock.write_text(step)

        async def jumped() -> bool:
            return abs(await there.time_ms() - before) > 3_000_000

        await wait_until(jumped, 10, what="a clock that has jumped")
        await there.reaped(dead, RECOVERY_SECONDS)
        assert await there.session("living") == session
        there.open_gate("end")
        await there.all_done(*(f"job-{i}" for i in range(4)), deadline_seconds=RECOVERY_SECONDS)
        assert sorted(there.runs(f"job-{i}") for i in range(4)) == [1, 1, 2, 2]
        assert await there.submit(there.gated("later")) == ["queued"]
        await there.all_done("later", deadline_seconds=10)
        assert living.running
