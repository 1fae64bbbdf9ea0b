"""Progress for people: few reports, the last one always."""

from __future__ import annotations

import asyncio
from typing import Any

from job_watcher.throttle import ProgressThrottle
from tests.support.wait import wait_until


def at(percent: int) -> dict[str, Any]:
    """A report."""
    return {"percent": percent}


async def test_the_first_passes_at_once_and_of_the_rest_the_last() -> None:
    """A person sees the start immediately and the newest state at the end of each interval."""
    seen: list[dict[str, Any]] = []
    throttle = ProgressThrottle(seen.append, interval_seconds=0.02)
    for percent in range(100):
        throttle.report(at(percent))
    assert seen == [at(0)]
    await wait_until(lambda: len(seen) == 2, what="the interval's last report")
    assert seen == [at(0), at(99)]
    throttle.finish(say_last=True)
    assert seen == [at(0), at(99)]


async def test_after_a_quiet_interval_the_next_passes_at_once() -> None:
    """A body that reports rarely is never delayed."""
    seen: list[dict[str, Any]] = []
    throttle = ProgressThrottle(seen.append, interval_seconds=0.01)
    throttle.report(at(1))
    await wait_until(lambda: throttle._timer is None, what="the interval is over")
    throttle.report(at(2))
    assert seen == [at(1), at(2)]
    throttle.finish(say_last=False)


async def test_a_steady_stream_passes_at_most_once_an_interval() -> None:
    """Each delivery begins a new interval, the trailing ones too."""
    seen: list[dict[str, Any]] = []
    throttle = ProgressThrottle(seen.append, interval_seconds=3600)
    for percent in range(1000):
        throttle.report(at(percent))
        await asyncio.sleep(0)
    throttle._interval_over()
    throttle.report(at(1000))
    assert seen == [at(0), at(999)]
    throttle.finish(say_last=True)
    assert seen == [at(0), at(999), at(1000)]


async def test_nothing_passes_after_the_end() -> None:
    """A progress that arrives behind its record would show a finished job as running."""
    seen: list[dict[str, Any]] = []
    throttle = ProgressThrottle(seen.append, interval_seconds=3600)
    throttle.report(at(1))
    throttle.report(at(2))
    throttle.finish(say_last=False)
    throttle.report(at(3))
    throttle.finish(say_last=True)
    assert seen in ([at(1)], [at(1), at(2)])
    assert at(3) not in seen
