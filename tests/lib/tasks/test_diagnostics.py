"""`debug` echoes or fails as told; `sleep` sleeps by its clock, reports, and can be cancelled at any moment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import PermanentError, TemporaryError
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.tasks.diagnostics import Debug, Sleep
from tests.lib.tasks.contexts import RecordingContext

if TYPE_CHECKING:
    from pathlib import Path


class VirtualClock:
    """Time that passes only when somebody sleeps, and as fast as they ask."""

    def __init__(self, late: float = 0.0) -> None:
        self.seconds = 1000.0
        self.sleeps: list[float] = []
        self._late = late

    def now(self) -> datetime:
        """Wall time of the virtual world."""
        return datetime.fromtimestamp(self.seconds, UTC)

    def elapsed(self) -> float:
        """Virtual seconds."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Let the time pass, a little late as real clocks are."""
        self.sleeps.append(seconds)
        self.seconds += seconds + self._late
        await asyncio.sleep(0)


def job(task: str, payload: dict[str, Any]) -> JobSpec:
    """A normalised job."""
    return normalize_job_spec({"request_id": "test", "task": task, "payload": payload})


async def test_debug_echoes(tmp_path: Path) -> None:
    """The message comes back, and the attempt, and it is done at once."""
    context = RecordingContext(tmp_path, attempt=2)
    result = await Debug().run(job("debug", {"message": "hello"}), context)
    assert result.result == {"message": "hello", "attempt": 2}
    assert result.outputs == ()
    assert context.reports == [(100.0, None, None, "hello")]


async def test_debug_without_a_message(tmp_path: Path) -> None:
    """The default is an empty message."""
    result = await Debug().run(job("tasks.debug_task", {}), RecordingContext(tmp_path))
    assert result.result == {"message": "", "attempt": 1}


@pytest.mark.parametrize(("fail", "error"), [("temporary", TemporaryError), ("permanent", PermanentError)])
async def test_debug_fails_as_told(fail: str, error: type[Exception], tmp_path: Path) -> None:
    """Both kinds of failure can be tried out, with a message of one's own."""
    with pytest.raises(error, match="boom"):
        await Debug().run(job("debug", {"message": "boom", "fail": fail}), RecordingContext(tmp_path))
    with pytest.raises(error, match="told to fail"):
        await Debug().run(job("debug", {"fail": fail}), RecordingContext(tmp_path))


@given(st.floats(0, 86_400), st.floats(0, 0.5))
def test_sleep_sleeps_as_long_as_asked(seconds: float, late: float) -> None:
    """Never shorter, and longer only by what the clock itself was late; at most about a hundred steps."""
    clock = VirtualClock(late)
    context = RecordingContext(work_dir=None)  # type: ignore[arg-type]  # sleep writes no file
    result = asyncio.run(Sleep(clock).run(job("sleep", {"seconds": seconds}), context))
    assert result.result is not None
    assert result.result["slept_seconds"] >= seconds - 0.001
    assert clock.seconds - 1000 <= seconds + late + 0.001
    assert len(clock.sleeps) <= 102


async def test_sleep_reports_its_way(tmp_path: Path) -> None:
    """Percents rise to 100, at most one report a second."""
    context = RecordingContext(tmp_path)
    await Sleep(VirtualClock()).run(job("sleep", {"seconds": 10.0}), context)
    percents = [percent for percent, *_ in context.reports]
    assert percents == [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0]
    assert context.reports[-1][3] == "10 of 10 s"


async def test_sleep_of_nothing_ends_at_once(tmp_path: Path) -> None:
    """Zero seconds: no step, no report."""
    context = RecordingContext(tmp_path)
    result = await Sleep(VirtualClock()).run(job("sleep", {"seconds": 0.0}), context)
    assert (result.result, context.reports) == ({"slept_seconds": 0.0}, [])


async def test_sleep_can_be_cancelled(tmp_path: Path) -> None:
    """With the real clock: cancelled in mid-sleep, it ends there and then, with nothing swallowed."""
    context = RecordingContext(tmp_path)
    sleeping = asyncio.create_task(Sleep().run(job("sleep", {"seconds": 3600.0}), context))
    await asyncio.sleep(0)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(sleeping, 5)


async def test_many_sleepers_share_one_loop(tmp_path: Path) -> None:
    """Two hundred short sleeps at once do not queue up behind each other."""
    context = RecordingContext(tmp_path)
    jobs = [Sleep().run(job("sleep", {"seconds": 0.05}), context) for _ in range(200)]
    results = await asyncio.wait_for(asyncio.gather(*jobs), 8)
    assert len(results) == 200
