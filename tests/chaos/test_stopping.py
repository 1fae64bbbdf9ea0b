"""Watchers that are told to stop: what runs is finished or handed back, and it costs the job nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from job_runner.service.cancel import cancel
from tests.chaos.yard import RECOVERY_SECONDS
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos


async def test_the_first_signal_finishes_what_runs_and_takes_nothing_more(yard: Yard) -> None:
    """Faults row 24: exit 0, the running job done here, what waited is left for others; the session is ended."""
    watcher = await yard.started("watcher", slots=1)
    await yard.submit(yard.gated("runs", gate="end"), yard.gated("waits"))
    await yard.runs_reach("runs", 1)
    watcher.term()
    await wait_until(lambda: "running jobs left to finish: 1" in watcher.log, 20)
    yard.open_gate("end")
    assert await watcher.ended() == 0
    assert (await yard.record("runs"))["status"] == "done"
    assert await yard.members() == frozenset()
    assert yard.runs("waits") == 0
    await yard.started("next")
    await yard.all_done("runs", "waits")
    assert (yard.runs("runs"), yard.runs("waits")) == (1, 1)


async def test_the_second_signal_hands_back_at_once(yard: Yard) -> None:
    """Faults row 24: back in intake with no attempt, death or crash counted; the next watcher runs it."""
    watcher = await yard.started("watcher", slots=1)
    await yard.submit(yard.gated("job", gate="end"), yard.gated("child", gate="end", child=True))
    await yard.runs_reach("job", 1)
    watcher.term()
    await wait_until(lambda: "running jobs left to finish: 1" in watcher.log, 20)
    watcher.term()
    assert await watcher.ended() == 0
    row = await yard.row("job")
    assert row is not None
    assert (row.state, row.attempt, row.deaths, row.crashes) == ("Q", 0, 0, 0)
    assert await yard.members() == frozenset()
    yard.open_gate("end")
    await yard.started("next")
    assert (await yard.all_done("job", "child"))["job"]["attempt"] == 1


async def test_a_kill_in_the_middle_of_a_drain_is_no_crash_of_its_job(yard: Yard) -> None:
    """Faults row 24: TERM, then KILL, as a container's stop does: again and again, and it is still no suspect."""
    await yard.submit(yard.gated("job", gate="end"))
    for turn in range(3):
        watcher = yard.watcher("watcher", slots=1)
        watcher.start()
        await yard.runs_reach("job", turn + 1)
        watcher.term()
        await wait_until(lambda told=turn + 1, w=watcher: w.log.count("running jobs left to finish: 1") >= told, 20)  # type: ignore[misc]  # bound early
        watcher.kill()
    await yard.started("other", slots=1)
    await yard.runs_reach("job", 4, RECOVERY_SECONDS)
    row = await yard.leased("job")
    assert (row.attempt, row.deaths, row.crashes) == (0, 0, 0)
    yard.open_gate("end")
    assert (await yard.record("job"))["attempt"] == 1


async def test_a_cancel_races_the_end_and_one_of_them_wins(yard: Yard) -> None:
    """Faults row 24: cancelled while it runs: the body is stopped, the record is `cancelled`, and stays so."""
    await yard.started("watcher", slots=2)
    ids = [f"job-{i}" for i in range(6)]
    await yard.submit(*(yard.gated(each, gate="end") for each in ids))
    await yard.runs_reach(ids[0], 1)
    cancelling = asyncio.create_task(cancel(yard.queue, ids))
    yard.open_gate("end")
    answers = {row.request_id: row.status for row in (await cancelling).rows}
    await wait_until(lambda: _all_recorded(yard, ids), 30)
    statuses = {each: (await yard.record(each))["status"] for each in ids}
    for each in ids:
        assert (answers[each], statuses[each]) in {("cancelled", "cancelled"), ("already_done", "done")}
    assert len(await yard.history("done")) + len(await yard.history("cancelled")) == len(ids)


async def _all_recorded(yard: Yard, ids: list[str]) -> bool:
    return set(ids) <= (await yard.records()).keys()


async def test_a_drain_ends_when_all_is_done_and_never_before(yard: Yard) -> None:
    """`--drain` waits for retries too, and says by its exit code that a job failed."""
    await yard.submit(
        yard.gated("fine"),
        {
            "request_id": "hopeless",
            "task": "fail_temporary",
            "payload": {"delay_seconds": 0.5, "run_log": str(yard.home / "runs" / "hopeless")},
            "max_attempts": 2,
        },
    )
    watcher = yard.watcher("watcher")
    watcher.flags = ("--drain",)
    watcher.start()
    assert await watcher.ended() == 1
    records = await yard.records()
    assert {each: record["status"] for each, record in records.items()} == {"fine": "done", "hopeless": "failed"}
    assert yard.runs("hopeless") == 2
