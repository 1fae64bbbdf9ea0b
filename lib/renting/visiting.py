"""For one who comes only to end what nobody owns: cron, or a person at a prompt.

It has a session of its own, which runs no job: rows are taken over and written by sessions alone. Called by
`job-watcher reap` and `job-runner instances`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from lib.errors import JobRunnerError, RefusedError
from lib.market.life import LifeLimits
from lib.redisqueue import instances, sessions, upkeep
from lib.redisqueue.namespace import namespace
from lib.redisqueue.rent_views import bill_documents
from lib.renting.ending import end_all
from lib.renting.keeping import Books

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from lib.clock import Clock
    from lib.market.base import GpuMarket
    from lib.redisqueue.queue import Queue
    from lib.renting.ending import Ended
    from lib.settings import Settings

SESSION_SECONDS: Final = 60.0

PROOF_SECONDS: Final = 60.0
"""How long the end of a machine is waited for."""

HEARD: Final = 3
"""Renewals that an owner may miss before it is doubted."""

_BEAT: Final = b'"capabilities":[],"slots":{},"running":0,"version":"0"}'
"""It offers nothing."""


async def reap(queue: Queue, settings: Settings, markets: Mapping[str, GpuMarket], clock: Clock) -> Ended:
    """End, once, all that nobody owns.

    Raises:
        RefusedError: no market is set up here, so nothing can be known.

    """
    if not markets:
        raise RefusedError(
            "neither VAST_API_KEY nor SSH_HOSTS is set: nothing is known of rented machines here",
            hint="set VAST_API_KEY as the watchers have it",
        )
    async with visiting(queue, settings, clock) as books:
        await outlive(queue, settings, clock)
        return await end_all(books, markets, seconds=PROOF_SECONDS)


async def outlive(queue: Queue, settings: Settings, clock: Clock) -> None:
    """Wait until every owner of a rented machine is heard of or has ended; some 35 s at most.

    A session ends by a sweep alone, and ages only between sweeps. Where all watchers are dead nobody sweeps, and their
    machines would have owners for ever: so it is done here. What else a sweep finds waits for the next watcher's.
    """
    life, every = settings.watcher_session_ttl, settings.watcher_poll_interval
    until = clock.elapsed() + life + HEARD * every
    while await silent(queue, settings) and clock.elapsed() < until:
        await upkeep.sweep(queue, interval_ms=round(every * 1000), life_ms=round(life * 1000))
        await clock.sleep(min(1.0, every))


async def silent(queue: Queue, settings: Settings) -> frozenset[str]:
    """The sessions that own machines, stand, and have not been heard of lately."""
    rows = await instances.rows(queue)
    owners = {row.owner for row in rows.instances} & await sessions.live_sessions(queue)
    if not owners:
        return frozenset()
    since = (rows.now - HEARD * settings.watcher_session_renew_every) * 1000
    heard = {each.session for each in await sessions.roster(queue) if each.last_seen_ms > since}
    return frozenset(owners - heard)


@asynccontextmanager
async def visiting(queue: Queue, settings: Settings, clock: Clock) -> AsyncIterator[Books]:
    """Books to end machines with, for the length of a block."""
    name = f"reaper-{socket.gethostname()[:30]}-{os.getpid()}"
    session = f"{name}:{int(clock.now().timestamp() * 1000)}"
    life_ms = round(SESSION_SECONDS * 1000)

    async def beat() -> None:
        while True:
            await clock.sleep(SESSION_SECONDS / 6)
            try:
                await sessions.renew(queue, session, name=name, life_ms=life_ms, heartbeat=_BEAT, held=())
            except JobRunnerError:
                continue

    limits = LifeLimits(max_runtime=settings.watcher_max_runtime, idle=settings.watcher_idle_grace)
    await sessions.open_session(queue, session, name=name, previous="", life_ms=life_ms, heartbeat=_BEAT)
    beating = asyncio.create_task(beat())
    try:
        ahead = await sessions.server_time_ms(queue) / 1000 - clock.elapsed()
        known_as = await namespace(queue)
        yield Books(queue, session, known_as, clock, lambda: ahead + clock.elapsed(), limits)
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
        await sessions.close_session(queue, session, name=name)


def ended_document(ended: Ended) -> dict[str, Any]:
    """As JSON has it; `left` says of what may still cost money why."""
    return {
        "ended": bill_documents(ended.bills),
        "strays": [{"market_id": each.market_id, "intent": each.intent, "why": each.why} for each in ended.strays],
        "left": ended.left,
    }


def ended_lines(ended: Ended) -> list[str]:
    """The same for people."""
    lines = [f"ended {bill.intent} of {bill.market}: ${bill.micro / 1e6:.4f}" for bill in ended.bills]
    lines += [f"ended {each.market_id}, which nobody owned ({each.why})" for each in ended.strays]
    lines += [f"left {each}" for each in ended.left]
    return lines or ["nothing is rented that nobody owns"]
