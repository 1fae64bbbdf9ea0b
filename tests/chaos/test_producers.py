"""Producers that die or lose their reply: accepted is all or nothing a batch, and running again is safe."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from lib.failpoints import VARIABLE as FAILPOINT_VARIABLE
from tests.support.proxy import FaultProxy
from tests.support.watchers import RUNNER, environment_of, run_program

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos

EXIT_UNREACHABLE = 3


async def _enqueue(yard: Yard, count: int, *, url: str = "", failpoint: str = "") -> tuple[int, dict[str, Any], str]:
    """Run the real `job-runner enqueue` on a file of `count` jobs: exit code, document, stderr."""
    file = yard.home / "jobs.yaml"
    rows = [{"request_id": f"job-{i:04}", "task": "sleep", "payload": {"seconds": 0}} for i in range(count)]
    file.write_text(json.dumps(rows))
    environ = environment_of(url or yard.server.url, yard.prefix, yard.home / "producer", {})
    if failpoint:
        environ[FAILPOINT_VARIABLE] = failpoint
    code, out, err = await run_program(RUNNER, "enqueue", str(file), "--json", environ=environ, cwd=yard.home)
    return code, json.loads(out) if out.startswith("{") else {}, err


@pytest.mark.parametrize(
    ("failpoint", "accepted"), [("submit.before", {0}), ("submit.after", {500, 600}), ("submit.before:2", {0, 500})]
)
async def test_a_producer_that_dies_is_completed_by_running_again(
    yard: Yard, failpoint: str, accepted: set[int]
) -> None:
    """Faults row 2: each batch is in or not, also the one that was under way; the second run queues the rest."""
    code, _, _ = await _enqueue(yard, 600, failpoint=failpoint)
    assert code == -signal.SIGKILL
    await yard.check()
    code, document, _ = await _enqueue(yard, 600)
    assert code == 0
    assert document["summary"].get("duplicate_request", 0) in accepted
    assert sum(document["summary"].values()) == 600
    assert await _accepted(yard) == 600


async def _accepted(yard: Yard) -> int:
    return int(await yard.queue.client.hget(yard.queue.keys.of("counters"), "accepted") or 0)


async def test_a_submit_whose_reply_is_lost_is_one_job(yard: Yard) -> None:
    """Faults row 1: the program says that it does not know; run again it finds the job there; it runs once."""
    await yard.submit({"request_id": "warm", "task": "sleep", "payload": {"seconds": 0}})
    async with FaultProxy(yard.server.port) as proxy:
        trap = proxy.trap_reply(b"job-0000")
        code, _, err = await _enqueue(yard, 1, url=proxy.url)
        assert trap.caught.is_set()
        assert code == EXIT_UNREACHABLE, err
        assert await _accepted(yard) == 2
        code, document, _ = await _enqueue(yard, 1, url=proxy.url)
    assert code == 0
    assert document["summary"] == {"duplicate_request": 1}
    await yard.started("watcher")
    await yard.all_done("job-0000", "warm")
    assert sorted(await yard.history("done")) == ["job-0000", "warm"]
