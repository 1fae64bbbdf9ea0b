"""Waits for quota are part of an attempt: they end before it does, so that none is used up by them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import fakeredis
import pytest

from job_watcher.backends.metering import seconds_for_waits
from lib.capabilities.text_model import TextRequest
from lib.errors import BudgetError, QuotaError
from lib.redisqueue import quota
from lib.redisqueue.queue import Queue
from lib.redisqueue.quota import Allowance
from tests.conformance.stage import Stage
from tests.job_watcher.backends.paying import Desk
from tests.support.running import spec
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.backends.metered import MeteredModel

ASK = TextRequest("0123456789", max_output_tokens=100)


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


async def after_a_wait(desk: Desk, model: MeteredModel) -> None:
    """One more answer, which has to wait for its minute."""
    call = asyncio.create_task(model.answer(ASK))
    await wait_until(lambda: desk.clock.sleepers or call.done())
    await desk.pass_seconds(62)
    await call


async def test_the_sum_of_waits_ends_before_the_attempt(desk: Desk) -> None:
    """A call a minute, three minutes: two waits, and then the job is put back free of charge, nothing else asked."""
    model = desk.model(Allowance(rpm=1), until=desk.clock.at + 150, keeps=True)
    await model.answer(ASK)
    await after_a_wait(desk, model)
    await after_a_wait(desk, model)
    with pytest.raises(QuotaError, match="GEMINI_RPM") as caught:
        await model.answer(ASK)
    assert 0 < (caught.value.delay_seconds or 0) <= 62
    assert (len(desk.inner.asked), desk.clock.sleepers) == (3, 0)


async def test_a_wait_for_the_budget_ends_before_the_attempt_too(desk: Desk) -> None:
    """However short it is."""
    model = desk.model(budget=1, until=desk.clock.at + 10**6, patience=10.0**6)
    with pytest.raises(BudgetError):
        await desk.model(budget=1, until=desk.clock.at, patience=10.0**6).answer(ASK)
    waiting = asyncio.create_task(model.answer(ASK))
    await wait_until(lambda: desk.clock.sleepers)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_an_attempt_whose_time_went_by_waiting_begins_no_other_call(desk: Desk) -> None:
    """Also where there would be quota now: its deadline could cut that call off."""
    model = desk.model(Allowance(rpm=1), until=desk.clock.at + 70, keeps=True)
    await model.answer(ASK)
    await after_a_wait(desk, model)
    await desk.pass_seconds(62)
    with pytest.raises(QuotaError, match="waiting") as caught:
        await model.answer(ASK)
    assert (caught.value.delay_seconds, len(desk.inner.asked)) == (0.0, 2)
    assert await quota.pools(desk.paying.stage.queue) != []


async def test_an_attempt_that_did_not_wait_may_call_until_its_deadline(desk: Desk) -> None:
    """What is slow without waiting is another matter: that uses the attempt up."""
    model = desk.model(until=desk.clock.at + 5, keeps=True)
    await model.answer(ASK)
    desk.clock.at += 20
    await model.answer(ASK)
    assert len(desk.inner.asked) == 2


async def test_who_would_pay_for_its_calls_again_goes_on_waiting(desk: Desk) -> None:
    """A job that keeps no answer and was put back for ever would pay for the same calls for ever."""
    model = desk.model(Allowance(rpm=1), until=desk.clock.at + 10)
    await model.answer(ASK)
    await after_a_wait(desk, model)
    assert len(desk.inner.asked) == 2
    with pytest.raises(QuotaError):
        await desk.model(Allowance(rpm=1), until=desk.clock.at + 10).answer(ASK)


@pytest.mark.parametrize(("timeout", "waits"), [(10, 5.0), (60, 30.0), (200, 170.0), (3600, 3240.0)])
def test_a_part_of_the_attempt_is_left_for_the_calls(timeout: float, waits: float) -> None:
    """Half of a short one, a tenth of a long one."""
    assert seconds_for_waits(timeout) == waits


@pytest.mark.parametrize(("kind", "seconds", "calls"), [("keeps", 160, 3), ("keeps", 240, 4), ("own", 160, 4)])
async def test_what_is_paid_for_knows_its_attempt(desk: Desk, kind: str, seconds: float, calls: int) -> None:
    """The job's timeout, less what is left for calls; and whether its kind keeps answers."""
    lease = desk.paying.leases["a"]
    job = spec("own", timeout_seconds=seconds)
    model = desk.paid(Allowance(rpm=1)).calls_of(job, lease, desk.session, keeps=kind == "keeps").text_model
    await model.answer(ASK)
    for _ in range(2):
        await after_a_wait(desk, model)
    with contextlib.nullcontext() if calls > 3 else pytest.raises(QuotaError):
        await after_a_wait(desk, model)
    assert len(desk.inner.asked) == calls
