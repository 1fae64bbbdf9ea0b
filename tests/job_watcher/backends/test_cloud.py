"""What the cloud adds to a result: what its calls cost, and how long they waited."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import fakeredis
import pytest

from job_watcher.backends.cloud import Cloud
from job_watcher.work_dirs import WorkDirs
from lib.capabilities.text_model import TextRequest
from lib.errors import QuotaError
from lib.jobqueue import TaskKind
from lib.redisqueue.queue import Queue
from lib.redisqueue.quota import Allowance
from lib.tasks.base import TaskResult
from lib.tasks.registry import TaskRegistry, built_in_tasks
from tests.conformance.stage import Stage
from tests.job_watcher.backends.paying import Desk
from tests.support.running import settings_in, spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from lib.jobqueue import JobSpec
    from lib.tasks.base import TaskContext


class AskTwice:
    """Asks the text model, and again."""

    kind = TaskKind("ask_twice", (), "text_model", None, 600, "inline")

    async def run(self, _job: JobSpec, context: TaskContext) -> TaskResult:
        """Both answers."""
        answers = [await context.text_model.answer(TextRequest("0123456789")) for _ in range(2)]
        return TaskResult({"said": [answer.value for answer in answers]})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    """One job on the cloud, on a queue that is sound at the end."""
    client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
    stage = Stage(Queue.over(client, "redis://fake", "p", flags=False), "fakeredis")
    await stage.queue.refresh_streams()
    made = await Desk.of(stage)
    yield made
    await stage.check()
    await client.aclose()


async def test_a_result_says_what_it_cost_and_how_long_it_waited(desk: Desk, tmp_path: Path) -> None:
    """So that the record has the one, and measurements leave out the other."""
    cloud = Cloud(TaskRegistry([AskTwice()]), settings_in(tmp_path), desk.paid(Allowance(rpm=1)))
    job, lease = spec("ask_twice", timeout_seconds=600), desk.paying.leases["a"]
    async with WorkDirs(tmp_path, "s").attempt(lease) as work_dir:
        running = asyncio.create_task(cloud.run(job, lease, work_dir, lambda _: None, session=desk.session))
        await wait_until(lambda: desk.clock.sleepers)
        await desk.pass_seconds(62)
        result = await running
    assert result.cost is not None
    assert (result.cost["calls"], result.cost["usd"], result.waited) == (2, pytest.approx(160 / 10**6), 62)
    await cloud.aclose()


async def test_a_job_that_asked_nothing_has_no_cost(desk: Desk, tmp_path: Path) -> None:
    """Nor a wait."""
    cloud = Cloud(TaskRegistry(built_in_tasks()), settings_in(tmp_path), desk.paid())
    job, lease = spec("debug", payload={"message": "hello"}), desk.paying.leases["a"]
    async with WorkDirs(tmp_path, "s").attempt(lease) as work_dir:
        result = await cloud.run(job, lease, work_dir, lambda _: None, session=desk.session)
    assert (result.cost, result.waited) == (None, 0.0)
    await cloud.aclose()


@pytest.mark.parametrize("name", ["keeps", "forgets"])
async def test_whether_a_job_is_put_back_in_the_middle_is_its_kinds_to_say(
    desk: Desk, tmp_path: Path, name: str
) -> None:
    """The third wait would end with the attempt: what asks nothing twice is put back, anything else waits on."""

    class Asks:
        kind = TaskKind(name, (), "text_model", None, 600, "inline", keeps_answers=name == "keeps")

        async def run(self, _job: JobSpec, context: TaskContext) -> TaskResult:
            """Four answers."""
            return TaskResult({"said": [await context.text_model.answer(TextRequest("a")) for _ in range(4)]})

    cloud = Cloud(TaskRegistry([Asks()]), settings_in(tmp_path), desk.paid(Allowance(rpm=1)))
    job, lease = spec(name, timeout_seconds=160), desk.paying.leases["a"]
    async with WorkDirs(tmp_path, "s").attempt(lease) as work_dir:
        running = asyncio.create_task(cloud.run(job, lease, work_dir, lambda _: None, session=desk.session))

        def waits(answered: int) -> bool:
            return running.done() or (len(desk.inner.asked) == answered and bool(desk.clock.sleepers))

        for answered in (1, 2, 3):
            await wait_until(partial(waits, answered))
            await desk.pass_seconds(62)
        await wait_until(running.done)
        assert isinstance(running.exception(), QuotaError) == (name == "keeps")
    await cloud.aclose()
