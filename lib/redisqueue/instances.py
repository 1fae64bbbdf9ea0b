"""Rented machines as the queue knows them: a row for each from the intent to the proof that it is gone, and its money.

A row is written before anything is rented, with the most that the machine may cost reserved in the same step, and it
goes only with the word that the machine is gone; then its bill is kept. Every change is one Lua step (lua/rent_*.lua)
that checks the session, and that the row is still the caller's. Nothing here asks a market or decides anything. All
money is in whole millionths of a dollar, all times are Unix seconds by the server's clock. Called by the backend of
rented machines, the reaper and the views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.market.instance import Instance, InstanceState
    from lib.redisqueue.queue import Queue

RefusedWhy = Literal["session", "raced", "enough", "no_budget", "budget", "replicas"]
"""Why no intent was written: the session has ended; there are other rows than the caller had seen; as many as may be;
it costs something and nobody has said how much a day may cost; the day's budget would be passed; no replica took it."""


@dataclass(frozen=True, slots=True)
class Intended:
    """The row stands, its money is reserved; the label of the machine bears this fence."""

    fence: str


@dataclass(frozen=True, slots=True)
class RentRefused:
    """Nothing was written. `spent` is what the day has settled and reserved, where the budget refused."""

    why: RefusedWhy
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Damaged:
    """A row that cannot be read: what it bills is unknown, and its machine is found by the label alone."""

    intent: str
    text: str


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows at one moment, `now` by the server's clock. `told_to_end` are intents that somebody wants to be over."""

    now: float
    instances: tuple[Instance, ...] = ()
    damaged: tuple[Damaged, ...] = ()
    told_to_end: frozenset[str] = frozenset()

    @property
    def living(self) -> int:
        """How many machines may be billing: what `intend` compares."""
        return len(self.instances) + len(self.damaged)


@dataclass(frozen=True, slots=True)
class Bill:
    """What an instance came to. `spent` is seconds by state, `why` the reason of its end."""

    intent: str
    market: str
    market_id: str
    machine_id: str
    gpu: str
    dph: int
    micro: int
    jobs: int
    why: str
    failed: bool
    created_at: float | None
    ended_at: float
    spent: Mapping[InstanceState, float]


@dataclass(frozen=True, slots=True)
class Excluded:
    """A machine that is not rented again before `until`."""

    until: float
    why: str


async def intend(
    queue: Queue, session: str, instance: Instance, *, living: int, most: int, reserve: int, cap: int | None
) -> Intended | RentRefused:
    """Write the row of an intent and reserve the most that it may cost, or neither; before anything is asked for.

    `living` is how many rows the caller has seen, `most` how many there may be, `reserve` the worst case of the whole
    rent, `cap` the budget of the UTC day. Where the server has replicas, one of them has it before this returns.
    Safe to repeat with the same instance.

    Raises:
        QueueError: the intent is no name for a label, or the row would be too large.
        UnreachableError: whether it was written is not known: repeat it.

    """
    raise NotImplementedError


async def advance(queue: Queue, session: str, instance: Instance, charge: int) -> Instance | None:
    """Write the instance as it is now, and charge what it has cost since the last time to today.

    The instance is the one that was read or returned last, with the fields changed that are to change; `cost` is still
    the old one. Its reservation shrinks by the charge. The answer has the new version and cost; None: it is no longer
    the caller's (session ended, another owner, fence or version), and nothing was charged. Safe to repeat as it was.

    A server that has forgotten the last versions, or the whole row, takes the owner's word.
    """
    raise NotImplementedError


async def adopt(queue: Queue, session: str, intent: str, *, seconds: float = 60.0, why: str = "") -> Instance | None:
    """Take over an instance whose owner's session is gone: `destroying`, a new fence, `seconds` until its deadline.

    None: its owner is alive, or there is no such row or none that can be read, or the session has ended.
    """
    raise NotImplementedError


async def end(queue: Queue, session: str, instance: Instance, charge: int) -> Bill | None:
    """It is proven gone: charge the last of it, release what is left of its reservation, and keep its bill.

    None: it is no longer the caller's. Safe to repeat as it was.
    """
    raise NotImplementedError


async def ask_end(queue: Queue, intent: str) -> bool:
    """Ask the owner to end it (`Rows.told_to_end`), whoever asks; False where there is no such row."""
    raise NotImplementedError


async def rows(queue: Queue) -> Rows:
    """Every row; one that cannot be read hides no other."""
    raise NotImplementedError


async def bills(queue: Queue, limit: int = 100) -> list[Bill]:
    """The newest bills, newest first; as many as are kept at most."""
    raise NotImplementedError


async def exclude(queue: Queue, machine_id: str, seconds: float, why: str) -> None:
    """Let a machine that failed not be rented again for so long; a longer exclusion stays."""
    raise NotImplementedError


async def excluded(queue: Queue) -> dict[str, Excluded]:
    """The machines that are not to be rented now."""
    raise NotImplementedError
