"""How long jobs wait and run, as the execution around them sees it."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.metrics.counts import Counts
from job_watcher.metrics.measured import OTHER_TASK, Measured
from lib.clock import iso
from lib.jobqueue.protocol import Ending, Retry
from tests.support.hand_clock import HandClock
from tests.support.running import lease_of, spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.jobqueue.protocol import Lease


class Takes:
    """An execution that takes so many seconds and answers as told."""

    def __init__(self, clock: HandClock, seconds: float, answer: str = "done") -> None:
        self.clock = clock
        self.seconds = seconds
        self.answer = answer

    async def run(
        self, lease: Lease, on_progress: Callable[[dict[str, Any]], None], on_body_over: Callable[[], None]
    ) -> Ending | Retry:
        """Let the time pass."""
        on_progress({})
        on_body_over()
        self.clock.at += self.seconds
        match self.answer:
            case "retry":
                return Retry(lease, "attempt", 1)
            case "cancel":
                raise asyncio.CancelledError
            case _:
                return Ending(lease.request_id, lease.fence, self.answer, b"}")  # type: ignore[arg-type]  # a status


async def run(measured: Measured, lease: Lease) -> None:
    """One run, whose reports nobody hears."""
    await measured.run(lease, lambda _: None, lambda: None)


def queued(clock: HandClock, seconds_ago: float, **more: Any) -> Lease:
    """A debug job that was queued so long ago."""
    return lease_of(spec("debug", queued_at=clock.now() - timedelta(seconds=seconds_ago), **more))


@pytest.mark.parametrize("answer", ["done", "failed", "retry"])
async def test_a_run_is_timed_under_its_outcome(answer: str) -> None:
    """By task and backend; the wait is from queued to start."""
    clock, counts = HandClock(), Counts()
    await run(Measured(Takes(clock, 42, answer), counts, clock, {"debug"}), queued(clock, 7))
    assert [*counts.runs] == [("debug", "metal", answer)]
    assert counts.runs["debug", "metal", answer].total_seconds == pytest.approx(42)
    assert [*counts.waits] == [("debug", "metal")]
    assert counts.waits["debug", "metal"].total_seconds == pytest.approx(7)


async def test_a_cancelled_run_is_timed_as_stopped() -> None:
    """And the cancellation passes through."""
    clock, counts = HandClock(), Counts()
    with pytest.raises(asyncio.CancelledError):
        await run(Measured(Takes(clock, 5, "cancel"), counts, clock, {"debug"}), queued(clock, 1))
    assert [*counts.runs] == [("debug", "metal", "stopped")]


async def test_only_a_first_start_ends_a_wait() -> None:
    """A second try has run before: what lies between is no waiting in the queue."""
    clock, counts = HandClock(), Counts()
    measured = Measured(Takes(clock, 1), counts, clock, {"debug"})
    job = spec("debug", queued_at=clock.now())
    first = lease_of(job)
    for again in (first._replace(attempts_used=1), first._replace(deaths=1), first._replace(crashes=1)):
        await run(measured, again)
    assert not counts.waits
    assert sum(counts.runs["debug", "metal", "done"].counts) == 3


async def test_a_delayed_job_waits_from_when_it_is_due() -> None:
    """`run_after` is the person's wish, not the queue's slowness; a clock that is behind makes no negative wait."""
    clock, counts = HandClock(), Counts()
    measured = Measured(Takes(clock, 0), counts, clock, {"debug"})
    await run(measured, queued(clock, 3600, run_after=clock.now() - timedelta(seconds=3)))
    assert counts.waits["debug", "metal"].total_seconds == pytest.approx(3)
    await run(measured, queued(clock, -50))
    assert counts.waits["debug", "metal"].total_seconds == pytest.approx(3)


@pytest.mark.parametrize("job", [b"{", b"[]", b'{"task": ["debug"]}', b'{"queued_at": 7}', b"\xff"])
async def test_a_job_that_cannot_be_read_is_run_all_the_same(job: bytes) -> None:
    """What is wrong with it is the execution's business; it is counted, not timed by its own words."""
    clock, counts = HandClock(), Counts()
    lease = lease_of(spec("debug"))
    await run(Measured(Takes(clock, 1), counts, clock, {"debug"}), lease._replace(job=job))
    assert [*counts.runs] == [(OTHER_TASK, "metal", "done")]
    assert not counts.waits


async def test_an_unknown_task_makes_no_label_of_its_own() -> None:
    """Or whoever writes jobs could fill the memory of Prometheus."""
    clock, counts = HandClock(), Counts()
    lease = lease_of(spec("debug"))
    job = {"task": "made-up", "queued_at": iso(clock.now())}
    strange = lease._replace(job=json.dumps(job).encode())
    await run(Measured(Takes(clock, 1), counts, clock, {"debug"}), strange)
    assert [*counts.waits] == [(OTHER_TASK, "metal")]
