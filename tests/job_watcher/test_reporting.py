"""Progress of running bodies reaches people, the newest of each job, without a call for each word."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from job_watcher.reporting import GATHER_SECONDS, ProgressReports
from tests.job_watcher.watching import Gate
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease
    from tests.job_watcher.watching import Stand, Watcher


async def running(stand: Stand, *ids: str) -> tuple[Gate, Watcher]:
    """A watcher with these jobs at its gate."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY=str(len(ids))).start()
    await stand.debug(*ids)
    await wait_until(lambda: len(gate.running) == len(ids))
    return gate, watcher


async def progress(stand: Stand, request_id: str) -> Any:
    """What people see."""
    raw = await stand.queue.client.hget(stand.queue.keys.of("progress"), request_id)
    return json.loads(raw) if raw else None


async def test_the_newest_report_of_each_job_is_sent_in_one_call(stand: Stand) -> None:
    """A hundred reports within the gathering become one event, and the last word stands."""
    gate, watcher = await running(stand, "a", "b")
    clock = HandClock()
    heard: list[float] = []
    reports = ProgressReports(
        watcher.queue, watcher.life.session, clock, lambda _lease, report: heard.append(report["percent"])
    )
    once = asyncio.create_task(reports.run_once())
    events = stand.queue.keys.of("events")
    newest: Any = await stand.queue.client.xrevrange(events, count=1)
    for percent in range(50):
        for lease in gate.begun:
            reports.tell(lease, {"percent": percent})
    await wait_until(lambda: clock.sleepers)
    await clock.move(GATHER_SECONDS)
    await once
    assert [(await progress(stand, each))["percent"] for each in "ab"] == [49, 49]
    page: Any = await stand.queue.client.xrange(events, min=b"(" + newest[0][0])
    ours = [fields for _, fields in page if sorted(json.loads(fields[b"ids"])) == ["a", "b"]]
    assert len(ours) == 1
    assert len(heard) == 100, "who listens in this process hears every one"
    gate.open.set()
    await stand.ended("a", "b")


async def test_a_job_that_has_ended_is_not_reported_any_more(stand: Stand) -> None:
    """Neither by a forgotten report nor after its commit: progress of a job that does not run would stay for ever."""
    gate, watcher = await running(stand, "a")
    lease: Lease = gate.begun[0]
    reports = ProgressReports(watcher.queue, watcher.life.session, HandClock())
    reports.tell(lease, {"percent": 1})
    reports.forget(lease)
    assert reports._newest == {}
    reports.tell(lease, {"percent": 99})
    gate.open.set()
    await stand.ended("a")
    clock = reports.clock
    assert isinstance(clock, HandClock)
    once = asyncio.create_task(reports.run_once())
    await wait_until(lambda: clock.sleepers)
    await clock.move(1)
    await once
    assert await progress(stand, "a") is None
