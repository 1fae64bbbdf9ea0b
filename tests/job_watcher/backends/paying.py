"""A paid model for one leased job, on a queue and a clock that the test owns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from job_watcher.backends.metered import MeteredModel
from job_watcher.backends.metering import Meter, Payer
from job_watcher.backends.paid import PaidModels
from job_watcher.backends.settling import Settlements
from job_watcher.in_hand import InHand
from job_watcher.session import Offer, Session, SessionTimes
from lib.redisqueue.quota import Allowance, Pool
from lib.routing.prices import Price, PriceTable
from tests.conformance.paying import Paying
from tests.support.hand_clock import HandClock
from tests.support.scripted_model import ScriptedModel

if TYPE_CHECKING:
    from tests.conformance.stage import Stage

POOL = Pool("k1", "scripted")
PRICES = PriceTable({"scripted": Price(1.0, 10.0)})
TIMES = SessionTimes(life=600.0, renew_every=5.0, margin=60.0)


@dataclass
class Desk:
    """A watcher's side of paid calls: its session, and what was not said to the queue yet."""

    paying: Paying
    session: Session
    clock: HandClock
    settlements: Settlements
    inner: ScriptedModel = field(default_factory=ScriptedModel)

    @classmethod
    async def of(cls, stage: Stage) -> Desk:
        """With one job, `a`."""
        clock, queue = HandClock(), stage.queue
        offer = Offer(frozenset({"text_model"}), {"cloud": 10}, "test")
        session = Session(queue, "payer", "1", TIMES, offer, InHand(), clock)
        await session.open("")
        desk = cls(Paying(stage, session.id), session, clock, Settlements(queue, clock))
        await desk.paying.job("a")
        return desk

    def model(self, allowance: Allowance | None = None, **payer: Any) -> MeteredModel:
        """The model of a new attempt."""
        values: dict[str, Any] = {"budget": None, "high": False} | payer
        paid = Payer(self.paying.leases["a"], self.session, **values)
        meter = Meter(self.paying.stage.queue, self.settlements, PRICES, paid, self.clock)
        return MeteredModel(self.inner, meter, POOL, allowance or Allowance())

    def paid(self, allowance: Allowance | None = None) -> PaidModels:
        """The models of a watcher that has a key; none of speech."""
        queue, said = self.paying.stage.queue, self.settlements
        return PaidModels(self.inner, None, POOL.key, allowance or Allowance(), PRICES, None, queue, self.clock, said)

    async def pass_seconds(self, seconds: float) -> None:
        """For the queue and for who waits here."""
        await self.paying.pass_ms(round(seconds * 1000))
        await self.clock.move(seconds)
