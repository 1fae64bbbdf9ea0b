"""Your own hosts as a market: SSH_HOSTS are its offers, they cost nothing, and to rent one is to mark it as taken.

The mark lives in this process alone; that another watcher has the host is seen by its row (`lib.renting.shopping`).
Nothing is started or stopped here, and nobody is asked: whether a host answers is found out by whoever connects.
"""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Final

from lib.market.base import Address, MarketOffer, Seen
from lib.market.errors import OfferGoneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.clock import Clock
    from lib.market.base import HostWants, RentOrder

SSH_PORT: Final = 22


class SshHosts:
    """The hosts of SSH_HOSTS, each `[USER@]HOST[:PORT]`. Its name there is its offer, its machine and its instance."""

    def __init__(self, hosts: Sequence[str], clock: Clock) -> None:
        self._hosts = {host: address_of(host) for host in hosts}
        self._clock = clock
        self._taken: dict[str, Seen] = {}

    @property
    def name(self) -> str:
        """`ssh`."""
        return "ssh"

    async def search(self, wants: HostWants) -> Sequence[MarketOffer]:
        """The hosts that nobody here has taken. What they have is not known: it is probed when one is connected to."""
        return [
            MarketOffer(id=host, machine_id=host, gpu="", gpus=0, gpu_memory_gb=0.0, dph=0, place=address.host)
            for host, address in self._hosts.items()
            if host not in self._taken and host not in wants.excluded
        ]

    async def create(self, offer: MarketOffer, order: RentOrder) -> str:
        """Mark it as taken; its image, disk and script are its owner's affair."""
        address = self._hosts.get(offer.id)
        if address is None:
            raise OfferGoneError(f"{offer.id} is no host of SSH_HOSTS")
        if offer.id in self._taken:
            raise OfferGoneError(f"{offer.id} is in use by {self._taken[offer.id].label}")
        self._taken[offer.id] = Seen(
            market_id=offer.id,
            label=order.label,
            status="running",
            address=address,
            machine_id=offer.id,
            started_at=self._clock.now().timestamp(),
        )
        return offer.id

    async def show(self, market_id: str) -> Seen | None:
        """The mark."""
        return self._taken.get(market_id)

    async def listed(self) -> Sequence[Seen]:
        """All marks."""
        return list(self._taken.values())

    async def destroy(self, market_id: str) -> bool:
        """Take the mark away: the host itself is left as it is."""
        return self._taken.pop(market_id, None) is not None

    async def credit(self) -> int | None:
        """Nobody is paid."""
        return None

    async def aclose(self) -> None:
        """Nothing is open."""


def address_of(host: str) -> Address:
    """`[USER@]HOST[:PORT]` as an address; without a user it is the one who runs this, as ssh has it."""
    user, _, rest = host.rpartition("@")
    name, _, port = rest.rpartition(":")
    # The last colon of [::1] is part of the host, as is everything where none is.
    if not name or not port.isdigit():
        name, port = rest, ""
    return Address(host=name.strip("[]"), port=int(port) if port else SSH_PORT, user=user or getpass.getuser())
