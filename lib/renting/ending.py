"""Ends what nobody keeps: machines whose watcher is gone, and machines that no row knows. Fails closed.

A row whose owner's session is gone is taken over and brought to its end. What only the market knows is found by its
label and destroyed: what bears no label of this namespace is somebody else's. Where rows or listing are not known for
sure nothing is destroyed. Called by the watcher's fleet and reaper, `job-watcher reap` and `job-runner instances`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loguru import logger

from lib.errors import JobRunnerError
from lib.market.labels import parse_label
from lib.market.reaping import KnownRows, adoptable, reapable
from lib.redisqueue import instances, sessions
from lib.redisqueue.connection import edge
from lib.renting.keeping import Books, Keeper

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from typing import Any

    from lib.clock import Clock
    from lib.market.base import GpuMarket
    from lib.market.instance import Instance
    from lib.market.reaping import Reapable
    from lib.redisqueue.instances import Bill
    from lib.redisqueue.queue import Queue

PROVE_SECONDS: Final = 2.0
"""Between two looks whether a machine that was asked to end is gone."""

PROVE_TRIES: Final = 5

OWN_HOSTS: Final = "ssh"

SETTINGS: Final = {"vast": "VAST_API_KEY", OWN_HOSTS: "SSH_HOSTS"}
"""What sets a market up."""

SETTLED_SECONDS: Final = 30
"""A server that is up for so long has heard of every living owner again: their steps come at half of this."""


@dataclass(slots=True)
class Ended:
    """What was found and ended.

    `strays` are machines that no row knew, by their id at the market; `left` says of each that may still cost why.
    """

    bills: list[Bill] = field(default_factory=list)
    strays: list[Reapable] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


async def orphans(
    books: Books, markets: Mapping[str, GpuMarket], rows: Sequence[Instance], living: Collection[str]
) -> tuple[list[Keeper], frozenset[str]]:
    """Take over the rows whose owners are gone; their keepers, not yet begun, and what could not be taken over.

    Rows of a market that is not set up here are left to somebody who has its key.
    """
    found: list[Keeper] = []
    failed: set[str] = set()
    by_intent = {each.intent: each for each in rows}
    for intent in adoptable(rows, living):
        market = markets.get(by_intent[intent].market)
        if market is None:
            continue
        taken = await instances.adopt(books.queue, books.session, intent)
        if taken is None:
            failed.add(intent)
        else:
            logger.bind(instance_id=intent).warning("the watcher of rented machine {} is gone: ending it", intent)
            found.append(Keeper(taken, market, books))
    return found, frozenset(failed)


@dataclass(frozen=True, slots=True)
class Survey:
    """One whole look at a market: what nobody owns there, and the intents of all of ours that it has."""

    strays: tuple[Reapable, ...]
    intents: frozenset[str]


async def survey(books: Books, market: GpuMarket, unadopted: frozenset[str] = frozenset()) -> Survey:
    """The machines at this market that nobody owns; nothing is done to them.

    Raises:
        JobRunnerError: market or queue do not say for sure what there is.

    """
    listing = await market.listed()
    # Read after the listing: a row is older than its machine, and a machine older than its owner's last word.
    rows = await instances.rows(books.queue)
    living = await sessions.live_sessions(books.queue)
    known = KnownRows(
        rows.instances,
        living,
        frozenset(each.intent for each in rows.damaged),
        unadopted,
        settled=await _settled(books.queue),
    )
    found = reapable(listing, known, books.namespace, rows.now, max_runtime=books.limits.max_runtime)
    labels = (parse_label(seen.label, books.namespace) for seen in listing)
    return Survey(found, frozenset(label.intent for label in labels if label is not None))


async def forget_damaged(books: Books, surveys: Mapping[str, Survey | None]) -> tuple[instances.Damaged, ...]:
    """Drop the rows that nobody can read and of which no market has a machine; those that stay.

    `surveys` by market, None for one that gave no whole answer. Nobody knows at which market such a machine is, and own
    hosts know of nothing but this process: so all of the others must have answered, and one must be there.
    """
    rows = await instances.rows(books.queue)
    sure = [each for name, each in surveys.items() if name != OWN_HOSTS]
    if not rows.damaged or not sure or None in surveys.values() or not await _settled(books.queue):
        return rows.damaged
    there = {intent for each in surveys.values() if each is not None for intent in each.intents}
    gone = [row for row in rows.damaged if row.intent not in there]
    dropped = await instances.drop_damaged(books.queue, gone)
    lost = {row.intent for row, is_dropped in zip(gone, dropped, strict=True) if is_dropped}
    return tuple(row for row in rows.damaged if row.intent not in lost)


async def destroy(market: GpuMarket, stray: Reapable, clock: Clock) -> bool:
    """Destroy a machine that nobody owns; whether it is proven gone."""
    logger.bind(instance_id=stray.intent, market_id=stray.market_id).warning(
        "nobody owns rented machine {} of {} ({}): destroying it", stray.market_id, market.name, stray.why
    )
    for _ in range(PROVE_TRIES):
        try:
            await market.destroy(stray.market_id)
            if await market.show(stray.market_id) is None:
                return True
        except JobRunnerError as exc:
            logger.warning("{}: {}", market.name, exc.message)
        await clock.sleep(PROVE_SECONDS)
    return False


async def end_all(books: Books, markets: Mapping[str, GpuMarket], *, seconds: float) -> Ended:
    """Everything that nobody owns, once; what is not proven gone after `seconds` is told."""
    ended = Ended()
    rows = await instances.rows(books.queue)
    keepers, unadopted = await orphans(books, markets, rows.instances, await sessions.live_sessions(books.queue))
    await _keep_all(keepers, ended, seconds)
    ended.left += await _of_other_markets(books, markets)
    surveys: dict[str, Survey | None] = {}
    for name, market in markets.items():
        try:
            surveys[name] = found = await survey(books, market, unadopted)
        except JobRunnerError as exc:
            surveys[name] = None
            ended.left.append(f"{market.name}: what is there is not known, so nothing was ended ({exc.message})")
            continue
        for stray in found.strays:
            if await destroy(market, stray, books.clock):
                ended.strays.append(stray)
            else:
                ended.left.append(f"{market.name} {stray.market_id}: not proven gone; ask again")
    for row in await forget_damaged(books, surveys):
        ended.left.append(f"{row.intent}: its row cannot be read; look at your market whether it has this machine")
    return ended


async def _of_other_markets(books: Books, markets: Mapping[str, GpuMarket]) -> list[str]:
    """What is to be told of rows without an owner whose market is not set up here."""
    rows = (await instances.rows(books.queue)).instances
    lost = adoptable(rows, await sessions.live_sessions(books.queue))
    return [
        f"{each.intent}: nobody owns it, and {SETTINGS.get(each.market, each.market)} is not set here to end it with"
        for each in rows
        if each.intent in lost and each.market not in markets
    ]


async def _keep_all(keepers: Sequence[Keeper], ended: Ended, seconds: float) -> None:
    tasks = {asyncio.create_task(keeper.keep()): keeper for keeper in keepers}
    if not tasks:
        return
    done, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*late, return_exceptions=True)
    for task in late:
        ended.left.append(f"{tasks[task].instance.intent}: not proven gone after {seconds:g} s; ask again")
    for task in done:
        bill = task.result()
        if bill is not None:
            ended.bills.append(bill)


async def _settled(queue: Queue) -> bool:
    """Whether the server has been up for a while: an owner writes again what it forgot, at its next step."""
    async with edge(queue.url):
        info: Any = await queue.client.info("server")
    return int(info.get("uptime_in_seconds", 0)) >= SETTLED_SECONDS
