"""The adapter against a market with instances and a bill: a rent from search to proof, and every fault on every call.

Whatever goes wrong, each answer of the adapter is true of the market's books, or it is one of our errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.clock import SystemClock
from lib.errors import UnreachableError
from lib.market.base import HostWants
from lib.market.errors import BusyError, CreditError, MarketError, OfferGoneError, UncertainError, UnknownListingError
from lib.market.limiter import Limiter
from lib.market.vast import VastMarket
from tests.fakes.vast_faults import FAULTS, Rule
from tests.fakes.vast_market import MAIN
from tests.fakes.vast_server import FakeVast
from tests.lib.market.rows import ORDER

if TYPE_CHECKING:
    from collections.abc import Iterator

WANTS = HostWants(disk_gb=10, max_dph=2_000_000)
SLOW = {"hang", "slow", "done_hang"}


@pytest.fixture(scope="module")
def fake(sdk: None) -> Iterator[FakeVast]:  # noqa: ARG001 - loaded before
    """One market for all tests of this file, without hosts."""
    with FakeVast() as market:
        yield market


@pytest.fixture(autouse=True)
def fresh(fake: FakeVast) -> Iterator[None]:
    """Nothing is rented or scripted before a test."""
    yield
    fake.forget()
    for each in fake.living:
        fake.act("end", each.id)


@pytest.fixture
def vast(fake: FakeVast) -> VastMarket:
    """An adapter that waits for nobody."""
    clock = SystemClock()
    limiter = Limiter(clock, spacing_seconds=0, jitter=lambda: 0.0)
    return VastMarket(MAIN, clock=clock, url=fake.url, limiter=limiter, call_seconds=0.5, patience_seconds=0.1)


async def _rent(vast: VastMarket) -> str:
    cheapest = min(await vast.search(WANTS), key=lambda each: each.dph)
    return await vast.create(cheapest, ORDER)


async def test_a_rent_from_search_to_proof(vast: VastMarket, fake: FakeVast) -> None:
    """Found, rented under its label, shown, listed, ended, and gone by both ways of asking."""
    before = await vast.credit()
    market_id = await _rent(vast)
    (rented,) = fake.living
    assert (str(rented.id), rented.label) == (market_id, ORDER.label)
    assert str(rented.offer.id) not in {each.id for each in await vast.search(WANTS)}
    seen = await vast.show(market_id)
    assert seen is not None
    assert (seen.label, seen.market_id) == (ORDER.label, market_id)
    assert [each.market_id for each in await vast.listed()] == [market_id]
    assert fake.asked("ssh_key")[0].body == {"ssh_key": ORDER.public_key}
    await vast.destroy(market_id)
    await vast.destroy(market_id)
    assert fake.living == []
    assert (await vast.show(market_id), list(await vast.listed())) == (None, [])
    assert await vast.credit() <= before


async def test_a_create_whose_reply_was_lost_is_found_by_its_label(vast: VastMarket, fake: FakeVast) -> None:
    """Asked once, rented once."""
    fake.script(Rule("done_cut", on="create"))
    with pytest.raises(UncertainError):
        await _rent(vast)
    assert len(fake.asked("create")) == len(fake.living) == 1
    assert [each.label for each in await vast.listed()] == [ORDER.label]


async def test_somebody_was_quicker(vast: VastMarket, fake: FakeVast) -> None:
    """The offer of a moment ago is rented; the next one is the caller's to try."""
    (cheapest, *_) = sorted(await vast.search(WANTS), key=lambda each: each.dph)
    await vast.create(cheapest, ORDER)
    with pytest.raises(OfferGoneError):
        await vast.create(cheapest, ORDER)
    assert len(fake.living) == 1


async def test_an_account_without_credit(vast: VastMarket, fake: FakeVast) -> None:
    """Nothing is rented, and it is said."""
    fake.script(Rule("no_credit", on="create"))
    with pytest.raises(CreditError):
        await _rent(vast)
    assert fake.living == []


async def test_an_outbid_instance_is_stopped(vast: VastMarket, fake: FakeVast) -> None:
    """It is shown as taken away, not as one that failed."""
    market_id = await _rent(vast)
    fake.act("preempt", int(market_id))
    seen = await vast.show(market_id)
    assert seen is not None
    assert seen.status == "stopped"


CALLS = ("search", "create", "show", "list", "user", "destroy")


async def _true(vast: VastMarket, fake: FakeVast, operation: str, market_id: str) -> bool:
    """Whether what the adapter says is so by the market's books."""
    if operation == "search":
        return {each.id for each in await vast.search(WANTS)} <= {str(each) for each in fake.market.offers}
    if operation == "create":
        return await _rent(vast) in {str(each.id) for each in fake.living}
    if operation == "show":
        return await vast.show(market_id) is not None
    if operation == "list":
        return market_id in {each.market_id for each in await vast.listed()}
    if operation == "user":
        return 0 < await vast.credit() <= 100_000_000
    await vast.destroy(market_id)
    return True


@pytest.mark.parametrize("fault", sorted(FAULTS))
async def test_what_is_said_is_true_or_an_error(vast: VastMarket, fake: FakeVast, fault: str) -> None:
    """One instance lives. Under a fault of each call nobody is told that it is gone, and nothing is done twice."""
    market_id = await _rent(vast)
    for operation in (each for each in CALLS if each in FAULTS[fault]):
        fake.forget()
        fake.script(Rule(fault, on=operation, times=None, seconds=0.02 if fault in SLOW else None))
        try:
            truth = await _true(vast, fake, operation, market_id)
        except (MarketError, UnreachableError) as exc:
            truth = str(exc).startswith("Vast.ai")
        assert truth, operation
        assert len(fake.asked("create")) <= 1
        if operation != "destroy":
            assert int(market_id) in {each.id for each in fake.living}, operation


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("nothing", UnknownListingError),
        ("410", UnknownListingError),
        ("empty_page", UnknownListingError),
        ("partial", UnknownListingError),
        ("endless", UnknownListingError),
        ("no_total", UnknownListingError),
        ("bare_rows", UnknownListingError),
        ("odd", UnknownListingError),
        ("html", UnknownListingError),
        ("503", UnreachableError),
        ("429", BusyError),
    ],
)
async def test_a_listing_that_cannot_be_believed(
    vast: VastMarket, fake: FakeVast, fault: str, error: type[Exception]
) -> None:
    """Empty, cut short, without an end, without labels: none of them is a list."""
    await _rent(vast)
    fake.script(Rule(fault, on="list", times=None))
    with pytest.raises(error):
        await vast.listed()
