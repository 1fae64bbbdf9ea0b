"""Paid calls of an attempt: none begins without quota, money, lease and a fresh session, and each is settled.

The price of the scripted model is 1 and 10 dollars for a million tokens: a prompt's character one millionth, a token of
the answer, of which there are always 7, ten.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import fakeredis
import pytest

from job_watcher.backends.metering import LONGEST_DELAY_SECONDS
from lib.capabilities.gemini_errors import refusal
from lib.capabilities.text_model import TextRequest
from lib.capabilities.token_estimate import estimated_tokens, most_tokens
from lib.errors import (
    AnswerError,
    BlockedError,
    BudgetError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    UnreachableError,
    WaitError,
)
from lib.redisqueue import quota
from lib.redisqueue.queue import Queue
from lib.redisqueue.quota import Allowance
from tests.conformance.stage import Stage
from tests.job_watcher.backends.paying import POOL, TIMES, Desk
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ASK = TextRequest("0123456789", max_output_tokens=100)
WORST = 10 + 100 * 10
TAKEN = 10 + 7 * 10


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


def raising(desk: Desk, *errors: BaseException) -> None:
    """Let the model fail so, then answer."""
    left = list(errors)
    desk.inner.script = lambda _: left.pop(0) if left else {"words": 1}


async def test_a_call_is_settled_at_what_it_took(desk: Desk) -> None:
    """The answer says what it cost, the ledger has it, and so has the record of the job."""
    model = desk.model()
    assert model.model == "scripted"
    assert model.meter.cost() is None
    answer = await model.answer(ASK)
    assert (answer.usd, answer.value) == (TAKEN / 10**6, {"words": 1})
    await model.answer(ASK)
    assert await desk.paying.money() == (2 * TAKEN, 0)
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert (view.pool, view.requests, view.tokens) == (POOL, 2, 34)
    assert model.meter.cost() == {
        "usd": 2 * TAKEN / 10**6,
        "calls": 2,
        "input_tokens": 20,
        "output_tokens": 14,
        "model": "scripted",
    }


async def test_its_most_is_reserved_while_it_is_under_way(desk: Desk) -> None:
    """What others see meanwhile."""
    gate = asyncio.Event()

    async def held(_: TextRequest) -> Any:
        await gate.wait()
        return {}

    desk.inner.script = held
    call = asyncio.create_task(desk.model().answer(ASK))
    await wait_until(lambda: desk.inner.asked)
    assert await desk.paying.money() == (0, WORST)
    gate.set()
    await call
    assert await desk.paying.money() == (TAKEN, 0)


async def test_a_short_wait_is_waited_in_place(desk: Desk) -> None:
    """Until there is room by the queue's word; nobody asks before."""
    model = desk.model(Allowance(rpm=1))
    await model.answer(ASK)
    second = asyncio.create_task(model.answer(ASK))
    await wait_until(lambda: desk.clock.sleepers)
    assert len(desk.inner.asked) == 1
    await desk.pass_seconds(62)
    assert (await second).value == {"words": 1}
    assert len(desk.inner.asked) == 2


async def test_seconds_that_were_waited_are_counted_once(desk: Desk) -> None:
    """Of calls at once too; what is no wait for quota is none."""
    model = desk.model(Allowance(rpm=1))
    await model.answer(ASK)
    desk.clock.at += 3
    calls = [asyncio.create_task(model.answer(ASK)) for _ in range(2)]
    await wait_until(lambda: desk.clock.sleepers == 2)
    assert model.meter.waited == 0
    await desk.pass_seconds(65)
    await wait_until(lambda: len(desk.inner.asked) == 2)
    assert model.meter.waited == 65
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    desk.clock.at += 3
    assert model.meter.waited == 65


@pytest.mark.parametrize(
    ("allowance", "window", "said"),
    [
        (Allowance(rpm=1), "minute", "GEMINI_RPM"),
        (Allowance(tpm=130), "minute", "GEMINI_TPM"),
        (Allowance(rpd=1), "day", "GEMINI_RPD"),
    ],
)
async def test_a_long_wait_gives_the_job_back(desk: Desk, allowance: Allowance, window: str, said: str) -> None:
    """With the time until there is room, but never for longer than another backend might take."""
    model = desk.model(allowance, patience=5.0)
    await model.answer(ASK)
    await quota.settle(desk.paying.stage.queue, "1.1", 0, 0)
    with pytest.raises(QuotaError, match=said) as caught:
        await model.answer(TextRequest("0123456789", max_output_tokens=120))
    assert caught.value.window == window
    delay = caught.value.delay_seconds or 0
    assert 55 < delay <= 61 or (window == "day" and delay <= LONGEST_DELAY_SECONDS)


async def test_at_the_budget_the_job_is_given_back(desk: Desk) -> None:
    """It says what there is, what the call may cost, and how to get more."""
    model = desk.model(budget=WORST + 10, patience=3.0)
    await model.answer(ASK)
    with pytest.raises(BudgetError, match=r"today's budget of \$0.00 has no room .* may cost \$0.001010") as caught:
        await model.answer(ASK)
    assert "BUDGET_PER_DAY_USD" in (caught.value.hint or "")
    assert (caught.value.delay_seconds or 0) <= LONGEST_DELAY_SECONDS
    assert len(desk.inner.asked) == 1


async def test_a_429_closes_the_pool_for_all_and_is_waited_for(desk: Desk) -> None:
    """Then the same call is made again, and nothing was charged for the first."""
    raising(desk, QuotaError("slow down", window="minute", delay_seconds=17.0))
    call = asyncio.create_task(desk.model().answer(ASK))
    await wait_until(lambda: desk.clock.sleepers)
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert 15_000 < view.closed_ms <= 17_000
    assert view.why == "minute: slow down"
    assert (await desk.paying.take(pool=POOL)).reason == "closed"
    await desk.pass_seconds(17.1)
    await call
    assert await desk.paying.money() == (TAKEN, 0)


async def test_a_429_of_a_day_gives_the_job_back(desk: Desk) -> None:
    """Also where it names no time at all the pool is closed for a moment, so that nobody asks in a circle."""
    raising(desk, QuotaError("used up", window="day", delay_seconds=3600.0))
    with pytest.raises(QuotaError, match="closed for 3600 s") as caught:
        await desk.model().answer(ASK)
    assert caught.value.delay_seconds == LONGEST_DELAY_SECONDS
    await desk.paying.pass_ms(3_600_000)
    raising(desk, QuotaError("at once", delay_seconds=0.0))
    call = asyncio.create_task(desk.model().answer(ASK))
    await wait_until(lambda: desk.clock.sleepers)
    await desk.pass_seconds(1.1)
    await call
    assert len(desk.inner.asked) == 3


@pytest.mark.parametrize(
    ("error", "charged"),
    [
        (AnswerError("no JSON"), WORST),
        (BlockedError("no"), WORST),
        (OverloadedError("it broke off"), WORST),
        (PermanentError("a mistake"), WORST),
        (ZeroDivisionError(), WORST),
        (PausedError("not there", capability="text_model"), 0),
    ],
)
async def test_what_failed_is_charged_at_its_most_unless_it_certainly_cost_nothing(
    desk: Desk, error: BaseException, charged: int
) -> None:
    """Uncertain means the most: the ledger never says less than was spent."""
    raising(desk, error)
    model = desk.model()
    with pytest.raises(type(error)):
        await model.answer(ASK)
    await desk.settlements.say(quota.Settlement("1.99", sent=False))
    assert await desk.paying.money() == (charged, 0)
    assert (model.meter.cost() or {"usd": 0.0})["usd"] == charged / 10**6
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert view.requests == (1 if charged else 0)


@pytest.mark.parametrize(("code", "kind"), [(503, OverloadedError), (400, PermanentError), (403, PausedError)])
async def test_what_the_service_refused_cost_nothing(desk: Desk, code: int, kind: type[Exception]) -> None:
    """A reply with an error status: no money, no tokens; the request counts."""
    raising(desk, refusal(code, {"error": {"message": "no"}}, model="scripted", now=desk.clock.now()))
    with pytest.raises(kind):
        await desk.model().answer(ASK)
    assert await desk.paying.money() == (0, 0)
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert (view.requests, view.tokens) == (1, 0)


async def test_a_cancelled_call_is_charged_at_its_most(desk: Desk) -> None:
    """At once for who cancels; the word is said by the duty."""
    never = asyncio.Event()

    async def held(_: TextRequest) -> Any:
        await never.wait()

    desk.inner.script = held
    call = asyncio.create_task(desk.model().answer(ASK))
    await wait_until(lambda: desk.inner.asked)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert desk.settlements.left == 1
    said = asyncio.create_task(desk.settlements.run_once())
    await wait_until(lambda: not desk.settlements.left)
    await desk.clock.move(2)
    await said
    assert await desk.paying.money() == (WORST, 0)


async def test_nothing_begins_without_a_fresh_session(desk: Desk) -> None:
    """Promise 5: paid work stops by this machine's own clock; the job is tried again free of charge."""
    desk.clock.at += TIMES.life - TIMES.margin
    with pytest.raises(WaitError, match="not reached its server"):
        await desk.model().answer(ASK)
    assert desk.inner.asked == []
    await desk.session.renew()
    await desk.model().answer(ASK)


async def test_nothing_begins_without_the_lease(desk: Desk) -> None:
    """Cancelled, or taken over: whatever this attempt still does is nobody's work."""
    assert await desk.paying.stage.cancel("a") == "cancelled"
    with pytest.raises(WaitError, match="lease"):
        await desk.model().answer(ASK)
    assert desk.inner.asked == []
    assert await desk.paying.money() == (0, 0)


async def test_a_call_that_no_minute_can_hold_fails_for_good(desk: Desk) -> None:
    """Before anything is asked."""
    with pytest.raises(PermanentError, match="110 tokens"):
        await desk.model(Allowance(tpm=100)).answer(ASK)
    assert desk.inner.asked == []


async def test_a_call_that_hardly_fills_a_minute_has_it_whole(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The most that its prompt can be is far above what it will be: only money is reserved for that."""
    long = TextRequest("the lamp had burned all night " * 30, max_output_tokens=100)
    likely = estimated_tokens(long) + 100
    allowance = Allowance(tpm=2 * (likely + 50), high_share=0.5)
    monkeypatch.setattr(type(desk.inner), "tokens_in", lambda _, request: most_tokens(request))
    assert likely + 50 < most_tokens(long) + 100
    await desk.model(allowance).answer(long)
    with pytest.raises(PermanentError, match="more than the 100 "):
        await desk.model(Allowance(tpm=100)).answer(long)
    assert len(desk.inner.asked) == 1


async def test_a_stream_is_metered_too(desk: Desk) -> None:
    """Settled by estimate at its end; at its most when somebody breaks off."""
    model = desk.model()
    text = "".join([piece async for piece in model.stream(ASK)])
    assert await desk.paying.money() == (10 + 10 * len(text), 0)
    stream: Any = model.stream(ASK)
    assert await anext(stream) == text
    await stream.aclose()
    await desk.settlements.say(quota.Settlement("1.99", sent=False))
    assert (await desk.paying.money())[0] == 10 + 10 * len(text) + WORST
    raising(desk, QuotaError("slow down", delay_seconds=9.0))
    with pytest.raises(QuotaError, match="slow down"):
        await anext(desk.model().stream(ASK))
    (view,) = await quota.pools(desk.paying.stage.queue)
    assert view.closed_ms > 0
    await model.aclose()
    assert model.tokens_in(ASK) == 10


async def test_a_queue_that_does_not_answer_costs_no_attempt(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the call was granted nobody knows, so it is given back when the queue is there again."""
    call, lost = desk.paying.stage.queue.scripts.call, True

    async def unheard(name: str, **more: Any) -> Any:
        reply = await call(name, **more)
        if lost:
            raise UnreachableError("gone")
        return reply

    monkeypatch.setattr(desk.paying.stage.queue.scripts, "call", unheard)
    model = desk.model()
    with pytest.raises(WaitError, match="no quota can be asked for: gone"):
        await model.answer(ASK)
    assert desk.inner.asked == []
    assert await desk.paying.money() == (0, WORST)
    lost = False
    await model.answer(ASK)
    assert await desk.paying.money() == (TAKEN, 0)
    assert desk.settlements.left == 0
