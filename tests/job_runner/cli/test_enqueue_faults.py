"""`job-runner enqueue` when things break: a lost reply, a killed producer, a full server; the next run mends it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.job_runner.conftest import PROGRAM
from tests.support.hand import HandWatcher, hand_watcher
from tests.support.proxy import FaultProxy
from tests.support.servers import RealServer, ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner

MANY = 1201
"""Three batches of the queue."""


def _many(runner: JobRunner) -> str:
    rows = "".join(f"- {{request_id: 'r{i}', task: sleep, payload: {{seconds: 0}}}}\n" for i in range(MANY))
    return runner.file(rows)


async def test_a_lost_reply_makes_no_second_job(runner: JobRunner, valkey: RealServer, prefix: str) -> None:
    """Applied, and the answer never came: exit code 3, one job, and the next run says that it is there."""
    jobs = runner.file("- {request_id: only, task: debug}\n")
    await asyncio.to_thread(runner, "enqueue", runner.file("- {request_id: other, task: debug}\n", "warm.yaml"))
    async with FaultProxy(valkey.port) as proxy:
        trap = proxy.trap_reply(b'{"request_id":"only"')
        url = f"redis://127.0.0.1:{proxy.port}/0"
        lost = await asyncio.to_thread(runner, "enqueue", jobs, "--redis-url", url)
        assert trap.caught.is_set()
    assert (lost.code, lost.out) == (3, "")
    again = await asyncio.to_thread(runner, "enqueue", jobs, "--json")
    assert again.code == 0
    assert again.document["summary"] == {"duplicate_request": 1}
    async with hand_watcher(valkey.url, prefix) as watcher:
        assert sorted(lease.request_id for lease in await watcher.lease()) == ["only", "other"]


@pytest.mark.parametrize(("place", "queued"), [("submit.before", {0}), ("submit.after:2", {1000, MANY})])
def test_a_killed_producer_leaves_whole_batches(
    runner: JobRunner, monkeypatch: pytest.MonkeyPatch, place: str, queued: set[int]
) -> None:
    """SIGKILL before or after a batch, the next one sent or not: each is whole, and a second run completes the file."""
    jobs = _many(runner)
    monkeypatch.setenv("JOB_RUNNER_FAILPOINT", place)
    killed = subprocess.run([*PROGRAM, "enqueue", jobs], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert runner("status", "--json").document["totals"]["queued"] in queued
    monkeypatch.delenv("JOB_RUNNER_FAILPOINT")
    again = runner("enqueue", jobs, "--json")
    assert again.code == 0
    assert sum(again.document["summary"].values()) == MANY
    assert again.document["summary"].get("duplicate_request", 0) in queued
    assert runner("status", "--json").document["totals"]["submitted"] == MANY


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RealServer]:
    """A server with little memory that evicts nothing."""
    with ValkeyServer(tmp_path / "small", options=("--maxmemory", "4mb")) as server:
        yield server


def test_a_full_server_says_so(runner: JobRunner, small: RealServer) -> None:
    """Refused with the reason; what was queued before can still be worked off, and then the rest goes in."""
    row = "- {{request_id: 'r{i}', task: debug, payload: {{message: '{text}'}}}}\n"
    jobs = runner.file("".join(row.format(i=i, text="x" * 4000) for i in range(1500)))
    full = runner("enqueue", jobs, "--redis-url", small.url)
    assert (full.code, full.out) == (1, "")
    assert full.err.startswith("error: ")
    assert "maxmemory" in full.err
    assert "hint: let watchers work some off, or raise maxmemory; then run it again\n" in full.err
    shown = runner("status", "--json", "--redis-url", small.url)
    assert 0 < shown.document["totals"]["queued"] < 1500


def test_a_server_that_is_loading_is_unreachable(runner: JobRunner, three: str, tmp_path: Path) -> None:
    """A server that stops in the middle of the commands is exit code 3, not a traceback."""
    with ValkeyServer(tmp_path / "gone") as server:
        url = server.url
        assert runner("enqueue", three, "--redis-url", url).code == 0
    gone = runner("enqueue", three, "--redis-url", url)
    assert (gone.code, gone.out) == (3, "")
    assert "Traceback" not in gone.err


def test_a_wrong_kind_of_key_is_named(runner: JobRunner, three: str) -> None:
    """Somebody else's key under our name: refused before anything is written, and which key it is."""

    async def occupy(watcher: HandWatcher) -> None:
        await watcher.queue.client.set(watcher.queue.keys.of("delayed"), "mine")

    runner.by_hand(occupy)
    refused = runner("enqueue", three)
    assert refused.code == 1
    assert f"{runner.prefix}:jobs:delayed holds a string, not a hash" in refused.err
    assert runner("result", "nap").code == 4
