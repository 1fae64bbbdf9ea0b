"""Every way in which a job can end tells its URL, and nothing else does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service.cancel import cancel
from lib.redisqueue import callbacks
from tests.job_watcher.callbacks.telling import submitted, waiting
from tests.job_watcher.test_reclaim import reclaimer
from tests.job_watcher.watching import Gate
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.jobqueue.outbox import Callback
    from tests.job_watcher.watching import Stand

URL = "https://hooks.example.org/done"


async def told(stand: Stand) -> Callback:
    """The one callback that is left, and it is the record."""
    (found,) = (await callbacks.take(stand.queue, count=9, per_host=9, hold_ms=1000)).callbacks
    assert found.url == URL
    assert json.loads(found.record) == await stand.record(found.request_id)
    return found


@pytest.mark.parametrize(
    ("row", "status", "error_type"),
    [
        ({}, "done", None),
        ({"task": "fail_permanent"}, "failed", "permanent"),
        ({"task": "fail_temporary", "max_attempts": 2}, "failed", "transient_exhausted"),
        ({"task": "sleep", "payload": {"seconds": 60}, "timeout_seconds": 0.1, "max_attempts": 1}, "failed", "timeout"),
    ],
)
async def test_what_a_watcher_ends_tells(
    stand: Stand, row: dict[str, Any], status: str, error_type: str | None
) -> None:
    """Once, at its end; a try that is followed by another tells nobody."""
    await stand.watcher().start()
    await submitted(stand, URL, "a", **row)
    (record,) = await stand.ended("a")
    assert (record["status"], record.get("error_type")) == (status, error_type)
    assert (await told(stand)).status == status
    assert await waiting(stand) == 1


@pytest.mark.parametrize("running", [False, True])
async def test_what_a_person_cancels_tells(stand: Stand, *, running: bool) -> None:
    """Waiting, or running in a watcher: the cancel itself leaves it, and the watcher's ending adds none."""
    gate = Gate()
    watcher = stand.watcher(execution=gate)
    if running:
        await watcher.start()
    await submitted(stand, URL, "a")
    if running:
        await wait_until(lambda: gate.running)
    (row,) = (await cancel(stand.queue, ["a"])).rows
    assert (row.status, row.was_running) == ("cancelled", running)
    assert (await told(stand)).status == "cancelled"
    if running:
        await wait_until(lambda: gate.stopped == ["a"])
        await watcher.finish()
    assert await waiting(stand) == 1


async def test_poison_tells(stand: Stand) -> None:
    """Its watcher is dead; the sweep that ends it knows the URL from its bytes."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await submitted(stand, URL, "a")
    await wait_until(lambda: gate.running)
    await stand.suspect("a", deaths=11)
    await watcher.kill()
    await stand.evict(watcher.session)
    await reclaimer(stand).sweep(force=True)
    (record,) = await stand.ended("a")
    assert (record["error_type"], (await told(stand)).status) == ("poison", "failed")


async def test_a_lost_payload_tells_nobody(stand: Stand) -> None:
    """The URL went with it."""
    await submitted(stand, URL, "a")
    row = await stand.row("a")
    assert row is not None
    watcher = stand.watcher()
    await stand.queue.client.delete(stand.queue.keys.stream(row.stream))
    await watcher.start()
    assert (await cancel(stand.queue, ["a"])).summary == {"cancelled": 1}
    assert await waiting(stand) == 0


async def test_a_hand_back_and_a_retry_tell_nobody(stand: Stand) -> None:
    """The job has not ended."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await submitted(stand, URL, "a")
    await wait_until(lambda: gate.running)
    await watcher.finish(hurry=True)
    assert await stand.record("a") is None
    assert await waiting(stand) == 0
