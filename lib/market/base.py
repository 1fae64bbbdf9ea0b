"""What every market of machines looks like to those who rent: a handful of questions and orders, in plain values.

`lib.market.vast` and `lib.market.ssh` implement it; `lib.renting` asks it, for watchers, reapers and commands. Money is
in whole millionths of a dollar, sizes in GB, speeds in Mbit/s. Nothing here decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Status = Literal["loading", "running", "stopped", "exited", "offline", "unknown"]
"""How an instance is, whatever a market calls it. `stopped`: it was taken away or outbid, or somebody stopped it."""


@dataclass(frozen=True, slots=True)
class MarketOffer:
    """One machine that could be rented now, at `dph` an hour for everything but storage and traffic."""

    id: str
    machine_id: str
    gpu: str
    gpus: int
    gpu_memory_gb: float
    dph: int
    storage_gb_hour: int = 0
    upload_gb: int = 0
    download_gb: int = 0
    reliability: float = 1.0
    up_mbps: float = 0.0
    down_mbps: float = 0.0
    disk_gb: float = 0.0
    cuda: str = ""
    place: str = ""
    interruptible: bool = False
    min_bid: int = 0

    def hourly(self, disk_gb: float) -> int:
        """What an hour costs with this much storage."""
        return self.dph + round(self.storage_gb_hour * disk_gb)


@dataclass(frozen=True, slots=True)
class HostWants:
    """Which offers are worth looking at. `query` is in the market's own words; `excluded` are machines that failed."""

    disk_gb: float
    max_dph: int
    query: str = ""
    interruptible: bool = False
    excluded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class RentOrder:
    """What is asked for with a `create`: `label` finds it again whatever becomes of the reply.

    `onstart` is a script that the host runs first; `env` is seen by it and by everything there, so it holds no secret.
    `public_key` is the ssh key that is let in. `bid` is dollars an hour for an interruptible one.
    """

    label: str
    image: str
    disk_gb: float
    public_key: str
    onstart: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    bid: int | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """Where its sshd answers."""

    host: str
    port: int
    user: str = "root"


@dataclass(frozen=True, slots=True)
class Seen:
    """An instance as the market shows it. `started_at` is Unix seconds, None while its bill has not begun."""

    market_id: str
    label: str
    status: Status
    message: str = ""
    address: Address | None = None
    machine_id: str = ""
    dph: int = 0
    started_at: float | None = None


class GpuMarket(Protocol):
    """A place to rent machines. Every call is a coroutine that does not block the loop and ends by itself."""

    @property
    def name(self) -> str:
        """As rows and bills spell it: `vast`, `ssh`."""

    async def search(self, wants: HostWants) -> Sequence[MarketOffer]:
        """The offers that fit, in any order; excluded machines are not among them."""

    async def create(self, offer: MarketOffer, order: RentOrder) -> str:
        """Rent it; the market's id of the instance. Never tried twice by itself.

        Raises:
            OfferGoneError, CreditError, KeyRefusedError, BusyError: nothing was rented.
            UncertainError: the reply was lost; whoever asked looks for the label.
        """

    async def show(self, market_id: str) -> Seen | None:
        """How it is now; None only where the market says plainly that there is no such instance."""

    async def listed(self) -> Sequence[Seen]:
        """All instances of the account, others' labels too.

        Raises:
            UnknownListingError: what came is no whole list: an empty page where there was one, an odd shape.
        """

    async def destroy(self, market_id: str) -> bool:
        """Ask for its end; False where the market knows no such instance.

        That it is gone is proven by `show` or `listed` alone.
        """

    async def credit(self) -> int | None:
        """What the account has left; None where nobody is paid."""

    async def aclose(self) -> None:
        """Close what is open. Repeatable."""
