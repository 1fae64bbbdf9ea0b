"""Rented machines for people: which there are, what they cost, which would be rented now; and ending them.

A machine whose watcher lives is ended by that watcher, which is asked; one whose watcher is gone is ended here, if the
market's key is here. Called by `instances` and `offers`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from lib import wiring
from lib.clock import SystemClock
from lib.errors import NotFoundError, RefusedError
from lib.market.life import worst_cost
from lib.money import MICRO
from lib.redisqueue import instances, sessions
from lib.redisqueue.rent_views import bill_documents, documents
from lib.renting.ending import orphans
from lib.renting.shopping import Shopping
from lib.renting.visiting import PROOF_SECONDS, ended_document, outlive, silent, visiting
from lib.renting.visiting import reap as reap_all

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.market.base import GpuMarket, MarketOffer
    from lib.market.instance import Instance
    from lib.market.offers import Ranked
    from lib.redisqueue.instances import Rows
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

OFFERS_MAX: Final = 20

NAME_LEAST: Final = 4
"""Letters that the beginning of a name has at least."""


async def listed(queue: Queue, *, bills: int) -> dict[str, Any]:
    """The document of `instances list`: what is rented, and the newest bills."""
    rows = await instances.rows(queue)
    live = await sessions.live_sessions(queue)
    found = await instances.bills(queue, bills) if bills else []
    return {"instances": documents(rows, live), "bills": bill_documents(found)}


async def named(queue: Queue, names: Sequence[str]) -> list[Instance]:
    """The machines of these names, each once: intents or their beginnings, or ids at the market.

    Raises:
        NotFoundError: no row has one of them, or more than one has.

    """
    rows = await instances.rows(queue)
    found = {row.intent: row for row in (_named(rows, name) for name in names)}
    return list(found.values())


def _named(rows: Rows, name: str) -> Instance:
    # An empty name, as of a variable that is not set, would be that of one which the market has not named yet.
    exact = [each for each in rows.instances if name and name in {each.intent, each.market_id}]
    begin = [each for each in rows.instances if len(name) >= NAME_LEAST and each.intent.startswith(name)]
    found = exact or begin
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFoundError(f"{name!r} is the beginning of {len(found)} names", hint="write more of it")
    if any(name == each.intent for each in rows.damaged):
        raise NotFoundError(
            f"the row of {name!r} cannot be read",
            hint="`job-runner doctor --fsck --repair` takes it away; then `job-runner instances reap` ends its machine",
        )
    raise NotFoundError(
        f"no rented machine is called {name!r}",
        hint="`job-runner instances` shows them; `job-runner instances reap` finds what has no row",
    )


async def destroy(queue: Queue, settings: Settings, name: str) -> dict[str, Any]:
    """End the machine of this name; what became of it.

    `outcome` is `asked` where its watcher lives and will end it, `ended` where it was ended here and proven gone,
    `left` where that is not proven yet.

    Raises:
        NotFoundError: no row has this name.
        RefusedError: its watcher is gone, and its market is not set up here.

    """
    (row,) = await named(queue, [name])
    clock = SystemClock()
    if row.owner in await silent(queue, settings):
        # Whom nobody heard of may be dead, and would be asked in vain.
        await outlive(queue, settings, clock)
    if row.owner in await sessions.live_sessions(queue):
        await instances.ask_end(queue, row.intent)
        return _outcome(row, "asked")
    markets = wiring.markets(settings, clock)
    if row.market not in markets:
        key = "SSH_HOSTS" if row.market == "ssh" else "VAST_API_KEY"
        raise RefusedError(f"the watcher of {row.intent} is gone, and {key} is not set here", hint=f"set {key}")
    async with visiting(queue, settings, clock) as books:
        keepers, _ = await orphans(books, markets, [row], await sessions.live_sessions(queue))
        for keeper in keepers:
            try:
                async with asyncio.timeout(PROOF_SECONDS):
                    bill = await keeper.keep()
            except TimeoutError:
                break
            if bill is not None:
                return {**_outcome(row, "ended"), "bill": bill_documents([bill])[0]}
    return _outcome(row, "left")


async def destroy_all(queue: Queue, settings: Settings, machines: Sequence[Instance]) -> list[dict[str, Any]]:
    """The same for each, one after the other; one that has ended meanwhile is `gone`, and a trouble of one is told.

    `left` has `why` where its end could not be asked for.
    """
    rows: list[dict[str, Any]] = []
    for each in machines:
        try:
            rows.append(await destroy(queue, settings, each.intent))
        except NotFoundError:
            rows.append(_outcome(each, "gone"))
        except RefusedError as exc:
            if len(machines) == 1:
                raise
            rows.append({**_outcome(each, "left"), "why": exc.message})
    return rows


def _outcome(row: Instance, outcome: str) -> dict[str, Any]:
    return {"intent": row.intent, "market": row.market, "market_id": row.market_id or None, "outcome": outcome}


async def reap(queue: Queue, settings: Settings) -> dict[str, Any]:
    """End what nobody owns, at the markets that are set up here.

    Raises:
        RefusedError: none is.

    """
    clock = SystemClock()
    return ended_document(await reap_all(queue, settings, wiring.markets(settings, clock), clock))


async def offers(queue: Queue, settings: Settings, *, jobs: int) -> dict[str, Any]:
    """What would be rented now for so many average jobs, and why; the best first. `notes` say what is in the way.

    Raises:
        RefusedError: no market is set up here.
        MarketError, UnreachableError: the market has no answer.

    """
    clock = SystemClock()
    markets = wiring.markets(settings, clock)
    if not markets:
        raise RefusedError("no market is set up here", hint="set VAST_API_KEY or SSH_HOSTS")
    shopping = Shopping(settings, queue, clock, markets)
    rows = (await instances.rows(queue)).instances
    found: list[dict[str, Any]] = []
    choice = await shopping.choose(jobs, rows)
    for market in sorted(markets.values(), key=lambda each: each.name != "ssh"):
        for ranked in (await shopping.ranked(market, jobs, rows))[:OFFERS_MAX]:
            chosen = choice is not None and (market.name, ranked.offer.id) == (choice[0].name, choice[1].id)
            found.append(_offer(market.name, ranked, chosen=chosen))
    notes = await _notes(settings, shopping, rows, choice, found)
    return {"jobs": jobs, "offers": found, "notes": notes}


async def _notes(
    settings: Settings,
    shopping: Shopping,
    rows: Sequence[Instance],
    choice: tuple[GpuMarket, MarketOffer] | None,
    found: Sequence[Mapping[str, Any]],
) -> list[str]:
    """Why nothing is chosen, or why what is chosen would not be rented all the same."""
    if settings.vast_api_key and not any(each["market"] == "vast" for each in found):
        query = f", VAST_QUERY={settings.vast_query}" if settings.vast_query else ""
        asked = f"VAST_MAX_DPH={settings.vast_max_dph:g}, VAST_DISK={settings.vast_disk}{query}"
        return [f"nothing on the market fits {asked}"]
    rented = sum(row.market == "vast" for row in rows)
    if choice is None and rented >= settings.vast_max_instances:
        return [f"{rented} rented already, and VAST_MAX_INSTANCES allows no more"]
    if choice is None or choice[0].name != "vast":
        return []
    left = await shopping.budget_left(rows)
    worst = worst_cost(shopping.max_dph, settings.watcher_max_runtime)
    if left is None:
        return ["BUDGET_PER_DAY_USD is not set, and nothing that costs is rented without it"]
    if left < worst:
        may_cost = f"a machine may cost ${worst / MICRO:.2f}: VAST_MAX_DPH for WATCHER_MAX_RUNTIME"
        return [f"${left / MICRO:.2f} of BUDGET_PER_DAY_USD is left, and {may_cost}"]
    return []


def _offer(market: str, ranked: Ranked, *, chosen: bool) -> dict[str, Any]:
    offer = ranked.offer
    return {
        "market": market,
        "offer": offer.id,
        "machine_id": offer.machine_id,
        "gpu": offer.gpu or None,
        "gpus": offer.gpus,
        "gpu_memory_gb": offer.gpu_memory_gb,
        "place": offer.place or None,
        "reliability": offer.reliability,
        "usd_per_hour": ranked.hourly / MICRO,
        "usd": ranked.cost / MICRO,
        "start_seconds": round(ranked.start_seconds, 1),
        "work_seconds": round(ranked.work_seconds, 1),
        "measured": ranked.measured,
        "chosen": chosen,
        "why": ranked.why,
        "refused": ranked.refused or None,
    }
