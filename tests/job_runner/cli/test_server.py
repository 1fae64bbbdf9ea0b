"""`job-runner server`: the bundled server of a state directory, and how commands find it."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import pytest

from job_runner.service import bundled
from lib import embedded
from lib.redisqueue import sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.job_runner.conftest import JobRunner


@pytest.fixture
def lonely(runner: JobRunner, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobRunner]:
    """The program without a REDIS_URL; its server is stopped at the end."""
    monkeypatch.delenv("REDIS_URL")
    yield runner
    runner("server", "stop")


def test_start_use_stop(lonely: JobRunner) -> None:
    """A private server is found by every command without REDIS_URL, and its jobs outlive a restart."""
    jobs = lonely.file("- {request_id: a, task: debug}\n")
    started = lonely("server", "start", "--private", "--json")
    assert started.code == 0
    assert started.document["running"] is True
    assert lonely("enqueue", jobs).code == 0

    again = lonely("server", "start", "--private", "--json")
    assert again.document["pid"] == started.document["pid"]

    stopped = lonely("server", "stop")
    assert (stopped.code, stopped.out) == (0, "stopped\n")
    back = lonely("server", "start", "--private", "--json")
    assert back.document["port"] == started.document["port"]
    assert lonely("result", "a", "--json").document["status"] == "queued"


def test_a_stopped_server_is_not_swapped_for_another(lonely: JobRunner) -> None:
    """Exit code 3 and the way back, never a Redis of somebody else on the default port."""
    jobs = lonely.file("- {request_id: a, task: debug}\n")
    port = lonely("server", "start", "--private", "--json").document["port"]
    shown = lonely("enqueue", jobs)
    assert f"server: redis://127.0.0.1:{port}/0 (the bundled one)\n" in shown.err
    assert lonely("status").out.startswith(f"Server: redis://127.0.0.1:{port}/0 (the bundled one)\n")
    lonely("server", "stop")
    for words in (("enqueue", jobs), ("status",), ("result", "a"), ("report", jobs), ("retry", "a"), ("watch",)):
        refused = lonely(*words)
        assert (refused.code, refused.out) == (3, ""), words
        assert refused.err.startswith("error: the bundled server of ")
        assert refused.err.endswith(
            "hint: start it with `job-runner server start`, or set REDIS_URL to another server\n"
        )
    checks = lonely("doctor", "--json").document["checks"]
    assert "is stopped" in checks[0]["found"]
    back = lonely("server", "start", "--json").document
    assert back["port"] == port
    assert lonely("result", "a", "--json").document["status"] == "queued"


def test_stopping_under_a_watcher_names_it(lonely: JobRunner) -> None:
    """It would stand there without a word; it is a warning and no question, as nothing is lost by it."""
    url = lonely("server", "start", "--private", "--json").document["url"]
    asyncio.run(open_sessions(url, lonely.prefix, "desk", "attic"))
    stopped = lonely("server", "stop", "--quiet")
    assert (stopped.code, stopped.out) == (0, "stopped\n")
    assert stopped.err == "warning: 2 watchers are alive (attic, desk) and can do nothing until it is started again\n"
    assert lonely("server", "stop").err == ""


async def open_sessions(url: str, prefix: str, *names: str) -> None:
    """Watchers that stand, and do nothing."""
    queue = Queue.over(connect(url), url, prefix)
    for name in names:
        session = f"{name}:1"
        beat = f'"session":"{session}","slots":{{}}}}'.encode()
        await sessions.open_session(queue, session, name=name, previous="", life_ms=60_000, heartbeat=beat)
    await queue.client.aclose()


def test_a_server_that_does_not_answer_is_stopped_all_the_same(
    lonely: JobRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who works with it cannot be asked; that is no reason to keep it."""
    monkeypatch.setattr(bundled, "ANSWER_SECONDS", 0.05)
    pid = lonely("server", "start", "--private", "--json").document["pid"]
    os.kill(pid, signal.SIGSTOP)
    stopped = lonely("server", "stop")
    assert (stopped.code, stopped.out, stopped.err) == (0, "stopped\n", "")


def test_status(lonely: JobRunner) -> None:
    """Exit code 4 and a hint while none runs; address and answer while one does."""
    none = lonely("server", "status")
    assert none.code == 4
    assert none.err == ("error: the bundled server does not run\nhint: start it with `job-runner server start`\n")
    assert lonely("server", "status", "--json").document["running"] is False
    started = lonely("server", "start", "--port", str(free_port()), "--json").document
    shown = lonely("server", "status")
    assert shown.code == 0
    assert shown.settled == (f"{started['url']}  answers  (pid {started['pid']}, fsync everysec, since <time>)\n")
    document = lonely("server", "status", "--json").document
    assert {name: document[name] for name in ("running", "answers", "port")} == {
        "running": True,
        "answers": True,
        "port": started["port"],
    }


def test_a_server_that_was_killed_is_not_told_as_stopped(lonely: JobRunner) -> None:
    """Nobody stopped it: the log is named, where its last words are; after a stop it is just not there."""
    pid = lonely("server", "start", "--private", "--json").document["pid"]
    os.kill(pid, signal.SIGKILL)

    async def gone() -> bool:
        return (await embedded.status(lonely.home.parent / "state")).server is None

    asyncio.run(wait_until(gone, what="the kernel to let go of its lock"))
    found = lonely("server", "status")
    assert found.code == 4
    assert found.err.startswith("error: the bundled server has died, it was not stopped; see ")
    assert "/valkey/server.log\nhint: `job-runner server start` starts it again" in found.err
    assert lonely("server", "status", "--json").document["died"] is True
    lonely("server", "stop")
    assert lonely("server", "status").err.startswith("error: the bundled server does not run\n")


def test_no_line_of_the_list_of_commands_is_cut(lonely: JobRunner) -> None:
    """What each does fits into its line."""
    assert "..." not in lonely("server", "--help").out.partition("Commands:")[2]


def test_fsync_always_is_what_fsynced_needs(lonely: JobRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """JOBS_DURABILITY=fsynced is refused on everysec, with the command that mends it, and said on always."""
    jobs = lonely.file("- {request_id: a, task: debug}\n")
    monkeypatch.setenv("JOBS_DURABILITY", "fsynced")
    lonely("server", "start", "--private")
    refused = lonely("enqueue", jobs)
    assert (refused.code, refused.out) == (2, "")
    assert (
        "needs a server with appendfsync always; this one has appendfsync everysec; nothing was queued" in refused.err
    )
    assert "`job-runner server start --fsync always`" in refused.err
    assert lonely("status", "--json").document["totals"]["submitted"] == 0

    assert lonely("server", "start", "--private", "--fsync", "always").code == 0
    done = lonely("enqueue", jobs)
    assert done.code == 0
    assert done.out.endswith("1 job: 1 queued (durability: fsynced)\n")


def test_a_taken_port_is_left_alone(lonely: JobRunner) -> None:
    """Another program's port is refused with the two ways out."""
    taken = lonely.url.rpartition(":")[2].partition("/")[0]
    refused = lonely("server", "start", "--port", taken)
    assert refused.code == 1
    assert refused.err.startswith(f"error: port {taken} on 127.0.0.1 is taken by another program")
    assert "--private" in refused.err


def test_another_redis_url_is_warned_of(runner: JobRunner) -> None:
    """A server that no command will use is worth a warning."""
    started = runner("server", "start", "--private")
    assert started.code == 0
    assert started.err == "warning: REDIS_URL is set and names another server, which commands will use\n"
    assert runner("server", "stop").out == "stopped\n"
    assert runner("server", "stop").out == "none was running\n"
