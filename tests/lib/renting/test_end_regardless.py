"""A machine whose keeper may write nothing any more, and of which nobody else knows yet: its end is asked for."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.market import events as ev
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.market.vast import VastMarket
    from tests.fakes.vast_server import FakeVast
    from tests.lib.renting.renters import Renter


@pytest.mark.parametrize("called", [True, False])
async def test_a_machine_whose_row_is_lost_is_ended(
    renter: Renter, vast: VastMarket, fake: FakeVast, *, called: bool
) -> None:
    """Promise 10: a server that lost its data knows nothing of it, so nobody else would find it in time."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    await renter.queue.client.flushdb() if not called else await renter.queue.client.delete(
        renter.queue.keys.of("instances"), renter.queue.keys.of("sessions")
    )
    keeper.tell(ev.ToldToEnd("enough") if called else ev.Shown("running"))
    assert await kept is None
    assert fake.living == []


async def test_who_is_told_to_end_it_and_has_no_session_any_more_asks_for_its_end(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Its row stands, and nobody has taken it over: until somebody does, nobody else would ask the market."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    await renter.end()
    keeper.tell(ev.ToldToEnd("its watcher ends"))
    assert await kept is None
    assert fake.living == []
    assert [row.intent for row in await renter.rows()] == [keeper.instance.intent], "its bill is settled by who ends it"
