"""A keeper whose session ends while its machine works lets go of it with its hands; any other closes them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from lib.clock import SystemClock
from lib.market import events as ev
from lib.market.base import MarketOffer
from lib.market.ssh import SshHosts
from lib.redisqueue import instances
from lib.renting.keeping import Keeper
from tests.lib.renting.renters import SaidHands
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.lib.renting.renters import Renter

OWN = MarketOffer("me@127.0.0.1:22", "me@127.0.0.1:22", "", 0, 0.0, 0)


async def at_work(renter: Renter, **more: Any) -> tuple[Keeper, SaidHands, asyncio.Task[Any]]:
    """A machine that takes jobs, and who keeps it."""
    hands = SaidHands()
    keeper = await renter.intended(SshHosts([OWN.id], SystemClock()), offer=OWN, hands=hands, **more)
    keeping = asyncio.create_task(keeper.keep())
    await wait_until(lambda: "open" in hands.did)
    return keeper, hands, keeping


async def test_it_parts_when_only_its_session_has_ended(renter: Renter, other: Renter) -> None:
    """The next step is refused, and the row is as it was: the hands stay, and another keeper goes on with them."""
    keeper, hands, keeping = await at_work(renter)
    await renter.end()
    keeper.tell(ev.NoWork())
    assert await asyncio.wait_for(keeping, 10) is None
    assert (keeper.parted, "close" in hands.did) == (True, False)
    row = await instances.resume(other.queue, other.session, keeper.instance)
    assert row is not None
    then = Keeper(row, keeper.market, other.books, hands)
    then.tell(ev.ToldToEnd("enough"))
    assert await asyncio.wait_for(then.keep(), 10) is not None
    assert "close" in hands.did


async def test_what_somebody_took_over_is_left(renter: Renter, other: Renter) -> None:
    """Its row has another owner: the hands close."""
    keeper, hands, keeping = await at_work(renter)
    await renter.end()
    assert await instances.adopt(other.queue, other.session, keeper.instance.intent) is not None
    keeper.tell(ev.NoWork())
    assert await asyncio.wait_for(keeping, 10) is None
    assert (keeper.parted, "close" in hands.did) == (False, True)


@pytest.mark.parametrize("told", [True, False])
async def test_a_life_that_begins_takes_only_what_works(renter: Renter, *, told: bool) -> None:
    """What is wanted to be over is not gone on with."""
    keeper, hands, keeping = await at_work(renter)
    if told:
        keeper.tell(ev.ToldToEnd("asked for"))
    assert keeper.part() is not told
    keeping.cancel()
    await asyncio.wait([keeping])
    assert ("close" in hands.did) is told
