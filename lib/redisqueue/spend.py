"""What was spent and what is reserved: the ledger of the UTC day, by the server's clock.

Reservations are made and ended in Lua (lua/include/spend.lua) by the steps that move jobs and grant calls; here the
ledger is only read. All money is in whole millionths of a dollar. Called by the views and the metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue.connection import as_text, edge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.redisqueue.queue import Queue

_DAY_SECONDS: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Spent:
    """One UTC day (`2026-03-01`): what was settled on it, in all and by backend.

    `reserved` is what is open now for calls and jobs under way; it belongs to no day until it is settled. A cap holds
    for `settled + reserved`.
    """

    day: str
    settled: int
    reserved: int
    by_backend: dict[str, int]

    @property
    def total(self) -> int:
        """Settled and reserved together: what the cap is compared with."""
        return self.settled + self.reserved


async def today(queue: Queue) -> Spent:
    """The day that the server's clock is in."""
    seconds, days, reserved = await _read(queue)
    number = seconds // _DAY_SECONDS
    settled, by_backend = days.get(number, (0, {}))
    return Spent(_name(number), settled, reserved, by_backend)


async def _read(queue: Queue) -> tuple[int, dict[int, tuple[int, dict[str, int]]], int]:
    """The server's Unix time, the days by number, and the sum of what is reserved; all at one moment."""
    async with edge(queue.url):
        # A transaction: between two reads a call may be settled, which would then count twice or nowhere.
        pipe = queue.client.pipeline(transaction=True)
        pipe.time()
        pipe.hgetall(queue.keys.of("spend"))
        pipe.hget(queue.keys.of("spend_open"), "sum")
        (seconds, _), fields, reserved = await pipe.execute()
    return int(seconds), _days(fields), _whole(reserved or b"")


def _days(fields: Mapping[Any, Any]) -> dict[int, tuple[int, dict[str, int]]]:
    settled: dict[int, int] = {}
    shares: dict[int, dict[str, int]] = {}
    for raw, micro in fields.items():
        day, _, backend = as_text(raw).partition("|")
        number = _whole(day)
        if backend:
            shares.setdefault(number, {})[backend] = _whole(micro)
        else:
            settled[number] = _whole(micro)
    return {number: (micro, shares.get(number, {})) for number, micro in settled.items()}


def _whole(raw: bytes | str) -> int:
    """What the scripts wrote; 0 for what they never write, which must not hide the rest."""
    try:
        return int(as_text(raw))
    except ValueError:
        return 0


def _name(number: int) -> str:
    return (_EPOCH + timedelta(days=number)).date().isoformat()
