"""How long jobs wait and run, as the execution that holds the watch sees it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.metrics.counts import Counts
from job_watcher.metrics.stopwatch import OTHER_TASK, Stopwatch
from lib.jobqueue import JobSpec
from lib.jobqueue.protocol import Ending, Retry
from tests.support.hand_clock import HandClock
from tests.support.running import lease_of, spec

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease


async def takes(clock: HandClock, lease: Lease, seconds: float, answer: str = "done") -> Ending | Retry:
    """A run that takes so many seconds and answers as told."""
    clock.at += seconds
    match answer:
        case "retry":
            return Retry(lease, "attempt", 1)
        case "cancel":
            raise asyncio.CancelledError
        case _:
            return Ending(lease.request_id, lease.fence, answer, b"}")  # type: ignore[arg-type]  # a status


async def run(watch: Stopwatch, lease: Lease, seconds: float = 1, answer: str = "done") -> None:
    """One run under the watch."""
    assert isinstance(watch.clock, HandClock)
    await watch.timed(lease, JobSpec.from_json(lease.job), takes(watch.clock, lease, seconds, answer))


def watching() -> tuple[Stopwatch, Counts, HandClock]:
    """A watch that knows one task."""
    clock, counts = HandClock(), Counts()
    return Stopwatch(counts, clock, {"debug"}), counts, clock


def queued(clock: HandClock, seconds_ago: float, **more: Any) -> Lease:
    """A debug job that was queued so long ago."""
    return lease_of(spec("debug", queued_at=clock.now() - timedelta(seconds=seconds_ago), **more))


@pytest.mark.parametrize("answer", ["done", "failed", "retry"])
async def test_a_run_is_timed_under_its_outcome(answer: str) -> None:
    """By task and backend; the wait is from queued to start."""
    watch, counts, clock = watching()
    await run(watch, queued(clock, 7), 42, answer)
    assert [*counts.runs] == [("debug", "metal", answer)]
    assert counts.runs["debug", "metal", answer].total_seconds == pytest.approx(42)
    assert [*counts.waits] == [("debug", "metal")]
    assert counts.waits["debug", "metal"].total_seconds == pytest.approx(7)


async def test_a_cancelled_run_is_timed_as_stopped() -> None:
    """And the cancellation passes through."""
    watch, counts, clock = watching()
    with pytest.raises(asyncio.CancelledError):
        await run(watch, queued(clock, 1), 5, "cancel")
    assert [*counts.runs] == [("debug", "metal", "stopped")]


async def test_only_a_first_start_ends_a_wait() -> None:
    """A second try has run before: what lies between is no waiting in the queue."""
    watch, counts, clock = watching()
    first = queued(clock, 0)
    for again in (first._replace(attempts_used=1), first._replace(deaths=1), first._replace(crashes=1)):
        await run(watch, again)
    assert not counts.waits
    assert sum(counts.runs["debug", "metal", "done"].counts) == 3


async def test_a_delayed_job_waits_from_when_it_is_due() -> None:
    """`run_after` is the person's wish, not the queue's slowness; a clock that is behind makes no negative wait."""
    watch, counts, clock = watching()
    await run(watch, queued(clock, 3600, run_after=clock.now() - timedelta(seconds=3)), 0)
    assert counts.waits["debug", "metal"].total_seconds == pytest.approx(3)
    await run(watch, queued(clock, -50), 0)
    assert counts.waits["debug", "metal"].total_seconds == pytest.approx(3)


def test_a_job_that_cannot_be_read_has_failed_in_no_time() -> None:
    """It is counted, under no task of its own words, and not as one that waited."""
    watch, counts, _ = watching()
    watch.unreadable(lease_of(spec("debug")))
    assert [*counts.runs] == [(OTHER_TASK, "metal", "failed")]
    assert counts.runs[OTHER_TASK, "metal", "failed"].total_seconds == 0
    assert not counts.waits


async def test_an_unknown_task_makes_no_label_of_its_own() -> None:
    """Or whoever writes jobs could fill the memory of Prometheus."""
    clock, counts = HandClock(), Counts()
    watch = Stopwatch(counts, clock, {"sleep"})
    await run(watch, queued(clock, 1))
    assert [*counts.waits] == [(OTHER_TASK, "metal")]
