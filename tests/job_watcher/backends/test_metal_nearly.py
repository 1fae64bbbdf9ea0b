"""A child that is nearly done with one job is given the next: neither loses, delays or is blamed for the other."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from loguru import logger

from job_watcher.backends.metal import Metal
from job_watcher.crashes import ChildCrashedError
from job_watcher.work_dirs import WorkDir
from lib.errors import TaskTimeoutError
from tests.support.running import alive, children, lease_of, registry, settings_in, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lib.jobqueue import JobSpec
    from lib.tasks.base import TaskResult


class Pair:
    """A backend of one slot; `first` is nearly over until `let` is called, `second` comes then."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.metal = Metal(registry(), settings_in(home))
        self.nearly = asyncio.Event()
        self.gate = home / "gate"
        self.log = home / "runs"

    async def _run(self, job: JobSpec, fence: str, **lease: Any) -> TaskResult:
        async with WorkDir(self.home / fence, lambda: None) as place:
            return await self.metal.run(
                job, lease_of(job, fence=fence, **lease), place, lambda _: None, self.nearly.set
            )

    async def first(self, *, timeout_seconds: float = 60.0) -> asyncio.Task[TaskResult]:
        """Nearly over when this returns."""
        payload = {"message": str(self.gate), "run_log": str(self.home / "first")}
        job = spec("nearly_over", request_id="first", payload=payload, timeout_seconds=timeout_seconds)
        running = asyncio.create_task(self._run(job, "1"))
        await self.nearly.wait()
        return running

    async def second(self, task: str = "count_runs_child", **payload: Any) -> asyncio.Task[TaskResult]:
        """Its order is in the child when this returns."""
        job = spec(task, request_id="second", payload={"run_log": str(self.log), **payload})
        (child,) = self.metal._children._nearly
        running = asyncio.create_task(self._run(job, "2"))
        await wait_until(lambda: child._serial == 2, what="the order is out")
        return running

    @property
    def pid(self) -> int:
        """The process of the first."""
        return int((self.home / "first").read_text())

    def let(self) -> None:
        """Let the first end."""
        self.gate.touch()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Afterwards no process may be left."""
    before = set(children())
    made = Pair(tmp_path)
    yield made
    await made.metal.aclose()
    await wait_until(lambda: set(children()) <= before, what="every child is gone and waited for")


async def test_the_next_order_waits_in_the_same_warm_child(pair: Pair) -> None:
    """It is begun when the one before has answered, not earlier, and both have their results."""
    first = await pair.first()
    second = await pair.second("look_around")
    assert not pair.log.exists()
    pair.let()
    assert (await first).result == {"pid": pair.pid}
    seen = (await second).result
    assert seen is not None
    assert seen["pid"] == pair.pid
    assert pair.metal._children._nearly == []
    assert len(pair.metal._children._idle) == 1


async def test_each_line_is_logged_for_its_own_job(pair: Pair) -> None:
    """One that was left without an end too."""
    said: list[tuple[str, str]] = []
    sink = logger.add(lambda line: said.append((line.record["extra"].get("request_id", ""), line.record["message"])))
    try:
        first = await pair.first()
        second = await pair.second("chatter", message="hello")
        pair.let()
        await asyncio.gather(first, second)
    finally:
        logger.remove(sink)
    assert ("first", "child: words of first") in said
    assert ("second", "child: hello") in said


async def test_a_cancel_of_what_waits_leaves_the_one_before_its_result(pair: Pair) -> None:
    """The child ends, since it would run the order, but not before it has given its answer."""
    first = await pair.first()
    second = await pair.second("hang")
    second.cancel()
    done, _ = await asyncio.wait([first, second], timeout=0.2)
    assert not done
    pair.let()
    assert (await first).result == {"pid": pair.pid}
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not alive(pair.pid)
    assert pair.metal._children._idle == []


async def test_a_death_of_the_one_before_is_not_blamed_on_what_waits(pair: Pair) -> None:
    """The first crashed; the second never began there and runs in another child."""
    first = await pair.first()
    second = await pair.second("look_around")
    os.kill(pair.pid, signal.SIGKILL)
    with pytest.raises(ChildCrashedError, match="SIGKILL"):
        await first
    seen = (await second).result
    assert seen is not None
    assert seen["pid"] != pair.pid


async def test_a_death_of_what_waited_is_its_own(pair: Pair) -> None:
    """The first has its result; the crash is the second's."""
    first = await pair.first()
    second = await pair.second("kill_self")
    pair.let()
    assert (await first).result == {"pid": pair.pid}
    with pytest.raises(ChildCrashedError, match="SIGKILL"):
        await second


@pytest.mark.parametrize("how", ["deadline", "cancel"])
async def test_an_end_of_the_one_before_sends_what_waits_to_another_child(pair: Pair, how: str) -> None:
    """A first that is stopped while it writes takes its process along, not the order that waits there."""
    first = await pair.first(timeout_seconds=0.5 if how == "deadline" else 60.0)
    second = await pair.second("look_around")
    if how == "cancel":
        first.cancel()
    with pytest.raises(TaskTimeoutError if how == "deadline" else asyncio.CancelledError):
        await first
    assert not alive(pair.pid)
    seen = (await second).result
    assert seen is not None
    assert seen["pid"] != pair.pid


async def test_of_a_suspect_nobody_hears_that_it_is_nearly_over(pair: Pair) -> None:
    """Suspects run one at a time, to the very end of their process."""
    pair.let()
    job = spec("nearly_over", payload={"message": str(pair.gate)})
    assert (await pair._run(job, "1", deaths=2)).result
    assert not pair.nearly.is_set()
