"""No minute at the API above its limits and no ledger above its cap, whatever is asked in whatever order.

The API is a list of arrivals on a clock of its own: a granted call arrives up to a second after its grant, with at most
the tokens that it asked for. On fakeredis, where the time that has passed is told to the queue.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import fakeredis
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.redisqueue import quota
from lib.redisqueue.queue import Queue
from lib.redisqueue.quota import Allowance
from tests.conformance.paying import Paying
from tests.conformance.stage import Stage

MINUTE_MS = 60_000
LATE_MS = 900
"""How long a call may be on its way; the rest of the second is for what passes while this test runs."""

ASK = st.tuples(
    st.just("ask"), st.integers(1, 400), st.booleans(), st.integers(0, LATE_MS), st.sampled_from([0, 20_000])
)
STEPS = st.lists(
    st.one_of(
        ASK,
        ASK,
        ASK,
        st.tuples(st.just("obey")),
        st.tuples(st.just("wait"), st.integers(1, 70_000)),
        st.tuples(st.just("settle"), st.floats(0, 1), st.floats(0, 1)),
        st.tuples(st.just("release")),
        st.tuples(st.just("die")),
    ),
    min_size=5,
    max_size=40,
)


@dataclass
class World:
    """The queue, and what the API and the bank have seen."""

    paying: Paying
    allowance: Allowance
    budget: int | None = None
    passed_ms: int = 0
    arrivals: list[tuple[int, int, bool]] = field(default_factory=list)
    open: list[tuple[str, int, int]] = field(default_factory=list)
    job: str = ""
    told_ms: int = 1

    async def step(self, name: str, *arguments: Any) -> None:
        """One thing that happens."""
        await getattr(self, f"_{name}")(*arguments)
        settled, reserved = await self.paying.money()
        assert self.budget is None or settled + reserved <= self.budget

    async def _ask(self, tokens: int, high: bool, transit_ms: int, waited_ms: int) -> None:  # noqa: FBT001 - drawn
        asks: dict[str, Any] = {"tokens": tokens, "micro": tokens, "high": high, "waited_ms": waited_ms}
        call = self.paying.call(self.job, allowance=self.allowance, budget=self.budget, **asks)
        answer = await quota.take(self.paying.stage.queue, call)
        if answer.reason is None:
            now = await self.paying.stage.now_ms() + self.passed_ms
            self.arrivals.append((now + transit_ms, tokens, high))
            self.open.append((call.call_id, len(self.arrivals) - 1, tokens))
        else:
            assert answer.reason != "lease"
            assert answer.wait_ms > 0
            self.told_ms = answer.wait_ms

    async def _obey(self) -> None:
        """Wait for as long as the last refusal said."""
        await self._wait(self.told_ms)

    async def _wait(self, milliseconds: int) -> None:
        self.passed_ms += milliseconds
        await self.paying.pass_ms(milliseconds)

    async def _settle(self, which: float, share: float) -> None:
        if self.open:
            call_id, arrival, tokens = self.open.pop(int(which * (len(self.open) - 1)))
            at, _, high = self.arrivals[arrival]
            used = int(tokens * share)
            self.arrivals[arrival] = (at, used, high)
            await quota.settle(self.paying.stage.queue, call_id, used, used)

    async def _release(self) -> None:
        if self.open:
            call_id, arrival, _ = self.open.pop()
            self.arrivals[arrival] = (0, 0, False)
            await quota.release(self.paying.stage.queue, call_id)

    async def _die(self) -> None:
        stage = self.paying.stage
        await stage.kill(self.paying.session)
        self.open.clear()
        self.paying.session = await stage.open("payer")
        await self.begin()

    async def begin(self) -> None:
        """The next job."""
        self.job = f"job-{len(self.paying.leases)}"
        await self.paying.job(self.job)

    def fullest(self, *, low_only: bool = False) -> tuple[int, int]:
        """The most calls, and the most tokens, that any minute at the API held."""
        seen = sorted((at, tokens) for at, tokens, high in self.arrivals if at and not (low_only and high))
        calls = tokens_held = 0
        for i, (begin, _) in enumerate(seen):
            inside = [tokens for at, tokens in seen[i:] if at < begin + MINUTE_MS]
            calls, tokens_held = max(calls, len(inside)), max(tokens_held, sum(inside))
        return calls, tokens_held


async def _live(steps: list[tuple[Any, ...]], allowance: Allowance, budget: int | None) -> World:
    client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
    stage = Stage(Queue.over(client, "redis://fake", "p", flags=False), "fakeredis")
    await stage.queue.refresh_streams()
    world = World(Paying(stage), allowance, budget)
    await world.begin()
    for name, *arguments in steps:
        await world.step(name, *arguments)
    await stage.check()
    await client.aclose()
    return world


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers(1, 6), st.integers(400, 1500), st.sampled_from([0.0, 0.4]))
def test_no_minute_at_the_api_is_above_its_limits(
    steps: list[tuple[Any, ...]], rpm: int, tpm: int, share: float
) -> None:
    """Requests and tokens, in every window that begins with an arrival; and what is kept for high priority is kept."""
    steps = [step for step in steps if step[0] != "die"]
    allowance = Allowance(rpm=rpm, tpm=tpm, high_share=share)
    low = allowance.of_low()
    steps = [step if step[0] != "ask" or step[1] <= (low.tpm or 0) else ("ask", 1, *step[2:]) for step in steps]
    world = asyncio.run(_live(steps, allowance, None))
    calls, tokens = world.fullest()
    assert calls <= rpm
    assert tokens <= tpm
    low_calls, low_tokens = world.fullest(low_only=True)
    assert low_calls <= (low.rpm or 0)
    assert low_tokens <= (low.tpm or 0)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.integers(0, 1500))
def test_the_ledger_never_passes_the_cap(steps: list[tuple[Any, ...]], budget: int) -> None:
    """Looked at after every step: calls, settlements, deaths of the session."""
    asyncio.run(_live(steps, Allowance(), budget))


def test_a_call_that_arrives_late_shares_no_minute_with_the_next_ones() -> None:
    """Granted at once, a second on its way; the next ones arrive the moment that they are granted."""
    late, prompt = ("ask", 1, False, LATE_MS, 0), ("ask", 1, False, 0, 0)
    world = asyncio.run(_live([late, late, prompt, ("obey",), prompt, prompt], Allowance(rpm=2), None))
    assert len(world.arrivals) == 4
    assert world.fullest() == (2, 2)


def test_the_allowance_is_used() -> None:
    """Who always asks again when it was told to gets at least 0.95 of what there is."""

    async def ten_minutes() -> int:
        client = fakeredis.FakeAsyncRedis(server=fakeredis.FakeServer(), protocol=2)
        stage = Stage(Queue.over(client, "redis://fake", "p", flags=False), "fakeredis")
        await stage.queue.refresh_streams()
        paying, granted, now = Paying(stage), 0, 0
        await paying.job("a")
        while now < 600_000:
            answer = await paying.take(allowance=Allowance(rpm=10))
            granted += answer.reason is None
            if answer.reason is not None:
                await paying.pass_ms(answer.wait_ms)
                now += answer.wait_ms
        await client.aclose()
        return granted

    assert asyncio.run(ten_minutes()) >= 0.95 * 10 * 10
