"""One who comes only to reap: a session for as long as it takes, and what is told at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.clock import SystemClock
from lib.errors import RefusedError
from lib.market.reaping import Reapable
from lib.redisqueue import sessions
from lib.renting.ending import Ended
from lib.renting.visiting import ended_document, ended_lines, reap, visiting
from tests.support.running import settings_in

if TYPE_CHECKING:
    from pathlib import Path

    from lib.market.vast import VastMarket
    from tests.lib.renting.renters import Renter


async def test_its_session_lasts_as_long_as_the_visit(renter: Renter, tmp_path: Path) -> None:
    """Rows are taken over under it, and nothing of it is left."""
    await renter.end()
    async with visiting(renter.queue, settings_in(tmp_path), SystemClock()) as books:
        assert await sessions.live_sessions(renter.queue) == {books.session}
        assert await sessions.roster(renter.queue) == []
        assert books.namespace == renter.books.namespace
        assert abs(books.now() * 1000 - await sessions.server_time_ms(renter.queue)) < 5_000
    assert await sessions.live_sessions(renter.queue) == frozenset()


async def test_who_has_no_market_cannot_know(renter: Renter, tmp_path: Path) -> None:
    """A reaper without a key would say that all is well."""
    with pytest.raises(RefusedError, match="VAST_API_KEY"):
        await reap(renter.queue, settings_in(tmp_path), {}, SystemClock())


async def test_nothing_to_end_is_said(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """And its document is empty."""
    ended = await reap(renter.queue, settings_in(tmp_path), {"vast": vast}, SystemClock())
    assert ended_lines(ended) == ["nothing is rented that nobody owns"]
    assert ended_document(ended) == {"ended": [], "strays": [], "left": []}


def test_what_was_ended_and_what_is_left_is_told() -> None:
    """Each on a line of its own."""
    ended = Ended(strays=[Reapable("77", "cafe0000cafe", "no_row")], left=["vast 78: not proven gone"])
    assert ended_lines(ended) == ["ended 77, which nobody owned (no_row)", "left vast 78: not proven gone"]
    assert ended_document(ended)["strays"] == [{"market_id": "77", "intent": "cafe0000cafe", "why": "no_row"}]
