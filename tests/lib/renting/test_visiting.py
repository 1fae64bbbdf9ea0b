"""One who comes only to reap: a session for as long as it takes, and what is told at the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.clock import SystemClock
from lib.errors import RefusedError
from lib.market.reaping import Reapable
from lib.redisqueue import sessions
from lib.renting.ending import Ended
from lib.renting.visiting import ended_document, ended_lines, outlive, reap, silent, visiting
from tests.support.running import settings_in
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from lib.market.vast import VastMarket
    from lib.settings import Settings
    from tests.fakes.vast_server import FakeVast
    from tests.lib.renting.renters import Renter

BEAT = b'"session":"%s","capabilities":[],"slots":{},"running":0,"version":"0"}'


def impatient(tmp_path: Path) -> Settings:
    """Sessions live for a second."""
    short = {"WATCHER_SESSION_RENEW_EVERY": "0.1", "WATCHER_POLL_INTERVAL": "0.1", "WATCHER_MARGIN": "0.1"}
    return settings_in(tmp_path, WATCHER_SESSION_TTL="1", **short)


async def left_by(renter: Renter, vast: VastMarket, *, life_ms: int) -> None:
    """It has rented a machine, and is heard now for the last time."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)
    beat = BEAT % renter.session.encode()
    await sessions.renew(renter.queue, renter.session, name=renter.name, life_ms=life_ms, heartbeat=beat, held=())


async def test_where_every_watcher_is_dead_a_machine_has_no_owner(
    renter: Renter, vast: VastMarket, fake: FakeVast, tmp_path: Path
) -> None:
    """Nobody else is left to sweep its session away, so the reaper does, and ends the machine."""
    await left_by(renter, vast, life_ms=1)
    settings = impatient(tmp_path)
    await wait_until(lambda: silent(renter.queue, settings))
    ended = await reap(renter.queue, settings, {"vast": vast}, SystemClock())
    assert [bill.why for bill in ended.bills] == ["orphaned"]
    assert (ended.left, fake.living, await renter.rows()) == ([], [], [])


async def test_an_owner_that_is_heard_of_keeps_its_machine(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """And nobody waits for it to end; its renewals are three seconds apart."""
    await left_by(renter, vast, life_ms=600_000)
    settings = settings_in(tmp_path)
    assert await silent(renter.queue, settings) == frozenset()
    ended = await reap(renter.queue, settings, {"vast": vast}, SystemClock())
    assert ended_lines(ended) == ["nothing is rented that nobody owns"]
    assert [row.owner for row in await renter.rows()] == [renter.session]


async def test_an_owner_that_stands_and_says_nothing_is_waited_for(
    renter: Renter, vast: VastMarket, tmp_path: Path
) -> None:
    """For no longer than a life: it may be one with another length of life."""
    await left_by(renter, vast, life_ms=600_000)
    settings, clock = impatient(tmp_path), SystemClock()
    await wait_until(lambda: silent(renter.queue, settings))
    await outlive(renter.queue, settings, clock)
    assert await silent(renter.queue, settings) == {renter.session}


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
