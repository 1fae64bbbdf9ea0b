"""Your own hosts as a market: taken and given back, at no cost."""

from __future__ import annotations

import getpass
from dataclasses import replace

import pytest

from lib.market.base import Address, GpuMarket, HostWants
from lib.market.errors import OfferGoneError
from lib.market.offers import BatchNeeds, RentHistory, best, rank
from lib.market.ssh import SshHosts, address_of
from tests.lib.market.rows import ORDER, WANTS
from tests.support.hand_clock import HandClock


@pytest.fixture
def hosts() -> SshHosts:
    """Two of them."""
    return SshHosts(("ann@gpu1.example.org:2222", "gpu2.example.org"), HandClock())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("gpu1", Address("gpu1", 22, "")),
        ("gpu1:2222", Address("gpu1", 2222, "")),
        ("ann@gpu1.example.org", Address("gpu1.example.org", 22, "ann")),
        ("ann@10.0.0.7:2022", Address("10.0.0.7", 2022, "ann")),
        ("[::1]", Address("::1", 22, "")),
        ("ann@[2001:db8::7]:2022", Address("2001:db8::7", 2022, "ann")),
    ],
)
def test_a_host_of_the_setting_is_an_address(text: str, address: Address) -> None:
    """Port 22 and the one who runs this, unless it says otherwise."""
    assert address_of(text) == (address if address.user else replace(address, user=getpass.getuser()))


async def test_a_host_is_rented_and_given_back(hosts: SshHosts) -> None:
    """It is seen with its label and its address while it is taken, and offered when it is not."""
    market: GpuMarket = hosts
    first, second = await market.search(WANTS)
    assert (market.name, first.dph, await market.credit()) == ("ssh", 0, None)
    market_id = await market.create(first, ORDER)
    (seen,) = await market.listed()
    assert seen == await market.show(market_id)
    assert (seen.label, seen.status, seen.dph) == (ORDER.label, "running", 0)
    assert (seen.address, seen.started_at) == (Address("gpu1.example.org", 2222, "ann"), 1000.0)
    assert list(await market.search(WANTS)) == [second]
    for _ in range(2):
        await market.destroy(market_id)
    assert await market.show(market_id) is None
    assert list(await market.listed()) == []
    assert list(await market.search(WANTS)) == [first, second]
    await market.aclose()


async def test_a_host_is_taken_once(hosts: SshHosts) -> None:
    """Whoever comes second is told by whom; a host that is not in the setting is no offer."""
    first, _ = await hosts.search(WANTS)
    await hosts.create(first, ORDER)
    with pytest.raises(OfferGoneError, match=r"gpu1.* is in use by job-runner/pab/"):
        await hosts.create(first, ORDER)
    with pytest.raises(OfferGoneError, match="no host of SSH_HOSTS"):
        await hosts.create(replace(first, id="evil.example.org"), ORDER)


async def test_a_host_that_failed_is_left_out(hosts: SshHosts) -> None:
    """As any machine is."""
    found = await hosts.search(HostWants(disk_gb=60, max_dph=0, excluded=frozenset({"gpu2.example.org"})))
    assert [each.machine_id for each in found] == ["ann@gpu1.example.org:2222"]


async def test_what_is_free_is_ranked_before_what_is_paid(hosts: SshHosts) -> None:
    """Nothing is known of it, and nothing of that is held against it."""
    offers = await hosts.search(WANTS)
    batch = BatchNeeds(characters=1000, disk_gb=60, max_dph=1, gpu_memory_gb=12, cuda="12.1")
    found = best(rank(offers, batch, RentHistory()))
    assert found is not None
    assert found.cost == 0
