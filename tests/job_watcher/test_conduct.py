"""`job-watcher conduct`: a process that only moves jobs, and says each decision in words that people know."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from typing import TYPE_CHECKING

import pytest

from job_watcher.cli import main
from job_watcher.herald import FED, SENTENCES
from lib.redisqueue import sessions
from tests.conformance.truth import text
from tests.job_watcher.test_cli import begin, run
from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from pathlib import Path

    from tests.job_watcher.watching import Stand

SAID = {*FED.values(), *(sentence for _, sentence in SENTENCES)}
FAST = {"WATCHER_POLL_INTERVAL": "0.5", "WATCHER_SESSION_TTL": "5", "WATCHER_SESSION_RENEW_EVERY": "0.5"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--backlog", "a/b"), "not a backlog: 'a/b'"),
        (("--backlog", "backlog:good", "--backlog", "backlog:Not Good"), "'backlog:Not Good'"),
        (("--backlog", "backlog:"), "'backlog:'"),
        (("--rate-limit", "0"), "--rate-limit"),
        (("--rate-limit", "-2"), "--rate-limit"),
        (("--rate-limit", "nan"), "--rate-limit"),
        (("--rate-limit", "inf"), "--rate-limit"),
        (("--rate-limit", "fast"), "--rate-limit"),
        (("--policy", "dearest"), "allowed: local-first, cheapest, deadline"),
        (("--redis-url", "foo"), "--redis-url"),
        (("--consumer-name", "a/b"), "'a/b' is not allowed"),
        (("extra",), "extra"),
    ],
)
def test_bad_usage_exits_2_and_says_what_is_allowed(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    told: str,
) -> None:
    """Before anything is begun: no server is asked, and there is no traceback."""
    for name in ("JOBS_STATE_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    assert main(["conduct", "--drain", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert "hint: " in err or "Usage: " in err or "--help" in err
    assert "Traceback" not in err


def test_help_names_the_flags_and_the_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    """What it says aloud stands there word for word, wrapped or not."""
    assert main(["conduct", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for flag in ("--backlog", "--rate-limit", "--policy", "--drain", "--consumer-name", "--log-json", "--quiet"):
        assert flag in shown
    for words in (*FED.values(), *(sentence for _, sentence in SENTENCES[:3]), "No compute available holding"):
        assert words in shown


async def ready(stand: Stand, name: str) -> None:
    """Wait until a process of this name stands and leads."""

    async def leads() -> bool:
        lock = await stand.queue.client.hget(stand.queue.keys.of("lock"), "session")
        return lock is not None and text(lock).startswith(f"{name}:")

    await wait_until(leads, 30, what=f"{name} leads")


async def ended(process: Process, number: int = signal.SIGTERM) -> tuple[int, list[str]]:
    """Stop it; its exit code and what it said."""
    process.send_signal(number)
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode is not None
    return process.returncode, err.decode().splitlines()


async def test_two_watchers_and_a_conductor(stand: Stand) -> None:
    """Real processes: it takes the lead from a watcher, feeds metal, then the cloud, then says why the rest waits."""
    metal = await begin(stand, "--consumer-name", "m1", METAL_QUEUE_MAX="1", **FAST)
    cloud = await begin(stand, "--consumer-name", "c1", "--backends", "cloud", **FAST)
    words = ("conduct", "--consumer-name", "boss", "--rate-limit", "2.0", "--backlog", "backlog:stress", "--log-json")
    try:
        await wait_until(lambda: stand.member_named("m1"), 30)
        await wait_until(lambda: stand.member_named("c1"), 30)
        boss = await begin(stand, *words, METAL_QUEUE_MAX="1", **FAST)
        await ready(stand, "boss")
        rows = [{"request_id": f"j{i}", "task": "sleep", "payload": {"seconds": 60}} for i in range(6)]
        await stand.submit(*rows, backlog="stress")
        await stand.debug("elsewhere")

        async def dealt() -> bool:
            return (await stand.length("lane:metal:any"), await stand.length("lane:cloud:any")) == (1, 2)

        await wait_until(dealt, 20, what="one on metal, two on the cloud")
        (boss_says,) = [each for each in await sessions.roster(stand.queue) if each.name == "boss"]
        assert (boss_says.slots, boss_says.capabilities) == ({}, frozenset())
        assert await stand.length("stream:normal:any") == 1, "another backlog is not its business"
        assert await stand.length("backlog:stress:normal:any") == 3
        code, lines = await ended(boss)
    finally:
        for process in (metal, cloud):
            process.kill()
            await process.wait()
    assert code == 0
    said = [json.loads(line) for line in lines]
    told = [each["message"] for each in said if each["message"] in {"Start of script", *SAID}]
    assert told == [
        "Start of script",
        "Fed Metal",
        "M1 is full, trying Gemini",
        "Fed Cloud",
        "Gemini near rate limit",
        "Cloud Paused due to Rate Limit",
        "No compute available holding",
    ]
    assert said[0]["message"] == "Start of script"
    (fed,) = [each for each in said if each["message"] == "Fed Cloud"]
    assert (fed["backlog"], fed["jobs"]) == ("stress", 2)


async def test_a_drain_ends_when_all_is_done(stand: Stand) -> None:
    """It waits for what others do, ends with 0, and says nothing of jobs that ended elsewhere."""
    watcher = await stand.watcher("worker").start()
    await stand.debug("a", "b", "c")
    code, out, err = await run(stand, "conduct", "--drain", "--consumer-name", "boss", **FAST)
    assert (code, out) == (0, "")
    assert re.search(r"Start of script$", err.splitlines()[0])
    assert "no job ended here" not in err
    assert "and none is left that a living watcher could run" in err.splitlines()[-1]
    assert len(await stand.ended("a", "b", "c")) == 3
    await wait_until(lambda: watcher.life.conductor.leads, 10, what="the watcher leads again")


async def test_a_drain_without_a_watcher_says_what_it_leaves(stand: Stand) -> None:
    """It can wait for nobody: it ends with 0 as a watcher's drain does, and silence would pass for done."""
    await stand.debug("a")
    code, _, err = await run(stand, "conduct", "--drain", **FAST)
    assert code == 0
    assert "1 job waits for any, which no watcher offers" in err
    assert "no job was moved here, and none is left that a living watcher could run" in err.splitlines()[-1]


async def test_ctrl_c_exits_130_and_no_server_3(stand: Stand) -> None:
    """As every other program of ours."""
    boss = await begin(stand, "conduct", "--consumer-name", "boss", **FAST)
    await ready(stand, "boss")
    code, _ = await ended(boss, signal.SIGINT)
    assert code == 130
    assert not await stand.member_named("boss")
    code, _, err = await run(stand, "conduct", "--drain", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert code == 3
    assert "does not answer" in err
    assert "Traceback" not in err
