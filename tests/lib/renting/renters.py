"""A watcher that rents, for tests: a real session and rows on a real server, the real SDK on the fake market.

Its clock for deadlines runs sixty times as fast: a pause of five seconds is a moment. What it does on hosts is written
down and answered as the test says. Called by the tests of `lib.renting` and of the fleet.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.clock import SystemClock
from lib.market import events as ev
from lib.market import life
from lib.market.base import MarketOffer, RentOrder
from lib.market.limiter import Limiter
from lib.market.vast import VastMarket
from lib.redisqueue import instances, sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.instances import Intended
from lib.redisqueue.namespace import namespace
from lib.redisqueue.queue import Queue
from lib.renting.keeping import Books, Keeper, Rent

if TYPE_CHECKING:
    from lib.market.base import Address, GpuMarket
    from lib.market.events import Event
    from lib.market.instance import Instance
    from tests.fakes.vast_server import FakeVast

USD = 1_000_000
SPEED = 60.0
OFFER = MarketOffer("101", "10101", "RTX 4090", 1, 24.0, USD // 5)


@dataclass
class SaidHands:
    """Hands that say what they were told to say."""

    says: dict[str, Event] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)

    async def connect(self, address: Address, seconds: float) -> Event:  # noqa: ARG002 - as the real one
        """As told."""
        return self._say("connect", ev.Connected())

    async def probe(self) -> Event:
        """As told."""
        return self._say("probe", ev.Probed())

    async def canary(self) -> Event:
        """As told."""
        return self._say("canary", ev.CanaryEnded())

    def open(self) -> None:
        """Written down."""
        self.did.append("open")

    def close(self) -> None:
        """Written down, once."""
        if "close" not in self.did:
            self.did.append("close")

    def _say(self, what: str, otherwise: Event) -> Event:
        self.did.append(what)
        return self.says.get(what, otherwise)


def adapter(fake: FakeVast) -> VastMarket:
    """The market as the house sees it, without pauses between calls."""
    clock = SystemClock()
    limiter = Limiter(clock, spacing_seconds=0, jitter=lambda: 0.0)
    return VastMarket("k", clock=clock, url=fake.url, limiter=limiter, call_seconds=2.0, patience_seconds=2.0)


class Renter:
    """One session that may write rows."""

    def __init__(self, queue: Queue, session: str, name: str, known_as: str, ahead: float) -> None:
        self.queue, self.session, self.name = queue, session, name
        self.clock = SystemClock()
        self.fresh = True
        self._began, self._ahead = self.clock.elapsed(), ahead
        limits = life.LifeLimits(max_runtime=7200.0, idle=30.0)
        self.books = Books(queue, session, known_as, self.clock, self.now, limits, lambda: self.fresh)

    @classmethod
    async def on(cls, url: str, prefix: str, name: str = "renter") -> Renter:
        """Open its session."""
        queue = Queue.over(connect(url, prefix=prefix), url, prefix)
        session = f"{name}:{secrets.token_hex(4)}"
        beat = b'"capabilities":[],"slots":{},"running":0,"version":"0"}'
        await sessions.open_session(queue, session, name=name, previous="", life_ms=600_000, heartbeat=beat)
        ahead = await sessions.server_time_ms(queue) / 1000
        return cls(queue, session, name, await namespace(queue), ahead)

    def now(self) -> float:
        """Fast seconds from the server's time at its opening."""
        return self._ahead + (self.clock.elapsed() - self._began) * SPEED

    async def intended(self, market: GpuMarket, *, offer: MarketOffer = OFFER, most: int = 5, **more: Any) -> Keeper:
        """A keeper of a new intent, not yet begun."""
        seen = await instances.rows(self.queue)
        row = life.begin(f"i{secrets.token_hex(6)}", market.name, offer, 10.0, self.now(), self.books.limits)
        answer = await instances.intend(
            self.queue, self.session, row, living=seen.living, most=most, reserve=USD, cap=100 * USD
        )
        assert isinstance(answer, Intended), answer
        label = str(life.label_of(answer.instance, self.books.namespace))
        order = RentOrder(label, "some/image", 10.0, "ssh-ed25519 AAAA key")
        return Keeper(answer.instance, market, self.books, more.pop("hands", SaidHands()), Rent(offer, order), **more)

    async def rows(self) -> list[Instance]:
        """All of them."""
        return list((await instances.rows(self.queue)).instances)

    async def end(self) -> None:
        """Its session ends, as after its death and a sweep."""
        await sessions.close_session(self.queue, self.session, name=self.name)

    async def aclose(self) -> None:
        """Close its connection."""
        await self.queue.client.aclose()
