"""Plain numbers: what is counted where, over one session and the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.metrics.counts import BOUNDS_SECONDS, Durations
from job_watcher.outcomes import Outcomes, Tally
from job_watcher.reporting import ProgressReports
from lib.errors import SessionLostError, UnreachableError
from lib.jobqueue.protocol import Retry
from lib.redisqueue import sessions
from tests.job_watcher.watching import Gate, done_ending
from tests.support.servers import free_port
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease
    from tests.job_watcher.watching import Stand, Watcher


def test_durations_fall_into_their_buckets() -> None:
    """A bound belongs to the bucket below it; what is longer than all goes to the last."""
    durations = Durations()
    for seconds in (-1.0, 0.1, 0.11, 86_400.0, 90_000.0):
        durations.add(seconds)
    assert durations.counts[:2] == [2, 1]
    assert durations.counts[-2:] == [1, 1]
    assert len(durations.counts) == len(BOUNDS_SECONDS) + 1
    assert durations.total_seconds == pytest.approx(176_400.21)


async def held(stand: Stand) -> tuple[Watcher, Gate, Lease]:
    """A watcher with one job at the gate."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    return watcher, gate, gate.begun[0]


async def test_records_and_renewals_are_counted(stand: Stand) -> None:
    """A done and a failed job; the opening counts as a round trip."""
    watcher = await stand.watcher().start()
    counts = watcher.counts
    assert counts.last_round_trip is not None
    await stand.debug("a")
    await stand.submit({"request_id": "b", "task": "fail_permanent", "payload": {"message": "no"}})
    await stand.ended("a", "b")
    await wait_until(lambda: counts.records == {"done": 1, "failed": 1})
    before = counts.last_round_trip
    await wait_until(lambda: (counts.last_round_trip or 0) > before)
    assert counts.renewals["ok"] >= 2
    assert counts.renewals["failed"] == counts.sessions_lost == 0


async def test_a_renewal_that_fails_moves_no_round_trip(stand: Stand) -> None:
    """Liveness is the last one that succeeded."""
    watcher = stand.watcher()
    await watcher.life.open()
    seen = watcher.counts.last_round_trip
    away = stand.watcher("other", url=f"redis://127.0.0.1:{free_port()}/0", state="elsewhere")
    away.life.session._counts = watcher.counts
    with pytest.raises(UnreachableError):
        await away.life.session.renew()
    assert (watcher.counts.renewals["failed"], watcher.counts.last_round_trip) == (1, seen)


async def test_a_lost_session_is_counted_and_the_next_one_goes_on_counting(stand: Stand) -> None:
    """Counters belong to the process, not to the session: a rate over both makes sense."""
    watcher, gate, _ = await held(stand)
    await stand.evict(watcher.session)
    with pytest.raises(SessionLostError):
        await watcher.ended()
    assert watcher.counts.sessions_lost == 1, "whichever duty heard of it first"
    first = watcher.counts.renewals["ok"]
    watcher.new_life()
    await watcher.start()
    gate.open.set()
    await stand.ended("a")
    await wait_until(lambda: watcher.counts.renewals["ok"] > first)
    await wait_until(lambda: watcher.counts.records["done"] == 1)


async def test_what_the_fence_refuses_is_counted_by_step(stand: Stand) -> None:
    """Commit, retry and progress under a fence that stands no more; a renewal that learns of it."""
    watcher, _, lease = await held(stand)
    old, queue = lease._replace(fence="1"), watcher.queue
    session, counts = watcher.life.session, watcher.counts
    outcomes = Outcomes(queue, session, watcher.life.in_hand, Tally(), lambda _: None, counts=counts)
    outcomes.put(done_ending(old))
    outcomes.put(Retry(old, "attempt", 1000))
    await outcomes.run_once()
    reports = ProgressReports(queue, session, watcher.clock, counts=counts)
    reports.tell(old, {"percent": 1.0})
    await reports.run_once()
    assert {step: counts.refusals[step] for step in ("commit", "retry", "progress")} == {
        "commit": 1,
        "retry": 1,
        "progress": 1,
    }
    assert await stand.cancel("a") == "cancelled"
    await wait_until(lambda: counts.refusals["renewal"] or not watcher.life.in_hand.unanswered)


async def test_retries_are_counted_by_kind(stand: Stand) -> None:
    """An error that may pass, then success."""
    watcher = await stand.watcher().start()
    await stand.submit({"request_id": "a", "task": "fail_temporary", "payload": {"message": "later"}})
    await wait_until(lambda: watcher.counts.retries["attempt"] >= 1)


async def test_a_sweep_that_ends_sessions_is_counted_where_it_ran(stand: Stand) -> None:
    """The dead watcher's session and the job that it had."""
    dead, _, _ = await held(stand)
    await dead.kill()
    await stand.evict(dead.session)
    heir = await stand.watcher("heir").start()
    await stand.ended("a")
    assert heir.counts.jobs_reclaimed == 1
    ghost: Any = {"life_ms": 1, "heartbeat": b'"slots":{}}', "previous": "", "name": "ghost"}
    await sessions.open_session(stand.queue, "ghost:1", **ghost)
    await wait_until(lambda: heir.counts.sessions_reaped == 1)
