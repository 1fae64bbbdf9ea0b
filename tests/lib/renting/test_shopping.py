"""What is rented next: own hosts first, then the best offer within the settings, never what failed or is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.market.ssh import SshHosts
from lib.redisqueue import instances
from lib.renting.shopping import Shopping
from tests.fakes.vast_offers import Offer
from tests.lib.market.rows import WANTS
from tests.support.running import settings_in

if TYPE_CHECKING:
    from pathlib import Path

    from lib.market.base import GpuMarket
    from lib.market.vast import VastMarket
    from tests.fakes.vast_server import FakeVast
    from tests.lib.renting.renters import Renter

USD = 1_000_000
HOST = "u@127.0.0.1:2222"


def shopping(renter: Renter, path: Path, *markets: GpuMarket, **more: str) -> Shopping:
    """With these markets and settings."""
    settings = settings_in(path, VAST_API_KEY="k" * 32, VAST_DISK="10", **more)
    return Shopping(settings, renter.queue, renter.clock, {each.name: each for each in markets})


async def test_the_cheapest_fit_offer_is_chosen(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """Of three equal machines the one that costs least."""
    choice = await shopping(renter, tmp_path, vast).choose(100, [])
    assert choice is not None
    assert (choice[0].name, choice[1].id) == ("vast", "101")


async def test_what_a_machine_takes_for_traffic_counts(
    renter: Renter, vast: VastMarket, fake: FakeVast, tmp_path: Path
) -> None:
    """A cheap hour is soon eaten up where each gigabyte of sound costs; of a few jobs that is next to nothing."""
    fake.offer(Offer(id=190, machine_id=10190, dph=0.15, up_cost=1.0))
    try:
        shop = shopping(renter, tmp_path, vast)
        few, many = await shop.choose(1, []), await shop.choose(1000, [])
        (dear,) = [each for each in await shop.ranked(vast, 1000) if each.offer.id == "190"]
    finally:
        fake.withdraw(190)
    assert few is not None
    assert many is not None
    assert (few[1].id, many[1].id) == ("190", "101")
    assert dear.traffic == pytest.approx(1.6 * USD, rel=0.01)


async def test_ones_own_host_comes_first_and_then_what_costs(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """While it is free; VAST_MAX_INSTANCES counts only what is rented."""
    own = SshHosts([HOST], renter.clock)
    shop = shopping(renter, tmp_path, vast, own, SSH_HOSTS=HOST, VAST_MAX_INSTANCES="1")
    assert shop.most([]) == 2
    choice = await shop.choose(1, [])
    assert choice is not None
    assert choice[0] is own
    mine = shop.intent("cafe0000cafe", own, choice[1], renter.books)
    assert (mine.dph, shop.reserve(mine, renter.books)) == (0, 0)
    await own.create(choice[1], shop.rent(mine, choice[1], renter.books, public_key="", onstart="").order)
    second = await shop.choose(1, [mine])
    assert second is not None
    assert second[0] is vast
    theirs = shop.intent("cafe0001cafe", vast, second[1], renter.books)
    assert theirs.dph > 0
    assert shop.reserve(theirs, renter.books) == pytest.approx(theirs.dph * 2, abs=2)
    assert await shop.choose(1, [mine, theirs]) is None


async def test_what_failed_or_is_gone_is_left_out(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """A machine by what the queue knows, an offer by what the market said here."""
    shop = shopping(renter, tmp_path, vast)
    await instances.exclude(renter.queue, "10101", 60, "bad driver")
    choice = await shop.choose(1, [])
    assert choice is not None
    assert choice[1].id == "102"
    shop.gone("vast", "102")
    choice = await shop.choose(1, [])
    assert choice is not None
    assert choice[1].id == "103"


async def test_nothing_dearer_than_allowed(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """VAST_MAX_DPH holds, storage included."""
    assert await shopping(renter, tmp_path, vast, VAST_MAX_DPH="0.1").choose(1, []) is None


async def test_an_interruptible_one_is_bid_for(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """The bid is in the order, and is what the row reckons with."""
    shop = shopping(renter, tmp_path, vast, VAST_INTERRUPTIBLE="yes")
    choice = await shop.choose(1, [])
    assert choice is not None
    offer = choice[1]
    assert offer.interruptible
    row = shop.intent("cafe0000cafe", vast, offer, renter.books)
    order = shop.rent(row, offer, renter.books, public_key="ssh-ed25519 AAAA", onstart="echo").order
    assert order.bid == offer.dph
    assert 0 < offer.dph < round(0.3 * USD)
    assert order.label.split("/")[1:3] == [renter.books.namespace, "cafe0000cafe"]


async def test_without_a_budget_nothing_is_left_to_spend(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """None is no budget at all; one's own hosts need none."""
    assert await shopping(renter, tmp_path, vast).budget_left([]) is None
    assert await shopping(renter, tmp_path, vast, BUDGET_PER_DAY_USD="2").budget_left([]) == 2 * USD
    own = shopping(renter, tmp_path, SshHosts([HOST], renter.clock), SSH_HOSTS=HOST)
    assert (await own.budget_left([]) or 0) > 0


async def test_what_is_expected_of_ones_own_host(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """It runs already and costs nothing; when it is taken, the next one is a rented one."""
    own = SshHosts([HOST], renter.clock)
    shop = shopping(renter, tmp_path, vast, own, SSH_HOSTS=HOST)
    first = await shop.figures([])
    choice = await shop.choose(1, [])
    assert choice is not None
    taken = shop.intent("cafe0000cafe", own, choice[1], renter.books)
    second = await shop.figures([taken])
    assert (first.dph, first.startup < second.startup, second.dph) == (0, True, USD)


async def test_a_host_that_another_watcher_has_is_not_taken(renter: Renter, tmp_path: Path) -> None:
    """By its row, whatever user it is named with: it is in use until the row is gone; the table says so."""
    theirs = SshHosts([HOST], renter.clock)
    (offer,) = await theirs.search(WANTS)
    row = shopping(renter, tmp_path, theirs).intent("cafe0000cafe", theirs, offer, renter.books)
    mine = SshHosts(["me@127.0.0.1:2222", "desk2"], renter.clock)
    shop = shopping(renter, tmp_path, mine, SSH_HOSTS="me@127.0.0.1:2222,desk2")
    choice = await shop.choose(1, [row])
    assert choice is not None
    assert choice[1].id == "desk2"
    assert [(each.offer.id, bool(each.refused)) for each in await shop.ranked(mine, 1, [row])] == [
        ("desk2", False),
        ("me@127.0.0.1:2222", True),
    ]
    one = shopping(renter, tmp_path, SshHosts([HOST], renter.clock), SSH_HOSTS=HOST)
    assert await one.choose(1, [row]) is None
    assert (await one.budget_left([row]), await one.budget_left([])) == (None, USD * USD)


async def test_own_hosts_of_others_take_no_room(renter: Renter, tmp_path: Path) -> None:
    """Two watchers with a host each may both work: theirs does not count against ours; the same one counts once."""
    theirs = SshHosts(["studio"], renter.clock)
    (offer,) = await theirs.search(WANTS)
    row = shopping(renter, tmp_path, theirs).intent("cafe0000cafe", theirs, offer, renter.books)
    assert shopping(renter, tmp_path, SshHosts([HOST], renter.clock), SSH_HOSTS=HOST).most([row]) == 2
    assert shopping(renter, tmp_path, theirs, SSH_HOSTS="studio").most([row]) == 1


async def test_an_own_host_that_failed_is_not_reckoned_with(renter: Renter, vast: VastMarket, tmp_path: Path) -> None:
    """It is left out for a while: what is decided then is about a machine that costs and takes its time to start."""
    own = SshHosts([HOST], renter.clock)
    shop = shopping(renter, tmp_path, vast, own, SSH_HOSTS=HOST, BUDGET_PER_DAY_USD="2")
    free = await shop.figures([])
    await instances.exclude(renter.queue, HOST, 60, "no job-runner there")
    figures = await shop.figures([])
    assert (free.dph, figures.dph, figures.startup > free.startup) == (0, USD, True)
    assert await shop.budget_left([]) == 2 * USD
