"""A machine in its keeper's hands: saved before each step, found though replies are lost, gone only when proven."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lib.errors import UnreachableError
from lib.market import events as ev
from lib.market import life
from lib.market.base import HostWants
from lib.market.errors import CreditError, MarketError, OfferGoneError
from lib.market.ssh import SshHosts
from lib.redisqueue import instances, spend
from tests.fakes.vast_faults import Rule
from tests.lib.renting.renters import OFFER, Renter, SaidHands, adapter
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.market.base import GpuMarket, MarketOffer, RentOrder
    from lib.market.vast import VastMarket
    from lib.renting.keeping import Keeper
    from tests.fakes.vast_server import FakeVast
    from tests.support.servers import RealServer

HOST = "u@127.0.0.1:2222"
ANY = HostWants(disk_gb=1, max_dph=1)


@pytest.fixture
def own(renter: Renter) -> SshHosts:
    """A market that shows an address at once: what follows is the hands' affair."""
    return SshHosts([HOST], renter.clock)


async def kept_on_own(renter: Renter, own: SshHosts, hands: SaidHands) -> Keeper:
    """A keeper of one's own host."""
    (offer,) = await own.search(ANY)
    return await renter.intended(own, offer=offer, hands=hands)


async def test_a_life_without_mishaps_and_its_bill(renter: Renter, own: SshHosts) -> None:
    """Each state follows; the host is opened, and left when it is idle; the row goes with the proof, the bill stays."""
    hands = SaidHands()
    keeper = await kept_on_own(renter, own, hands)
    keeper.on_step = lambda: states.append(keeper.instance.state)
    states: list[str] = []
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: "open" in hands.did)
    keeper.jobs_done = 7
    keeper.tell(ev.NoWork())
    bill = await kept
    assert hands.did == ["connect", "probe", "canary", "open", "close"]
    assert list(dict.fromkeys(states)) == [
        "creating", "loading", "connecting", "probing", "canary", "draining", "idle", "destroying", "gone",
    ]  # fmt: skip
    assert bill is not None
    assert (bill.jobs, bill.why, bill.micro, bill.failed) == (7, "idle", 0, False)
    assert await renter.rows() == []
    assert [each.intent for each in await instances.bills(renter.queue)] == [bill.intent]
    assert await own.listed() == []


@pytest.mark.parametrize(
    ("what", "event", "why"),
    [
        ("connect", ev.Lost("no answer"), "lost: no answer"),
        ("probe", ev.Probed("bad driver"), "probe: bad driver"),
        ("canary", ev.CanaryEnded("silent audio"), "canary: silent audio"),
    ],
)
async def test_a_bad_host_is_given_back_and_left_out(
    renter: Renter, own: SshHosts, what: str, event: ev.Event, why: str
) -> None:
    """Whatever it fails at: it never takes a job, it ends, and nobody rents the machine for a while."""
    hands = SaidHands({what: event})
    bill = await (await kept_on_own(renter, own, hands)).keep()
    assert bill is not None
    assert (bill.why, bill.failed) == (why, True)
    assert "open" not in hands.did
    await wait_until(lambda: _excluded(renter))


async def _excluded(renter: Renter) -> bool:
    return HOST in await instances.excluded(renter.queue)


async def test_what_the_row_says_comes_before_what_is_done(renter: Renter, vast: VastMarket, fake: FakeVast) -> None:
    """When the market is asked to rent, the row says so already."""
    keeper = await renter.intended(vast)
    seen: list[str] = []

    class Asking:
        """The market, which looks at the row when it is asked."""

        name = "vast"

        def __getattr__(self, name: str) -> object:
            return getattr(vast, name)

        async def create(self, offer: object, order: object) -> str:
            seen.extend(row.state for row in await renter.rows())
            return await vast.create(offer, order)  # type: ignore[arg-type]  # passed on as they came

    keeper.market = Asking()  # type: ignore[assignment]  # all else is passed on
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    assert seen == ["creating"]
    keeper.tell(ev.ToldToEnd("enough"))
    bill = await kept
    assert bill is not None
    assert bill.why == "told: enough"
    assert fake.living == []


@pytest.mark.parametrize("fault", ["done_cut", "done_500"])
async def test_a_create_whose_reply_is_lost_is_found_by_its_label(
    renter: Renter, vast: VastMarket, fake: FakeVast, fault: str
) -> None:
    """Row 33: never asked again; the machine that was rented is ours, and one bill comes of it."""
    fake.script(Rule(fault, "create"))
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    assert keeper.instance.market_id == str(fake.instances[-1].id)
    assert len(fake.asked("create")) == 1
    keeper.tell(ev.ToldToEnd("enough"))
    assert await kept is not None
    assert fake.living == []


async def test_a_machine_whose_create_hangs_is_ended_by_its_label(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Row 33: a watcher that stops does not wait for the reply; what was rented stands in the listing."""
    keeper = await renter.intended(cast("GpuMarket", _Hanging(vast)))
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: fake.living)
    keeper.tell(ev.ToldToEnd("its watcher ends"))
    await wait_until(lambda: fake.living == [])
    assert await kept is not None


class _Hanging:
    """A market whose create says nothing for as long as the machine lives."""

    def __init__(self, inner: VastMarket) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, offer: MarketOffer, order: RentOrder) -> str:
        """Rented, and no word of it."""
        await self._inner.create(offer, order)
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_create_that_never_came_is_given_up_after_whole_listings(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Nothing was rented: two listings say so when it must be there, and what was reserved is free again."""
    fake.script(Rule("cut", "create"))
    keeper = await renter.intended(vast)
    bill = await keeper.keep()
    assert bill is not None
    assert (bill.micro, len(fake.asked("create"))) == (0, 1)
    assert len(fake.asked("list")) >= 2
    assert (await spend.today(renter.queue)).total == 0


@pytest.mark.parametrize(("fault", "error"), [("gone", OfferGoneError), ("no_credit", CreditError)])
async def test_a_plain_refusal_ends_it_at_once_and_is_told(
    renter: Renter, vast: VastMarket, fake: FakeVast, fault: str, error: type[MarketError]
) -> None:
    """Rows 36 and 44: nothing was rented, so nothing is looked for."""
    fake.script(Rule(fault, "create"))
    told: list[MarketError] = []
    bill = await (await renter.intended(vast, on_refused=told.append)).keep()
    assert bill is not None
    assert bill.why.startswith("refused")
    assert [type(each) for each in told] == [error]
    assert fake.asked("list") == []
    assert await instances.bills(renter.queue) == [], "what was never rented pushes out what something is learnt from"


async def test_nothing_is_rented_once_the_margin_has_passed(renter: Renter, vast: VastMarket, fake: FakeVast) -> None:
    """Promise 5: a session that may have ended pays for nothing more."""
    renter.fresh = False
    bill = await (await renter.intended(vast)).keep()
    assert bill is not None
    assert bill.why == "refused: the session's margin has passed"
    assert fake.asked("create") == []


async def test_that_it_is_not_shown_proves_nothing_before_the_market_took_the_order(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Rows 39 and 40: a place of the market that has not heard of it says absent to all; asked again it is there."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: fake.asked("show"))
    for call, fault in (("destroy", "not_found"), ("show", "not_found"), ("list", "nothing")):
        fake.script(Rule(fault, call))
    keeper.tell(ev.ToldToEnd("enough"))
    assert await kept is not None
    assert len(fake.asked("destroy")) == 2
    assert fake.living == []


async def test_what_the_market_takes_in_truth_is_what_is_charged(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """A contract may be dearer than its offer: the row says so; above VAST_MAX_DPH it is given back and left out."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    keeper.tell(ev.Shown("loading", dph=2 * keeper.instance.dph))
    price = keeper.instance.dph
    await wait_until(lambda: keeper.instance.dph == 2 * price)
    keeper.books = replace(keeper.books, limits=replace(keeper.books.limits, max_dph=2 * price))
    keeper.tell(ev.Shown("loading", dph=3 * price))
    bill = await kept
    assert bill is not None
    assert bill.why == f"dearer: ${3 * price / 1_000_000:.3f} an hour"
    assert bill.dph == 3 * price
    assert str(OFFER.machine_id) in await instances.excluded(renter.queue)
    assert fake.living == []


@pytest.mark.parametrize("fault", ["500", "ignored", "not_found"])
async def test_only_a_proof_ends_a_row(renter: Renter, vast: VastMarket, fake: FakeVast, fault: str) -> None:
    """Row 40: a destroy that fails, or that is taken and does nothing, is asked again until the machine is gone."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    fake.script(Rule(fault, "destroy", times=2))
    keeper.tell(ev.ToldToEnd("enough"))
    bill = await kept
    assert bill is not None
    assert len(fake.asked("destroy")) == 3
    assert fake.living == []
    assert await renter.rows() == []


async def test_an_instance_that_is_preempted_is_no_bad_machine(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Row 38: it is destroyed, since it still costs, and may be rented again."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    fake.act("preempt", int(keeper.instance.market_id))
    bill = await kept
    assert bill is not None
    assert bill.why.startswith("preempted")
    assert (bill.failed, fake.living) == (False, [])
    assert await instances.excluded(renter.queue) == {}


async def test_who_is_taken_over_lets_go(renter: Renter, other: Renter, vast: VastMarket, fake: FakeVast) -> None:
    """Row 46: after an adoption the old keeper changes nothing; the adopter ends the machine, once."""
    hands = SaidHands()
    keeper = await renter.intended(vast, hands=hands)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    await renter.end()
    taken = await instances.adopt(other.queue, other.session, keeper.instance.intent)
    assert taken is not None
    keeper.tell(ev.ToldToEnd("too late"))
    assert await kept is None
    assert hands.did == ["close"]
    assert len(fake.living) == 1
    adopter = type(keeper)(taken, adapter(fake), other.books)
    bill = await adopter.keep()
    assert bill is not None
    assert bill.intent == keeper.instance.intent
    assert fake.living == []


async def test_a_machine_is_ended_though_the_queue_does_not_answer(
    own_valkey: RealServer, vast: VastMarket, fake: FakeVast
) -> None:
    """What ends a bill waits for no row; the row is written when the queue is back."""
    renter = await Renter.on(own_valkey.url, "own")
    try:
        keeper = await renter.intended(vast)
        kept = asyncio.create_task(keeper.keep())
        await wait_until(lambda: keeper.instance.market_id)
        own_valkey.stop()
        with pytest.raises(UnreachableError):
            await instances.rows(renter.queue)
        keeper.tell(ev.ToldToEnd("enough"))
        await wait_until(lambda: fake.living == [])
        assert not kept.done()
        own_valkey.start()
        assert await kept is not None
        assert await renter.rows() == []
    finally:
        await renter.aclose()


class _Cut:
    """A market whose answer to a create finds the queue gone."""

    def __init__(self, inner: VastMarket, server: RealServer) -> None:
        self._inner, self._server = inner, server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def create(self, offer: MarketOffer, order: RentOrder) -> str:
        """Rented, and the server is stopped."""
        name = await self._inner.create(offer, order)
        await asyncio.to_thread(self._server.stop)
        return name


async def test_a_machine_whose_name_could_not_be_saved_is_not_taken_for_absent(
    own_valkey: RealServer, vast: VastMarket, fake: FakeVast
) -> None:
    """Nobody asks the market about a machine without a name: that there is none would look like a proof."""
    renter = await Renter.on(own_valkey.url, "cut")
    try:
        keeper = await renter.intended(cast("GpuMarket", _Cut(vast, own_valkey)))
        kept = asyncio.create_task(keeper.keep())
        await wait_until(lambda: keeper._known_id)
        await wait_until(lambda: fake.asked("show"), what="a question by its name")
        own_valkey.start()
        await wait_until(lambda: keeper.instance.market_id)
        assert len(fake.living) == 1
        keeper.tell(ev.ToldToEnd("enough"))
        assert await kept is not None
        assert fake.living == []
    finally:
        await renter.aclose()


async def test_the_end_of_a_rent_is_kept_though_the_queue_is_away(
    own_valkey: RealServer, vast: VastMarket, fake: FakeVast
) -> None:
    """A step that cannot be saved holds nothing up that ends a bill: the hard end of the rent comes all the same."""
    renter = await Renter.on(own_valkey.url, "late")
    renter.books = replace(renter.books, limits=life.LifeLimits(max_runtime=240.0, idle=30.0))
    try:
        keeper = await renter.intended(cast("GpuMarket", _Cut(vast, own_valkey)))
        kept = asyncio.create_task(keeper.keep())
        await wait_until(lambda: keeper._known_id)
        await wait_until(lambda: fake.living == [], 20, what="the end of the rent")
        assert not kept.done()
        own_valkey.start()
        assert await kept is not None
    finally:
        await renter.aclose()


async def test_a_foreign_machine_of_the_same_name_is_left_alone(renter: Renter, other: Renter, own: SshHosts) -> None:
    """An adopter whose market knows the name as another intent's takes that for a proof, and destroys nothing."""
    (offer,) = await own.search(ANY)
    lost = await renter.intended(own, offer=offer)
    kept = asyncio.create_task(lost.keep())
    await wait_until(lambda: lost.instance.market_id)
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)
    await renter.end()
    # The adopter's process has a host of the same name in use.
    theirs = SshHosts([HOST], other.clock)
    mine = await other.intended(theirs, offer=offer)
    using = asyncio.create_task(mine.keep())
    await wait_until(lambda: mine.instance.state == "draining")
    taken = await instances.adopt(other.queue, other.session, lost.instance.intent)
    assert taken is not None
    assert await type(lost)(taken, theirs, other.books).keep() is not None
    assert [each.market_id for each in await theirs.listed()] == [HOST]
    using.cancel()
    await asyncio.gather(using, return_exceptions=True)
