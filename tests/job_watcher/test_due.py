"""Delayed jobs come back when their time has come, and one that cannot is no reason to spin."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from job_watcher.due import DueJobs
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


async def test_an_intake_that_nobody_can_know_is_not_spun_on(stand: Stand) -> None:
    """The set of intakes was deleted by hand: the round ends all the same."""
    await delayed(stand, "a")
    names = await stand.queue.client.smembers(stand.queue.keys.of("intakes"))
    await stand.queue.client.delete(stand.queue.keys.of("intakes"))
    stand.queue.intakes = ("stream",)
    assert await asyncio.wait_for(DueJobs(stand.queue, HandClock()).run_once(), 5) == 0
    await stand.queue.client.sadd(stand.queue.keys.of("intakes"), *names)
    assert await DueJobs(stand.queue, HandClock()).run_once() == 1
