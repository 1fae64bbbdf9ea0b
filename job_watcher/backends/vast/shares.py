"""What one job is of a rented machine's bill: the seconds that it was worked on, and the traffic of its files. Pure.

A share is for records and reports alone. What is charged to the day is the machine's time, from the request to the
proof of its end; start-up, canary and idle time are in that and in no job's share, and no share is ever charged. Called
by `hands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.money import MICRO

if TYPE_CHECKING:
    from lib.market.base import MarketOffer

_HOUR_SECONDS: Final = 3600.0
_BYTES_A_GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class MachinePrice:
    """In millionths of a dollar: an hour with its storage, and a GB that leaves the machine. Your own costs nothing."""

    hourly: int = 0
    upload_gb: int = 0

    @classmethod
    def of(cls, offer: MarketOffer, hourly: int) -> MachinePrice:
        """Of what was offered, at so much an hour."""
        return cls(hourly, offer.upload_gb)


def share_of(intent: str, price: MachinePrice, *, seconds: float, sent_bytes: int = 0) -> dict[str, Any]:
    """The `cost` of a record. Rounded down, so that the shares of a machine are never more than its time."""
    seconds = max(0.0, seconds)
    work = int(price.hourly * seconds / _HOUR_SECONDS)
    traffic = int(price.upload_gb * sent_bytes / _BYTES_A_GB)
    found: dict[str, Any] = {
        "usd": (work + traffic) / MICRO,
        "share_of": intent,
        "seconds": round(seconds, 3),
        "usd_per_hour": price.hourly / MICRO,
    }
    if traffic:
        found["traffic_usd"] = traffic / MICRO
    return found
