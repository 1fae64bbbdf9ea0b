"""Turns: few at once, none while the gate is closed, destroys first."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from lib.market.limiter import LONGEST_WAIT_SECONDS, Limiter, Urgency
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until


class _Callers:
    """Starts callers that hold their turn until they are told to end, and notes the order in which they came in."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self.inside: list[str] = []
        self.leave = asyncio.Event()
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, urgency: Urgency) -> None:
        self.tasks[name] = asyncio.create_task(self._hold(name, urgency))
        await _settle()

    async def _hold(self, name: str, urgency: Urgency) -> None:
        async with self._limiter.turn(urgency):
            self.inside.append(name)
            await self.leave.wait()

    async def all_leave(self, *, count: int) -> None:
        self.leave.set()
        await wait_until(lambda: len(self.inside) == count)
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_destroys_go_before_whoever_came_earlier() -> None:
    """With every place taken, those who wait come in by urgency and then by coming."""
    limiter = Limiter(HandClock(), at_once=1, spacing_seconds=0)
    callers = _Callers(limiter)
    await callers.come("first", Urgency.SEARCH)
    await callers.come("second destroys", Urgency.DESTROY)  # by the place that is kept
    for name, urgency in (
        ("search", Urgency.SEARCH),
        ("look", Urgency.LOOK),
        ("create", Urgency.CREATE),
        ("look again", Urgency.LOOK),
        ("destroy", Urgency.DESTROY),
    ):
        await callers.come(name, urgency)
    assert callers.inside == ["first", "second destroys"]
    await callers.all_leave(count=7)
    assert callers.inside[2:] == ["destroy", "create", "look", "look again", "search"]


async def test_calls_that_hang_do_not_keep_a_destroy_out() -> None:
    """There is one place more for it than for all others."""
    callers = _Callers(Limiter(HandClock(), at_once=2, spacing_seconds=0))
    for name in ("a", "b", "c"):
        await callers.come(name, Urgency.LOOK)
    await callers.come("destroy", Urgency.DESTROY)
    assert callers.inside == ["a", "b", "destroy"]
    await callers.all_leave(count=4)


async def test_a_closed_gate_holds_everybody_and_then_lets_destroys_in_first() -> None:
    """As long as the market said, and a little longer by chance."""
    clock = HandClock()
    limiter = Limiter(clock, at_once=1, spacing_seconds=0, jitter=lambda: 0.5)
    assert limiter.refused(4.0) == 5.0
    callers = _Callers(limiter)
    await callers.come("look", Urgency.LOOK)
    await callers.come("destroy", Urgency.DESTROY)
    await clock.move(4.9)
    await _settle()
    assert callers.inside == []
    await clock.move(0.2)
    await wait_until(lambda: callers.inside)
    assert callers.inside[0] == "destroy"
    await callers.all_leave(count=2)


async def test_a_refusal_of_another_call_holds_a_destroy_up_for_seconds_alone() -> None:
    """The list may have to wait for a minute; a machine that shall end does not."""
    clock = HandClock()
    limiter = Limiter(clock, spacing_seconds=0, jitter=lambda: 0.0)
    limiter.refused(60.0, Urgency.LOOK)
    callers = _Callers(limiter)
    await callers.come("look", Urgency.LOOK)
    await callers.come("destroy", Urgency.DESTROY)
    await clock.move(5.1)
    await wait_until(lambda: callers.inside == ["destroy"])
    limiter.refused(30.0, Urgency.DESTROY)
    await callers.come("destroy again", Urgency.DESTROY)
    await clock.move(29.0)
    await _settle()
    assert callers.inside == ["destroy"]
    await clock.move(30.0)
    await wait_until(lambda: callers.inside == ["destroy", "destroy again", "look"])
    await callers.all_leave(count=3)


def test_refusals_without_a_time_wait_twice_as_long_each() -> None:
    """Until an answer comes; and never longer than a minute, give or take."""
    limiter = Limiter(HandClock(), jitter=lambda: 0.0)
    assert [limiter.refused(None) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    limiter.answered()
    assert limiter.refused(None) == 1


def test_a_very_long_word_of_the_market_is_not_believed() -> None:
    """A bill runs on while nobody may destroy."""
    assert Limiter(HandClock(), jitter=lambda: 0.0).refused(86_400.0) == LONGEST_WAIT_SECONDS


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_waits_are_spread_and_never_shorter_than_said(chance: float) -> None:
    """Two watchers of one account do not come back in the same moment."""
    assert 4.0 <= Limiter(HandClock(), jitter=lambda: chance).refused(4.0) <= 6.0


async def test_requests_keep_a_distance() -> None:
    """A burst is spread out before the market has to say so."""
    clock = HandClock()
    callers = _Callers(Limiter(clock, at_once=9, spacing_seconds=0.2))
    for number in range(3):
        await callers.come(str(number), Urgency.LOOK)
    assert callers.inside == ["0"]
    await clock.move(0.25)
    await wait_until(lambda: callers.inside == ["0", "1"])
    await clock.move(0.25)
    await wait_until(lambda: callers.inside == ["0", "1", "2"])
    await callers.all_leave(count=3)


async def test_who_is_cancelled_leaves_the_line() -> None:
    """In the line, or inside: the next one comes in."""
    callers = _Callers(Limiter(HandClock(), at_once=1, spacing_seconds=0))
    for name in ("a", "b", "c"):
        await callers.come(name, Urgency.LOOK)
    for name in ("b", "a"):
        callers.tasks[name].cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await callers.tasks[name]
    await wait_until(lambda: callers.inside == ["a", "c"])
    await callers.all_leave(count=2)
