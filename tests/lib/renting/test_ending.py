"""What nobody owns is ended, what somebody owns is not, and where nothing is known for sure nothing is done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lib.market.labels import Label
from lib.market.ssh import SshHosts
from lib.redisqueue import instances
from lib.redisqueue.connection import edge
from lib.renting import ending
from lib.renting.ending import end_all, forget_damaged, orphans, survey
from tests.fakes.vast_faults import Rule
from tests.lib.renting.renters import adapter
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.market.base import GpuMarket
    from lib.market.vast import VastMarket
    from lib.renting.keeping import Keeper
    from tests.fakes.vast_server import FakeVast
    from tests.lib.renting.renters import Renter

OLD = 3600.0


@pytest.fixture(autouse=True)
def _settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server of these tests has just been started, and has forgotten nothing."""
    monkeypatch.setattr(ending, "SETTLED_SECONDS", 0)


async def left_behind(renter: Renter, vast: VastMarket) -> Keeper:
    """A machine whose watcher was killed as it loaded."""
    keeper = await renter.intended(vast)
    kept = asyncio.create_task(keeper.keep())
    await wait_until(lambda: keeper.instance.market_id)
    kept.cancel()
    await asyncio.gather(kept, return_exceptions=True)
    return keeper


def label(renter: Renter, intent: str = "cafe0000cafe", *, expires_in: float = 7200.0) -> str:
    """As a machine of this queue bears it."""
    return str(Label(renter.books.namespace, intent, "17", int(renter.now() + expires_in)))


async def test_the_machine_of_a_dead_watcher_is_ended_by_another(
    renter: Renter, other: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Its row is taken over, its machine destroyed, its bill kept."""
    lost = await left_behind(renter, vast)
    await renter.end()
    ended = await end_all(other.books, {"vast": adapter(fake)}, seconds=10)
    assert [bill.intent for bill in ended.bills] == [lost.instance.intent]
    assert ended.bills[0].why.startswith("orphaned")
    assert (ended.strays, ended.left, fake.living, await other.rows()) == ([], [], [], [])


async def test_the_machine_of_a_living_watcher_is_left_alone(
    renter: Renter, other: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Row 46: a session that stands is enough, though its watcher says nothing."""
    await left_behind(renter, vast)
    ended = await end_all(other.books, {"vast": adapter(fake)}, seconds=10)
    assert (ended.bills, ended.strays, ended.left) == ([], [], [])
    assert len(fake.living) == 1
    assert fake.asked("destroy") == []


async def test_two_that_reap_end_it_once(renter: Renter, other: Renter, vast: VastMarket, fake: FakeVast) -> None:
    """Row 46: the row goes to one of them; the other finds nothing to do."""
    await left_behind(renter, vast)
    await renter.end()
    both = [end_all(other.books, {"vast": adapter(fake)}, seconds=10) for _ in range(2)]
    ended = await asyncio.gather(*both)
    assert sum(len(each.bills) for each in ended) == 1
    assert fake.living == []


async def test_a_row_of_a_market_that_is_not_set_up_here_is_left_to_others(
    renter: Renter, other: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Without its key nobody can prove anything of it."""
    await left_behind(renter, vast)
    await renter.end()
    found, failed = await orphans(other.books, {}, await other.rows(), frozenset())
    assert (found, failed) == ([], frozenset())
    assert len(await other.rows()) == 1
    assert len(fake.living) == 1


async def test_a_machine_that_no_row_knows_is_found_by_its_label(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Row 34, and a queue that lost its data: of this namespace, past its time or long without a row."""
    expired = fake.place(label(renter, expires_in=-10), offer=101)
    ended = await end_all(renter.books, {"vast": vast}, seconds=10)
    assert [each.market_id for each in ended.strays] == [str(expired)]
    assert fake.living == []


@pytest.mark.parametrize(
    "text",
    ["", "my own machine", "job-runner/another.queue/cafe0000cafe/17/1000", "job-runner/x"],
)
async def test_what_bears_another_label_is_somebody_elses(
    renter: Renter, vast: VastMarket, fake: FakeVast, text: str
) -> None:
    """Row 46: a person's machine, another queue's, a label of no form: never touched, however old."""
    fake.place(text, offer=101)
    ended = await end_all(renter.books, {"vast": vast}, seconds=10)
    assert (ended.bills, ended.strays) == ([], [])
    assert len(fake.living) == 1


@pytest.mark.parametrize("fault", ["nothing", "empty_page", "partial", "410", "odd", "500", "no_total"])
async def test_an_odd_listing_ends_nothing_and_forgets_nothing(
    renter: Renter, other: Renter, vast: VastMarket, fake: FakeVast, fault: str
) -> None:
    """Row 39: unknown is not empty; the rows stand, and what is there lives on."""
    await left_behind(renter, vast)
    fake.place(label(renter, expires_in=7000), offer=102)
    fake.script(Rule(fault, "list", times=None))
    ended = await end_all(other.books, {"vast": vast}, seconds=10)
    assert (ended.bills, ended.strays) == ([], [])
    assert len(await renter.rows()) == 1
    assert len(fake.living) == 2
    assert fake.asked("destroy") == []


async def test_what_is_not_proven_gone_is_told(
    renter: Renter, vast: VastMarket, fake: FakeVast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 40: the exit code of whoever asked rests on it."""
    monkeypatch.setattr(ending, "PROVE_SECONDS", 0.01)
    fake.place(label(renter, expires_in=-10), offer=101)
    fake.script(Rule("ignored", "destroy", times=None))
    ended = await end_all(renter.books, {"vast": vast}, seconds=10)
    assert ended.strays == []
    assert len(ended.left) == 1
    assert "not proven gone" in ended.left[0]


async def test_a_damaged_row_without_a_machine_is_cleared(renter: Renter, vast: VastMarket) -> None:
    """It hides nothing, and nothing is reserved for it for ever."""
    async with edge(renter.queue.url):
        await renter.queue.client.hset(renter.queue.keys.of("instances"), "feed0000feed", "no row at all")
    seen = await survey(renter.books, vast)
    assert seen.strays == ()
    assert await forget_damaged(renter.books, {"vast": seen}) == ()
    assert (await instances.rows(renter.queue)).damaged == ()


async def test_a_damaged_row_stays_while_one_market_has_its_machine(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Nobody can read at which it is: that own hosts know nothing of it proves nothing, nor that nobody was asked."""
    fake.place(label(renter, "feed0000feed"), offer=101)
    async with edge(renter.queue.url):
        await renter.queue.client.hset(renter.queue.keys.of("instances"), "feed0000feed", "no row at all")
    own = SshHosts(["u@127.0.0.1:2222"], renter.clock)
    markets: list[dict[str, GpuMarket]] = [{"vast": vast, "ssh": own}, {"ssh": own}]
    for each in markets:
        ended = await end_all(renter.books, each, seconds=10)
        assert (ended.strays, [left.partition(":")[0] for left in ended.left]) == ([], ["feed0000feed"])
    assert len((await instances.rows(renter.queue)).damaged) == len(fake.living) == 1


async def test_a_machine_whose_market_is_not_set_up_here_is_told(
    renter: Renter, other: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Who has only own hosts cannot end it, and must not say that nothing is there."""
    lost = await left_behind(renter, vast)
    own = SshHosts(["u@127.0.0.1:2222"], other.clock)
    assert (await end_all(other.books, {"ssh": own}, seconds=10)).left == []
    await renter.end()
    (said,) = (await end_all(other.books, {"ssh": own}, seconds=10)).left
    assert said.startswith(f"{lost.instance.intent}: ")
    assert "VAST_API_KEY is not set here" in said
    assert len(fake.living) == 1


async def test_a_damaged_row_stays_while_the_market_is_not_known(
    renter: Renter, vast: VastMarket, fake: FakeVast
) -> None:
    """Row 39: an odd listing forgets nothing, not even what nobody can read."""
    async with edge(renter.queue.url):
        await renter.queue.client.hset(renter.queue.keys.of("instances"), "feed0000feed", "no row at all")
    fake.script(Rule("partial", "list", times=None))
    fake.place("somebody's", offer=101)
    ended = await end_all(renter.books, {"vast": vast}, seconds=10)
    assert [each.partition(":")[0] for each in ended.left] == ["vast", "feed0000feed"]
    assert len((await instances.rows(renter.queue)).damaged) == 1
