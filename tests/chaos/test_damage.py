"""What an operator's hand does to keys, groups and entries while watchers run: they go on, and say what is wrong."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from lib.redisqueue import leasing
from tests.chaos.yard import RECOVERY_SECONDS
from tests.support.hand import HandWatcher
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos

LANE = "lane:metal:any"
HOUR_MS = 3_600_000


async def _commands_a_window(yard: Yard, seconds: float = 1.5) -> int:
    """How many calls the server answers while nothing is to be done."""

    async def count() -> int:
        stats: Any = await yard.queue.client.info("commandstats")
        return sum(int(each["calls"]) for name, each in stats.items() if name.endswith(("evalsha", "eval", "xread")))

    before = await count()
    end = time.monotonic() + seconds
    await wait_until(lambda: time.monotonic() > end)
    return await count() - before


async def test_watchers_outlive_a_flushed_server(yard: Yard) -> None:
    """Faults row 12, FLUSHALL with jobs running and readers blocked: new sessions, new jobs run, no hot loop."""
    for name in ("one", "two"):
        await yard.started(name, slots=1)
    await yard.submit(yard.gated("lost", gate="end"))
    await yard.runs_reach("lost", 1)
    quiet = await _commands_a_window(yard)
    for turn in range(2):
        before = {name: await yard.session(name) for name in ("one", "two")}
        await yard.queue.client.flushall()
        yard.open_gate("end")
        for watcher in yard.watchers:
            assert await yard.opened(watcher) not in before.values()
        ids = [f"job-{turn}-{i}" for i in range(5)]
        assert await yard.submit(*(yard.gated(each) for each in ids)) == ["queued"] * 5
        await yard.all_done(*ids)
        assert [yard.runs(each) for each in ids] == [1] * 5
    assert await _commands_a_window(yard) <= 2 * quiet + 20
    assert "lost" not in await yard.records()


async def test_any_key_may_be_deleted_under_running_watchers(yard: Yard) -> None:
    """Faults row 12, DEL of each key in turn, lanes and intakes too: the next job runs all the same, once."""
    yard.harmed = "counters and histories were deleted"
    watchers = [await yard.started(name, slots=1) for name in ("one", "two")]
    await yard.submit(yard.gated("warm"))
    await yard.all_done("warm")
    quiet = await _commands_a_window(yard)
    keys = yard.queue.keys
    for name in (
        *keys.all_fixed().values(),
        keys.stream(LANE),
        keys.stream("lane:metal:speech"),
        keys.stream("stream"),
    ):
        await yard.queue.client.delete(name)
        job = f"after {name.removeprefix(yard.prefix)}"
        file_name = job.replace(":", "-").replace(" ", "-")
        await yard.submit({**yard.gated(file_name)})
        await yard.record(file_name)
        assert yard.runs(file_name) == 1, name
    for watcher in watchers:
        await yard.opened(watcher)
    assert await _commands_a_window(yard) <= 2 * quiet + 20


async def test_a_group_destroyed_under_a_running_job_harms_nobody(yard: Yard) -> None:
    """Faults row 12: made again from 0; the running job stays its owner's, what waited is delivered."""
    await yard.started("one", slots=1)
    await yard.submit(yard.gated("runs", gate="end"), yard.gated("waits"))
    await yard.runs_reach("runs", 1)
    await yard.queue.client.xgroup_destroy(yard.queue.keys.stream(LANE), "watchers")
    await yard.started("two", slots=1)
    await yard.all_done("waits", deadline_seconds=RECOVERY_SECONDS)
    yard.open_gate("end")
    await yard.all_done("runs")
    assert (yard.runs("runs"), yard.runs("waits")) == (1, 1)


@pytest.mark.parametrize("key", ["result", "history_done", "index"])
async def test_a_key_of_another_type_stops_nothing_for_good(yard: Yard, key: str) -> None:
    """Faults row 15: a clear error, nothing acked without a record; after DEL the same run is recorded."""
    watcher = await yard.started("watcher")
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    name, client = yard.queue.keys.of(key), yard.queue.client
    kept = await client.dump(name)
    await client.delete(name)
    await client.set(name, "planted")
    yard.open_gate("end")
    await wait_until(lambda: f"{name} holds a string" in watcher.log, 20)
    assert (await client.xpending(yard.queue.keys.stream(LANE), "watchers"))["pending"] == 1
    await client.delete(name)
    if kept:
        await client.restore(name, 0, kept)
    await yard.all_done("job")
    assert yard.runs("job") == 1
    assert yard.watchers == [watcher]
    assert watcher.running


async def test_entries_removed_by_hand_cost_only_their_own_jobs(yard: Yard) -> None:
    """Faults row 16: the entry of a dead watcher's job is gone: `payload_lost`; its neighbours run again."""
    victim = await yard.started("victim", slots=3)
    ids = ["lost", "kept-1", "kept-2"]
    await yard.submit(*(yard.gated(each, gate="end") for each in ids))
    for each in ids:
        await yard.runs_reach(each, 1)
    entry = (await yard.leased("lost")).entry
    victim.kill()
    await yard.queue.client.xdel(yard.queue.keys.stream(LANE), entry)
    yard.open_gate("end")
    await yard.started("other")
    await yard.all_done("kept-1", "kept-2")
    record = await yard.record("lost", RECOVERY_SECONDS)
    assert (record["status"], record["error_type"]) == ("failed", "payload_lost")
    assert [yard.runs(each) for each in ids] == [1, 2, 2]


async def test_an_entry_removed_under_a_living_watcher_changes_nothing(yard: Yard) -> None:
    """Faults row 16: who runs the job has it in hand; it commits as if nothing were."""
    await yard.started("watcher")
    await yard.submit(yard.gated("job", gate="end"), yard.gated("other"))
    await yard.runs_reach("job", 1)
    await yard.queue.client.xtrim(yard.queue.keys.stream(LANE), maxlen=0, approximate=False)
    yard.harmed = "the entry of a job that waited may have been trimmed"
    yard.open_gate("end")
    await yard.all_done("job")
    assert yard.runs("job") == 1


async def test_the_last_of_5000_pending_is_found(yard: Yard) -> None:
    """Faults row 20: the cursor is followed to its end; 4999 leases of a living session stay as they are."""
    holder = HandWatcher(yard.queue, "holder")
    await holder.open(life_ms=HOUR_MS)
    rows = [{"request_id": f"held-{i:04}", "task": "sleep", "payload": {"seconds": 0}} for i in range(4999)]
    await yard.submit(*rows)
    held = 0
    while held < len(rows):
        held += len(await holder.lease(500))
    gone = HandWatcher(yard.queue, "gone")
    await gone.open(life_ms=1)
    await yard.submit(yard.gated("last"))
    await holder.move_all()
    started = await leasing.start(yard.queue, gone.session, [LANE], read=1)
    assert [lease.request_id for lease in started.leases] == ["last"]
    await yard.queue.client.delete(yard.queue.keys.of("lock"))
    await yard.started("watcher", METAL_QUEUE_MAX="9999")
    await yard.all_done("last", deadline_seconds=RECOVERY_SECONDS)
    assert yard.runs("last") == 1
