"""Too many requests: what is asked again, what is not, and that no refusal of one kind keeps a destroy from going."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.market.errors import BusyError
from lib.market.limiter import Limiter
from lib.market.vast import VastMarket
from tests.lib.market.conftest import KEY
from tests.lib.market.rows import ORDER, WANTS, instance, market_offer, offer, page
from tests.lib.market.scripted_market import Answer
from tests.support.hand_clock import HandClock
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.lib.market.scripted_market import ScriptedMarket

SHOW = "GET /api/v0/instances/7/"
DESTROY = "DELETE /api/v0/instances/7/"
SEARCH = "POST /api/v0/bundles/"


class _Timed:
    """An adapter whose waits are those of a clock that the test turns."""

    def __init__(self, url: str) -> None:
        self.clock = HandClock()
        limiter = Limiter(self.clock, at_once=1, spacing_seconds=0, jitter=lambda: 0.0)
        self.vast = VastMarket(KEY, clock=self.clock, url=url, limiter=limiter)


@pytest.fixture
def timed(server: ScriptedMarket, sdk: None) -> _Timed:  # noqa: ARG001 - loaded before
    """One of this server."""
    return _Timed(server.url)


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer("API requests too frequent", 429), 1.0),
        (Answer({"detail": "API requests too frequent endpoint threshold=3.0"}, 429), 3.0),
        (Answer({"msg": "too many"}, 429, {"Retry-After": "7"}), 7.0),
        (Answer("", 429, {"retry-after": "2.5"}), 2.5),
        (Answer("too many", 429, {"Retry-After": "soon"}), 1.0),
    ],
)
async def test_what_only_looks_is_asked_again_when_the_market_said(
    timed: _Timed, server: ScriptedMarket, answer: Answer, seconds: float
) -> None:
    """In plain text or JSON, with the time in a header, in the words, or nowhere; not a moment before."""
    server.says(SHOW, answer, {"instances": instance()})
    showing = asyncio.create_task(timed.vast.show("7"))
    await wait_until(lambda: timed.clock.sleepers == 1)
    await timed.clock.move(seconds - 0.01)
    assert server.calls() == [SHOW]
    await wait_until(lambda: timed.clock.sleepers == 1)
    await timed.clock.move(0.02)
    assert (await showing) is not None
    assert server.calls() == [SHOW, SHOW]


async def test_a_destroy_goes_before_the_lookers_that_were_refused(timed: _Timed, server: ScriptedMarket) -> None:
    """All come back when the gate opens: the one that ends a bill is first."""
    server.says(SHOW, Answer("slow down", 429, {"Retry-After": "5"}), {"instances": instance()})
    server.says("GET /api/v1/instances/", page(instance(), total=1))
    server.says(DESTROY, {"success": True})
    showing = asyncio.create_task(timed.vast.show("7"))
    await wait_until(lambda: timed.clock.sleepers == 1)
    listing = asyncio.create_task(timed.vast.listed())
    destroying = asyncio.create_task(timed.vast.destroy("7"))
    await wait_until(lambda: timed.clock.sleepers == 2)
    await timed.clock.move(6)
    await asyncio.gather(showing, listing, destroying)
    assert server.calls()[1] == DESTROY


async def test_a_list_that_is_refused_for_a_minute_holds_no_destroy_up(timed: _Timed, server: ScriptedMarket) -> None:
    """The bill of a machine that shall end does not run on for it."""
    server.says("GET /api/v1/instances/", Answer("slow down", 429, {"Retry-After": "60"}), page(total=0))
    server.says(DESTROY, {"success": True})
    listing = asyncio.create_task(timed.vast.listed())
    await wait_until(lambda: timed.clock.sleepers == 1)
    destroying = asyncio.create_task(timed.vast.destroy("7"))
    await wait_until(lambda: timed.clock.sleepers == 2)
    await timed.clock.move(6)
    await destroying
    assert not listing.done()
    await timed.clock.move(60)
    assert list(await listing) == []


async def test_a_create_is_never_asked_again(timed: _Timed, server: ScriptedMarket) -> None:
    """It says when to come again."""
    server.says("PUT /api/v0/asks/11/", Answer("slow down", 429, {"Retry-After": "3"}))
    with pytest.raises(BusyError) as caught:
        await timed.vast.create(market_offer(), ORDER)
    assert caught.value.after_seconds == 3.0
    assert len(server.asked) == 1


async def test_patience_ends(timed: _Timed, server: ScriptedMarket) -> None:
    """A market that is busy for good is an error in the end, with the time that it named."""
    server.says(SHOW, Answer("slow down", 429, {"Retry-After": "3600"}))
    showing = asyncio.create_task(timed.vast.show("7"))
    await wait_until(lambda: timed.clock.sleepers == 1)
    await timed.clock.move(61)
    with pytest.raises(BusyError) as caught:
        await showing
    assert caught.value.after_seconds == 3600
    assert len(server.asked) == 2


async def test_no_turn_within_our_patience_is_busy(server: ScriptedMarket, sdk: None) -> None:  # noqa: ARG001
    """A call that hangs holds the only turn; whoever waits behind it is told, and nothing was asked for him."""
    clock = HandClock()
    limiter = Limiter(clock, at_once=1, spacing_seconds=0)
    vast = VastMarket(KEY, clock=clock, url=server.url, limiter=limiter, call_seconds=30, patience_seconds=0.05)
    server.says(SHOW, Answer(fault="hang"))
    first = asyncio.create_task(vast.show("7"))
    await wait_until(lambda: server.asked)
    with pytest.raises(BusyError, match="no turn came"):
        await vast.credit()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert server.calls() == [SHOW]


async def test_the_searches_of_a_day_are_used_up_and_everything_else_goes_on(
    timed: _Timed, server: ScriptedMarket
) -> None:
    """No search is sent until the market counts anew; a destroy goes at once."""
    reset = str(int(timed.clock.now().timestamp()) + 1_000_000_000)
    quota = Answer({"error": "search_quota_exceeded", "msg": "daily"}, 429, {"X-RateLimit-Reset": reset})
    server.says(SEARCH, quota, {"offers": [offer()]})
    server.says(DESTROY, {"success": True})
    for _ in range(2):
        with pytest.raises(BusyError) as caught:
            await timed.vast.search(WANTS)
        # The time in the header is more than a day away and is not believed: the day of the quota is one of UTC.
        assert caught.value.after_seconds == 86_400 - 1000
    await timed.vast.destroy("7")
    assert server.calls() == [SEARCH, DESTROY]
    await timed.clock.move(86_400)
    assert len(await timed.vast.search(WANTS)) == 1
