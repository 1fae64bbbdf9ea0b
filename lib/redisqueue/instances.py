"""Rented machines as the queue knows them: a row for each from the intent to the proof that it is gone, and its money.

A row is written before anything is rented, with the most that the machine may cost reserved in the same step, and it
goes only with the word that the machine is gone; then its bill is kept. Every change is one Lua step (lua/rent_*.lua)
that checks the session, and that the row is still the caller's. Nothing here asks a market or decides anything. All
money is in whole millionths of a dollar, all times are Unix seconds by the server's clock. Called by the backend of
rented machines, the reaper and the views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from redis.exceptions import ResponseError

from lib.redisqueue.connection import Client, as_text, edge
from lib.redisqueue.rent_rows import WHY_MAX, Bill, adopted, bill_of, read_bill, read_row, rest_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.market.instance import Instance
    from lib.redisqueue.queue import Queue

__all__ = [
    "Bill",
    "Damaged",
    "Excluded",
    "Intended",
    "RentRefused",
    "Rows",
    "adopt",
    "advance",
    "ask_end",
    "bills",
    "drop_damaged",
    "end",
    "exclude",
    "excluded",
    "intend",
    "resume",
    "rows",
]

BILLS_MAX: Final = 1000
"""So many bills are kept."""

EXCLUDED_MAX: Final = 1000
"""So many machines are remembered that failed."""

REPLICA_WAIT_MS: Final = 2000
"""Far longer than a replica that is well takes, and nothing against the time of a machine's start."""

_HOUR: Final = 3600.0

RefusedWhy = Literal["session", "raced", "enough", "no_budget", "budget", "replicas"]
"""Why no intent was written: the session has ended; there are other rows than the caller had seen; as many as may be;
it costs something and nobody has said how much a day may cost; the day's budget would be passed; no replica took it."""


@dataclass(frozen=True, slots=True)
class Intended:
    """The row stands, its money is reserved; the label of the machine bears this fence."""

    fence: str
    instance: Instance
    """As it stands now: with its fence, owner and version."""


@dataclass(frozen=True, slots=True)
class RentRefused:
    """Nothing was written. `spent` is what the day has settled and reserved, where the budget refused."""

    why: RefusedWhy
    spent: int = 0


@dataclass(frozen=True, slots=True)
class Damaged:
    """A row that cannot be read: what it bills is unknown, and its machine is found by the label alone."""

    intent: str
    raw: bytes

    @property
    def text(self) -> str:
        """Its beginning, for people."""
        return self.raw[:200].decode("utf-8", "backslashreplace")


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
class Excluded:
    """A machine that is not rented again before `until`."""

    until: float
    why: str


async def intend(
    queue: Queue, session: str, instance: Instance, *, living: int, most: int, reserve: int, cap: int | None
) -> Intended | RentRefused:
    """Write the row of an intent and reserve the most that it may cost, or neither; before anything is asked for.

    `living` is how many rows the caller has seen (`Rows.living`), `most` how many there may be, `reserve` the worst
    case of the whole rent, `cap` the budget of the UTC day. Where the server has replicas, one of them has it before
    this returns. Safe to repeat with the same instance.

    Raises:
        QueueError: the intent is no name for a label, or the row would be too large.
        UnreachableError: whether it was written is not known: repeat it.

    """
    rest = rest_of(instance)
    # A WAIT speaks of the writes of its own connection.
    async with edge(queue.url), queue.client.client() as alone, queue.scripts.one_ahead(on=alone) as conversation:
        answers = await conversation.call(
            "rent_intend",
            session=session,
            intent=instance.intent,
            rest=rest,
            living=living,
            most=most,
            reserve=reserve,
            cap="" if cap is None else cap,
        )
        ((code, value),) = [*answers, *await conversation.rest()]
        if as_text(code) != "ok":
            why: RefusedWhy = as_text(code)  # type: ignore[assignment]  # the codes of rent_intend.lua are RefusedWhy
            return RentRefused(why, int(value))
        kept = await _replicated(alone)
    fence = as_text(value)
    written = replace(instance, state="intended", fence=fence, owner=session, version=1, cost=0)
    if kept:
        return Intended(fence, written)
    # Nothing is paid for that only this server knows of.
    await end(queue, session, replace(written, reason="not_recorded: no replica has taken the intent"), 0)
    return RentRefused("replicas")


async def _replicated(alone: Client) -> bool:
    """Whether a replica has what was written on this connection; True where none is known of."""
    try:
        info: Any = await alone.info("replication")
    except ResponseError:
        return True
    return not info.get("connected_slaves") or int(await alone.wait(1, REPLICA_WAIT_MS)) > 0


async def advance(queue: Queue, session: str, instance: Instance, charge: int) -> Instance | None:
    """Write the instance as it is now, and charge what it has cost since the last time to today.

    The instance is the one that was read or returned last, with the fields changed that are to change; `cost` is still
    the old one. Its reservation shrinks by the charge. The answer has the new version and cost; None: it is no longer
    the caller's (session ended, another owner, fence or version), and nothing was charged. After an UnreachableError it
    may have been done: repeat it just as it was, or read the rows.

    A server that was restarted and has forgotten the last versions, or the whole row, takes the owner's word.
    """
    reply = await queue.scripts.call(
        "rent_advance",
        session=session,
        intent=instance.intent,
        fence=instance.fence,
        version=instance.version,
        state=instance.state,
        cost=instance.cost + max(0, charge),
        rest=rest_of(instance),
        reserve=_may_still_cost(instance),
    )
    if not reply:
        return None
    version, cost = reply
    return replace(instance, version=int(version), cost=int(cost), owner=session)


def _may_still_cost(instance: Instance) -> int:
    """The rest of its rent at worst, where nobody remembers what was reserved."""
    return math.ceil(instance.dph * max(0.0, instance.expires_at - instance.since) / _HOUR)


async def adopt(queue: Queue, session: str, intent: str, *, seconds: float = 0.0) -> Instance | None:
    """Take over an instance whose owner's session is gone: `destroying`, a new fence, `seconds` until its deadline.

    None: its owner is alive, or there is no such row or none that can be read, or the session has ended. Safe to
    repeat.
    """
    async with edge(queue.url):
        pipe = queue.client.pipeline(transaction=True)
        pipe.time()
        pipe.hget(queue.keys.of("instances"), intent)
        when, raw = await pipe.execute()
    row = read_row(intent, raw) if raw is not None else None
    if row is None:
        return None
    if row.instance.owner == session:
        # The answer to the first try was lost.
        return row.instance if row.instance.state == "destroying" else None
    taken = adopted(row.instance, _seconds(when), seconds)
    fence = as_text(
        await queue.scripts.call(
            "rent_adopt", session=session, intent=intent, version=taken.version, rest=rest_of(taken)
        )
    )
    return replace(taken, fence=fence, owner=session, version=taken.version + 1) if fence else None


async def resume(queue: Queue, session: str, instance: Instance) -> Instance | None:
    """Go on with a machine that works under the caller's next session; its owner is the former one, which has ended.

    None: somebody has taken it over, or the former session has not ended. Safe to repeat.
    """
    raw: Any = await queue.scripts.call(
        "rent_resume",
        session=session,
        former=instance.owner,
        intent=instance.intent,
        fence=instance.fence,
        version=instance.version,
    )
    row = read_row(instance.intent, raw) if raw else None
    return None if row is None else row.instance


async def end(queue: Queue, session: str, instance: Instance, charge: int) -> Bill | None:
    """It is proven gone: charge the last of it, release what is left of its reservation, and keep its bill.

    None: it is no longer the caller's. Safe to repeat as it was. The bill of what was never rented is answered and not
    kept: a market that refuses for a night would push out all those that something is learnt from.
    """
    micro = instance.cost + max(0, charge)
    text = bill_of(instance, micro)
    was_rented = bool(instance.market_id or micro)
    entry = as_text(
        await queue.scripts.call(
            "rent_end",
            session=session,
            intent=instance.intent,
            fence=instance.fence,
            version=instance.version,
            cost=micro,
            bill=text if was_rented else "",
            bills_max=BILLS_MAX,
        )
    )
    if not entry:
        return None
    return read_bill(instance.intent, text, _ended_at(entry) if was_rented else instance.since)


async def ask_end(queue: Queue, intent: str) -> bool:
    """Ask the owner to end it (`Rows.told_to_end`), whoever asks; False where there is no such row."""
    return bool(await queue.scripts.call("rent_ask_end", intent=intent))


async def rows(queue: Queue) -> Rows:
    """Every row; one that cannot be read hides no other."""
    async with edge(queue.url):
        pipe = queue.client.pipeline(transaction=True)
        pipe.time()
        pipe.hgetall(queue.keys.of("instances"))
        when, fields = await pipe.execute()
    found = {as_text(intent): (read_row(as_text(intent), raw), raw) for intent, raw in sorted(fields.items())}
    sound = [row for row, _ in found.values() if row is not None]
    return Rows(
        now=_seconds(when),
        instances=tuple(row.instance for row in sound),
        damaged=tuple(Damaged(intent, raw) for intent, (row, raw) in found.items() if row is None),
        told_to_end=frozenset(row.instance.intent for row in sound if row.told),
    )


async def drop_damaged(queue: Queue, damaged: Sequence[Damaged]) -> list[bool]:
    """Take away rows that cannot be read, each if nobody has written it since; what was reserved for it is charged.

    Its machine, if there is one, is found by the label like any that nobody owns.
    """
    replies = await queue.scripts.call("rent_drop", rows=[(row.intent, row.raw) for row in damaged])
    return [reply == 1 for reply in replies]


async def bills(queue: Queue, limit: int = 100) -> list[Bill]:
    """The newest bills, newest first; one that cannot be read is left out."""
    async with edge(queue.url):
        page: Any = await queue.client.xrevrange(queue.keys.of("bills"), count=max(1, limit))
    found = [
        read_bill(as_text(fields.get(b"intent", b"")), fields.get(b"bill", b""), _ended_at(as_text(entry)))
        for entry, fields in page
    ]
    return [bill for bill in found if bill is not None]


async def exclude(queue: Queue, machine_id: str, seconds: float, why: str) -> None:
    """Let a machine that failed not be rented again for so long; a longer exclusion stays."""
    ms = max(0, round(seconds * 1000))
    await queue.scripts.call("rent_exclude", machine_id=machine_id, ms=ms, why=why[:WHY_MAX], machines_max=EXCLUDED_MAX)


async def excluded(queue: Queue) -> dict[str, Excluded]:
    """The machines that are not to be rented now, until when and why."""
    async with edge(queue.url):
        pipe = queue.client.pipeline(transaction=True)
        pipe.time()
        pipe.hgetall(queue.keys.of("excluded"))
        when, fields = await pipe.execute()
    now = _seconds(when)
    found: dict[str, Excluded] = {}
    for name, raw in fields.items():
        until_ms, bar, why = as_text(raw).partition("|")
        # What somebody else wrote there keeps nobody from renting.
        if bar and until_ms.isdigit() and now < int(until_ms) / 1000:
            found[as_text(name)] = Excluded(int(until_ms) / 1000, why)
    return found


def _seconds(when: Any) -> float:
    seconds, micros = when
    return int(seconds) + int(micros) / 1_000_000


def _ended_at(entry: str) -> float:
    """When a bill was written: its entry's time."""
    return int(entry.partition("-")[0]) / 1000
