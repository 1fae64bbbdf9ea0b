"""`job-watcher` as people start it: flags, exit codes, and the one place where errors become messages."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from job_watcher.cli import main
from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from tests.job_watcher.watching import Stand

MAIN = "import sys; from job_watcher.cli import main; sys.exit(main())"


def settings(stand: Stand, **more: str) -> dict[str, str]:
    """Of a program on the stand's queue."""
    return {
        "JOBS_STATE_DIR": str(stand.directory / "state"),
        "REDIS_URL": stand.queue.url,
        "JOBS_PREFIX": stand.queue.keys.prefix,
        "JOBS_TASK_MODULES": "tests.support.tasks",
        **more,
    }


async def begin(stand: Stand, *words: str, stderr: Any = asyncio.subprocess.PIPE, **more: str) -> Process:
    """The real program, on the stand's queue."""
    environ = {**os.environ, **settings(stand, **more)}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", MAIN, *words, env=environ, stdout=asyncio.subprocess.PIPE, stderr=stderr
    )


async def run(stand: Stand, *words: str, **more: str) -> tuple[int, str, str]:
    """Its exit code, stdout and stderr."""
    process = await begin(stand, *words, **more)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


class Here(Protocol):
    """Types a command line."""

    async def __call__(self, *words: str, **more: str) -> tuple[int, str, str]:
        """Its exit code, stdout and stderr."""


@pytest.fixture
def here(stand: Stand, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The program in this process, for what ends before anything is watched: then no signal is waited for."""

    async def typed(*words: str, **more: str) -> tuple[int, str, str]:
        with monkeypatch.context() as patched:
            for name, value in settings(stand, **more).items():
                patched.setenv(name, value)
            capsys.readouterr()
            code = await asyncio.to_thread(main, words)
        return code, *capsys.readouterr()

    return typed


async def test_a_drain_that_did_everything_exits_0(stand: Stand) -> None:
    """And says on stderr what it did; stdout is empty."""
    await stand.debug("a", "b")
    code, out, err = await run(stand, "--drain")
    assert (code, out) == (0, "")
    assert "watching as" in err
    last = err.splitlines()[-1]
    assert re.fullmatch(r"2 done, 0 failed in \d+\.\d s; see them with `job-runner report FILE`", last)
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
        (("ping", "--redis-url", "http://:secret@foo"), "--redis-url: what is given is no URL of a server"),
    ],
)
async def test_bad_usage_exits_2_with_a_hint(here: Here, words: tuple[str, ...], told: str) -> None:
    """One message, one hint, no traceback."""
    code, out, err = await here(*words)
    assert (code, out) == (2, "")
    assert told in err
    assert "hint: " in err
    assert "Traceback" not in err
    assert "secret" not in err


async def test_a_bad_name_exits_2(stand: Stand) -> None:
    """Which is seen when all is set up to watch."""
    code, out, err = await run(stand, "--consumer-name", "a/b")
    assert (code, out) == (2, "")
    assert "'a/b' is not allowed" in err
    assert "hint: " in err
    assert "Traceback" not in err


async def test_a_bad_setting_exits_2(here: Here) -> None:
    """It is named with what is allowed."""
    code, _, err = await here("--drain", WATCHER_SESSION_TTL="soon")
    assert code == 2
    assert "WATCHER_SESSION_TTL" in err


@pytest.mark.parametrize("words", [("--drain",), ("--once",), ("ping",)])
async def test_no_server_exits_3(stand: Stand, here: Here, words: tuple[str, ...]) -> None:
    """A watcher that is to end by itself, and a ping, say so at once."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    code, _, err = await (here(*words, REDIS_URL=url) if words == ("ping",) else run(stand, *words, REDIS_URL=url))
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


async def test_a_taken_name_exits_1_and_ping_knows_who_lives(stand: Stand, here: Here) -> None:
    """The second of a name is told the first's session; ping answers by session, 0 alive and 1 not."""
    assert (await here("ping"))[:2] == (1, "no watcher of this state directory is alive\n")
    code, out, _ = await here("ping", "--json")
    assert (code, json.loads(out)) == (1, {"schema_version": 1, "alive": False, "watchers": []})
    process = await begin(stand, "--consumer-name", "desk", "--log-json")
    try:
        await wait_until(lambda: stand.member_named("desk"), 20)
        code, _, err = await run(stand, "--consumer-name", "desk")
        assert code == 1
        assert "desk:" in err
        code, out, _ = await here("ping")
        assert code == 0
        assert out.startswith("desk: alive, last round trip ")
        (found,) = json.loads((await here("ping", "--json"))[1])["watchers"]
        assert (found["name"], found["alive"], found["state"]) == ("desk", True, "alive")
        assert (await here("ping", "--consumer-name", "nobody"))[:2] == (1, "nobody: no session\n")
    finally:
        process.terminate()
        _, err_bytes = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    assert all(line.startswith(b"{") for line in err_bytes.splitlines())


@pytest.mark.parametrize("word", ["-h", "--help"])
async def test_help_names_the_exit_codes(here: Here, word: str) -> None:
    """And needs neither a server nor settings."""
    code, out, _ = await here(word, REDIS_URL="nonsense", COLUMNS="80")
    assert code == 0
    for each in ("--drain", "--once", "--consumer-name", "--backends", "--force", "Exit codes", "130"):
        assert each in out
    assert max(map(len, out.splitlines())) <= 80
    assert re.search(r"ping +Say whether a watcher is alive\.\n", out), "not cut"


async def test_commands_in_messages_are_as_the_reader_can_type_them(stand: Stand, here: Here) -> None:
    """Started through ./run: the examples of the help and the line at the end begin with it."""
    _, out, _ = await here("--help", JOB_RUNNER_RUN="./run")
    assert "./run job-watcher --drain" in out
    _, _, err = await run(stand, "--once", JOB_RUNNER_RUN="./run")
    assert err.splitlines()[-1] == "no job ended here; see what there is with `./run job-runner status`"


async def test_the_version_is_told(here: Here) -> None:
    """`--version` and nothing else."""
    code, out, err = await here("--version")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"job-watcher \d\S*\n", out)


@pytest.mark.parametrize("words", [("--nonsense",), ("nonsense",), ("ping", "--nonsense")])
async def test_unknown_words_exit_2(here: Here, words: tuple[str, ...]) -> None:
    """As the other programs do."""
    code, out, err = await here(*words)
    assert (code, out) == (2, "")
    assert "nonsense" in err
    assert "Traceback" not in err


async def test_an_unexpected_error_is_one_message(stand: Stand, here: Here) -> None:
    """With what to do; the traceback is there for who asks."""
    folder = stand.directory / "state" / "watchers"
    folder.mkdir(parents=True)
    (folder / "odd.session").write_bytes(b"\xff\xfe")
    code, _, err = await here("ping")
    assert code == 1
    assert err.startswith("error: this should not happen: UnicodeDecodeError: ")
    assert "hint: run it again with JOB_RUNNER_DEBUG=1" in err
    assert "Traceback" not in err
    code, _, err = await run(stand, "ping", JOB_RUNNER_DEBUG="1")
    assert code == 1
    assert "Traceback" in err


async def test_ctrl_c_while_it_starts_says_interrupted(stand: Stand) -> None:
    """Pressed while task modules are imported, before the watcher handles signals by itself."""
    (stand.directory / "pressed.py").write_text("import os, signal\nsignal.raise_signal(signal.SIGINT)\nTASKS = ()\n")
    path = os.pathsep.join([str(stand.directory), os.environ.get("PYTHONPATH", "")])
    code, out, err = await run(stand, "--drain", JOBS_TASK_MODULES="pressed", PYTHONPATH=path)
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert "Traceback" not in err


async def test_at_a_terminal_the_first_ctrl_c_says_what_it_waits_for(stand: Stand) -> None:
    """Bars instead of a log: a person is told all the same why it does not end, and what it did at the end."""
    outer, inner = pty.openpty()
    seen = bytearray()
    asyncio.get_running_loop().add_reader(outer, lambda: seen.extend(os.read(outer, 65536)))
    try:
        await stand.sleep("a", 2)
        await stand.debug("b", "c")
        process = await begin(stand, "--drain", stderr=inner, TERM="xterm", NO_COLOR="1")
        await stand.leased("a", seconds=30)
        process.send_signal(signal.SIGINT)
        await wait_until(lambda: b"running jobs left to finish: 1" in seen, 20)
        assert await asyncio.wait_for(process.wait(), 30) == 130
        await wait_until(lambda: b"interrupted" in seen)
        assert b"1 done, 0 failed in " in seen
        assert b"all jobs" in seen
        assert b"2 jobs are left; another `job-watcher --drain` goes on with them" in seen.replace(b"python -m ", b"")
        # The bar stays where it was: what is left does not vanish with the watcher that would have done it.
        assert b"1/1" not in seen
        assert b"0/0" not in seen
        assert b"1/3" in seen
    finally:
        asyncio.get_running_loop().remove_reader(outer)
        os.close(inner)
        os.close(outer)
