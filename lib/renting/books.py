"""Where the rows of rented machines are and who writes them, and what one is rented by; see `lib.renting.keeping`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lib.market import life

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.clock import Clock
    from lib.market.base import MarketOffer, RentOrder
    from lib.redisqueue.queue import Queue


@dataclass(frozen=True, slots=True)
class Rent:
    """What is rented, as long as it is not: the offer, and the order that asks for it."""

    offer: MarketOffer
    order: RentOrder


@dataclass(frozen=True, slots=True)
class Books:
    """Where the rows are, and who writes. `now` is Unix seconds of the server; `may_pay` the session's self-stop."""

    queue: Queue
    session: str
    namespace: str
    clock: Clock
    now: Callable[[], float]
    limits: life.LifeLimits = field(default_factory=life.LifeLimits)
    may_pay: Callable[[], bool] = lambda: True
