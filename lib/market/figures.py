"""What rented machines have shown so far: how long one takes to start, and how fast each kind of gpu works. Pure.

Learnt from bills. Called by whoever decides to rent, ranks offers, quotes or simulates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.market.instance import InstanceState


class Bill(Protocol):
    """What is read of a bill; `lib.redisqueue.instances.Bill` is one."""

    @property
    def gpu(self) -> str:
        """Its kind, as the market spells it."""

    @property
    def jobs(self) -> int:
        """How many it ended."""

    @property
    def spent(self) -> Mapping[InstanceState, float]:
        """Seconds by state."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What decisions are made with: seconds from intent to ready, expected and at worst; what an hour costs.

    `dph` is of the machine that would be rented next, in millionths of a dollar, storage included.
    """

    startup: float
    startup_most: float
    dph: int


@dataclass(frozen=True, slots=True)
class Learnt:
    """What the bills say. `started` is how many machines came to work at all, of which the two figures speak."""

    startup: float
    startup_most: float
    started: int = 0
    job_seconds: Mapping[str, float] = field(default_factory=dict)

    def figures(self, dph: int) -> Figures:
        """With the price of the machine that would be rented."""
        return Figures(self.startup, self.startup_most, dph)

    def speed(self, gpu: str) -> float:
        """How fast it is beside the average rented machine: 2.0 is twice as fast, 1.0 where nothing is known."""
        raise NotImplementedError


def learn(bills: Iterable[Bill]) -> Learnt:
    """From the newest bills, in any order."""
    raise NotImplementedError
