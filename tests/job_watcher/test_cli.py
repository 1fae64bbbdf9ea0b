"""`job-watcher` as people start it: flags, exit codes, and the one place where errors become messages."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from tests.job_watcher.watching import Stand

MAIN = "from job_watcher.cli import main; main()"


async def begin(stand: Stand, *words: str, **more: str) -> Process:
    """The real program, on the stand's queue."""
    environ = {
        **os.environ,
        "JOBS_STATE_DIR": str(stand.directory / "state"),
        "REDIS_URL": stand.queue.url,
        "JOBS_PREFIX": stand.queue.keys.prefix,
        "JOBS_TASK_MODULES": "tests.support.tasks",
        **more,
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, *words, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def run(stand: Stand, *words: str, **more: str) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    process = await begin(stand, *words, **more)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_drain_that_did_everything_exits_0(stand: Stand) -> None:
    """And says on stderr what it did; stdout is empty."""
    await stand.debug("a", "b")
    code, out, err = await run(stand, "--drain")
    assert (code, out) == (0, "")
    assert "watching as" in err
    assert len(await stand.ended("a", "b")) == 2


async def test_a_failed_job_makes_exit_1(stand: Stand) -> None:
    """With --drain and --once, so that a script sees it."""
    await stand.submit({"request_id": "a", "task": "fail_permanent", "payload": {"message": "no such thing"}})
    code, _, _ = await run(stand, "--once")
    assert code == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--once", "--drain"), "exclude each other"),
        (("--backends", "metal,moon"), "'moon' is not known"),
        (("--consumer-name", "a/b"), "'a/b' is not allowed"),
    ],
)
async def test_bad_usage_exits_2_with_a_hint(stand: Stand, words: tuple[str, ...], told: str) -> None:
    """One message, one hint, no traceback."""
    code, out, err = await run(stand, *words)
    assert (code, out) == (2, "")
    assert told in err
    assert "hint: " in err
    assert "Traceback" not in err


async def test_a_bad_setting_exits_2(stand: Stand) -> None:
    """It is named with what is allowed."""
    code, _, err = await run(stand, "--drain", WATCHER_SESSION_TTL="soon")
    assert code == 2
    assert "WATCHER_SESSION_TTL" in err


@pytest.mark.parametrize("words", [("--drain",), ("--once",), ("ping",)])
async def test_no_server_exits_3(stand: Stand, words: tuple[str, ...]) -> None:
    """A watcher that is to end by itself, and a ping, say so at once."""
    code, _, err = await run(stand, *words, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert code == 3
    assert "does not answer" in err
    assert "Traceback" not in err


async def test_a_server_that_evicts_needs_force(own_stand: Stand) -> None:
    """Refused with exit 1 and the mend; --force works there."""
    await own_stand.queue.client.config_set("maxmemory-policy", "volatile-ttl")
    code, _, err = await run(own_stand, "--drain")
    assert code == 1
    assert "maxmemory-policy volatile-ttl" in err
    assert "CONFIG SET maxmemory-policy noeviction" in err
    assert (await run(own_stand, "--drain", "--force"))[0] == 0


async def test_ctrl_c_exits_130_and_sigterm_0(stand: Stand) -> None:
    """Whoever started it sees the difference."""
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 0)):
        process = await begin(stand, "--consumer-name", "desk")
        await wait_until(lambda: stand.member_named("desk"), 20)
        process.send_signal(number)
        _, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == expected, err.decode()


async def test_a_taken_name_exits_1_and_ping_knows_who_lives(stand: Stand) -> None:
    """The second of a name is told the first's session; ping answers by session, 0 alive and 1 not."""
    assert (await run(stand, "ping"))[:2] == (1, "no watcher has run from this state directory\n")
    process = await begin(stand, "--consumer-name", "desk", "--log-json")
    try:
        await wait_until(lambda: stand.member_named("desk"), 20)
        code, _, err = await run(stand, "--consumer-name", "desk")
        assert code == 1
        assert "desk:" in err
        code, out, _ = await run(stand, "ping")
        assert code == 0
        assert out.startswith("desk: alive, last round trip ")
        assert (await run(stand, "ping", "--consumer-name", "nobody"))[:2] == (1, "nobody: no session\n")
    finally:
        process.terminate()
        _, err_bytes = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert all(line.startswith(b"{") for line in err_bytes.splitlines())


async def test_help_names_the_exit_codes(stand: Stand) -> None:
    """And needs neither a server nor settings."""
    code, out, _ = await run(stand, "--help", REDIS_URL="nonsense")
    assert code == 0
    for each in ("--drain", "--once", "--consumer-name", "--backends", "Exit codes", "130"):
        assert each in out
