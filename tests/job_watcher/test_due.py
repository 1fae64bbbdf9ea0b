"""Delayed jobs come back when their time has come, and one that cannot is no reason to spin."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from job_watcher.due import DueJobs
from lib.redisqueue.queue import BATCH_MAX_JOBS
from tests.support.hand_clock import HandClock

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand


async def delayed(stand: Stand, *ids: str) -> None:
    """Jobs of tomorrow whose time is let come."""
    await stand.debug(*ids, run_after=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    await stand.queue.client.zadd(stand.queue.keys.of("due"), dict.fromkeys(ids, 1), xx=True)


async def test_all_that_are_due_are_queued_in_one_round(stand: Stand) -> None:
    """More than one call may carry; those of tomorrow stay."""
    ids = [f"job-{i}" for i in range(1200)]
    await delayed(stand, *ids)
    await stand.debug("tomorrow", run_after=(datetime.now(UTC) + timedelta(days=1)).isoformat())
    assert await DueJobs(stand.queue, HandClock()).run_once() == 1200
    assert await stand.length("stream:normal:any") == 1200
    row = await stand.row("tomorrow")
    assert row is not None
    assert row.state == "D"


async def test_a_delayed_job_without_its_payload_fails_alone(stand: Stand) -> None:
    """Somebody removed it: `payload_lost`, and the next one is queued."""
    await delayed(stand, "a", "b")
    await stand.queue.client.hdel(stand.queue.keys.of("delayed"), "a")
    assert await DueJobs(stand.queue, HandClock()).run_once() == 1
    (record,) = await stand.ended("a")
    assert (record["status"], record["error_type"]) == ("failed", "payload_lost")


async def test_an_intake_whose_name_was_removed_is_known_again(stand: Stand) -> None:
    """The set of intakes was deleted by hand: the row says where the job belongs."""
    await delayed(stand, "a")
    names = await stand.queue.client.smembers(stand.queue.keys.of("intakes"))
    await stand.queue.client.delete(stand.queue.keys.of("intakes"))
    stand.queue.intakes = ("stream",)
    assert await asyncio.wait_for(DueJobs(stand.queue, HandClock()).run_once(), 5) == 1
    assert await stand.queue.client.smembers(stand.queue.keys.of("intakes")) == names


async def misplaced(stand: Stand, *ids: str, entry: str = "") -> None:
    """Delayed jobs whose rows a hand has changed: they name no intake, and stand before all that are due."""
    client, index = stand.queue.client, stand.queue.keys.of("index")
    raws: Any = await client.hmget(index, list(ids))
    pairs = {
        name: raw.replace(b"|stream:normal:any||", b"|nonsense|%b|" % entry.encode())
        for name, raw in zip(ids, raws, strict=True)
    }
    await client.hset(index, mapping=pairs)  # type: ignore[arg-type]  # bytes are values too
    await client.zadd(stand.queue.keys.of("due"), dict.fromkeys(ids, 0), xx=True)


async def test_a_crowd_without_an_intake_stops_nobody(stand: Stand) -> None:
    """A whole call of them at the head: each ends as failed, its job kept, and the one behind them is queued."""
    ids = [f"job-{i}" for i in range(BATCH_MAX_JOBS + 1)]
    await delayed(stand, *ids, "behind")
    await misplaced(stand, *ids)
    assert await asyncio.wait_for(DueJobs(stand.queue, HandClock()).run_once(), 20) == 1
    records = await stand.ended(*ids)
    assert {(one["status"], one["error_type"], one["stage"]) for one in records} == {("failed", "permanent", "route")}
    assert records[0]["job"]["request_id"] == "job-0"
    assert "'nonsense'" in records[0]["error"]


async def test_neither_does_a_crowd_without_payloads(stand: Stand) -> None:
    """Their payloads were removed too, and their rows say that they stand in a stream: each ends as lost."""
    ids = [f"job-{i}" for i in range(BATCH_MAX_JOBS)]
    await delayed(stand, *ids, "behind")
    await misplaced(stand, *ids, entry="7-7")
    await stand.queue.client.hdel(stand.queue.keys.of("delayed"), *ids)
    assert await asyncio.wait_for(DueJobs(stand.queue, HandClock()).run_once(), 20) == 1
    assert {one["error_type"] for one in await stand.ended(*ids)} == {"payload_lost"}
