"""Deaths between two steps of upkeep: a sweep and what follows from it, an error and its retry."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.yard import RECOVERY_SECONDS
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos


async def test_recovery_goes_on_when_the_sweeper_dies_half_way(yard: Yard) -> None:
    """Faults row 19: between the reap and the end of what it found; the next sweep by anybody finds the rest."""
    victim = await yard.started("victim", slots=2)
    await yard.submit(yard.gated("lost", gate="end"), yard.gated("kept", gate="end"))
    for each in ("lost", "kept"):
        await yard.runs_reach(each, 1)
    held = await yard.leased("lost")
    sweeper = await yard.started("sweeper", slots=1, failpoint="sweep.found")
    await yard.queue.client.xdel(yard.queue.keys.stream("lane:metal:any"), held.entry)
    victim.kill()
    assert await sweeper.ended() == -signal.SIGKILL
    assert held.session not in await yard.members()
    assert await yard.records() == {}
    yard.open_gate("end")
    await yard.started("other")
    await yard.all_done("kept", deadline_seconds=RECOVERY_SECONDS)
    record = await yard.record("lost", RECOVERY_SECONDS)
    assert record["error_type"] == "payload_lost"
    assert (yard.runs("lost"), yard.runs("kept")) == (1, 2)


@pytest.mark.parametrize(("place", "runs"), [("retry.before", 3), ("retry.after", 2)])
async def test_a_death_around_a_retry_loses_no_job_and_no_count(yard: Yard, place: str, runs: int) -> None:
    """Faults row 23: delaying is one step: before it the try is not counted, after it it is; never half."""
    job = {
        "request_id": "job",
        "task": "fail_temporary",
        "payload": {"delay_seconds": 0.3, "run_log": str(yard.home / "runs" / "job")},
        "max_attempts": 2,
    }
    await yard.submit(job)
    watcher = yard.watcher("watcher")
    watcher.start(failpoint=place)
    assert await watcher.ended() == -signal.SIGKILL
    row = await yard.row("job")
    assert row is not None
    assert (row.state, row.attempt) == (("L", 0) if place == "retry.before" else ("D", 1))
    watcher.start()
    record = await yard.record("job")
    assert (record["error_type"], record["attempt"]) == ("transient_exhausted", 2)
    assert yard.runs("job") == runs
    assert await yard.history("failed") == ["job"]


async def test_a_retry_whose_time_comes_while_nobody_watches_is_not_forgotten(yard: Yard) -> None:
    """A delayed job waits in the queue, not in a watcher: who comes later runs it."""
    job = {
        "request_id": "job",
        "task": "fail_temporary",
        "payload": {"delay_seconds": 0.3, "run_log": str(yard.home / "runs" / "job")},
        "max_attempts": 2,
    }
    await yard.submit(job)
    watcher = await yard.started("watcher")
    await wait_until(lambda: _state(yard, "D"), 20)
    watcher.kill()
    await yard.started("other")
    assert (await yard.record("job"))["attempt"] == 2
    assert yard.runs("job") == 2


async def _state(yard: Yard, state: str) -> bool:
    row = await yard.row("job")
    return row is not None and row.state == state
