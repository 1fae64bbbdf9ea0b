"""Watchers that die, at every step of a job's way: the job runs again in time and has one record."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.yard import RECOVERY_SECONDS, SLACK_SECONDS, YARD_LIFE_SECONDS, YARD_SWEEP_SECONDS
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos


async def test_what_a_killed_watcher_was_running_another_finishes(yard: Yard) -> None:
    """Promise 6: back in intake within L + S, run to its end by another, recorded once."""
    first = await yard.started("first")
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    await yard.started("second", host="elsewhere")
    first.kill()
    await yard.runs_reach("job", 2, RECOVERY_SECONDS)
    yard.open_gate("end")
    record = await yard.record("job")
    assert (record["status"], record["attempt"]) == ("done", 1)
    assert yard.runs("job") == 2
    assert await yard.history("done") == ["job"]


@pytest.mark.parametrize(
    ("place", "runs"),
    [("start.after", 1), ("execution.before_run", 1), ("execution.outputs_stored", 2)],
)
async def test_a_death_at_any_step_before_the_commit_is_made_good(yard: Yard, place: str, runs: int) -> None:
    """Faults row 3: of two watchers one dies at this step; the other runs the job within L + S, one record."""
    survivor = await yard.started("survivor", slots=1)
    await yard.submit(yard.gated("occupies", gate="free"))
    await yard.runs_reach("occupies", 1)
    # The job is there before its watcher: one that dies after its first call to the queue must have taken it by then.
    await yard.submit(yard.gated("job", output_name="out/job", payload={"output": "sound"}))
    victim = yard.watcher("victim", slots=1)
    victim.start(failpoint=place)
    assert await victim.ended() == -signal.SIGKILL
    died_ms = await yard.time_ms()
    held = await yard.row("job")
    assert held is not None
    assert held.session.startswith("victim:")
    back = await wait_until(lambda: yard.queued_since("job", died_ms), RECOVERY_SECONDS, what="back in intake")
    assert back - died_ms <= (YARD_LIFE_SECONDS + YARD_SWEEP_SECONDS) * 1000 + SLACK_SECONDS * 1000
    yard.open_gate("free")
    records = await yard.all_done("job", "occupies")
    assert records["job"]["attempt"] == 1
    assert yard.runs("job") == runs
    assert sorted(await yard.history("done")) == ["job", "occupies"]
    await yard.published("out/job", "sound", by=survivor)


async def test_a_death_after_the_commit_runs_nothing_again(yard: Yard) -> None:
    """Faults row 3: committed is recorded; another watcher publishes what the dead one left, and starts nothing."""
    survivor = await yard.started("survivor", slots=1)
    await yard.submit(yard.gated("occupies", gate="free"))
    await yard.runs_reach("occupies", 1)
    victim = await yard.started("victim", slots=1, failpoint="commit.after")
    await yard.submit(yard.gated("job", output_name="out/job", payload={"output": "sound"}))
    assert await victim.ended() == -signal.SIGKILL
    before = await yard.record("job")
    await yard.published("out/job", "sound", by=survivor)
    yard.open_gate("free")
    after = (await yard.all_done("job", "occupies"))["job"]
    assert after == before
    assert yard.runs("job") == 1
    assert await yard.history("done") == ["job", "occupies"]


@pytest.mark.parametrize("place", ["commit.before", "publish.copied"])
async def test_a_death_around_the_end_leaves_one_record_and_the_right_bytes(yard: Yard, place: str) -> None:
    """Promises 3 and 9: whatever was done twice, the record is one and what is published is what it says."""
    victim = await yard.started("victim", failpoint=place)
    await yard.submit(yard.gated("job", output_name="out/job", payload={"output": "sound"}))
    assert await victim.ended() == -signal.SIGKILL
    survivor = await yard.started("survivor")
    await yard.record("job")
    await yard.published("out/job", "sound", by=survivor)
    assert await yard.history("done") == ["job"]


async def test_a_watcher_that_comes_back_takes_its_jobs_back_at_once(yard: Yard) -> None:
    """Promise 6: under its own name it ends its former session itself; nobody waits for a life to pass."""
    long_life = {"WATCHER_SESSION_TTL": "600", "WATCHER_POLL_INTERVAL": "100"}
    watcher = await yard.started("watcher", **long_life)
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    watcher.kill()
    watcher.start()
    await yard.runs_reach("job", 2)
    yard.open_gate("end")
    assert (await yard.record("job"))["status"] == "done"
    assert yard.runs("job") == 2


async def test_a_watcher_that_dies_again_and_again_loses_nothing(yard: Yard) -> None:
    """A watcher killed at each of its first starts: the job runs as a suspect in the end, and is done."""
    watcher = yard.watcher("watcher")
    await yard.submit(yard.gated("job"), yard.gated("other"))
    for _ in range(3):
        watcher.start(failpoint="start.after")
        assert await watcher.ended() == -signal.SIGKILL
    watcher.start()
    await yard.all_done("job", "other")
    assert (yard.runs("job"), yard.runs("other")) == (1, 1)
