"""The rented machines of one watcher: looks at what waits, decides, rents, and keeps each machine until it is gone.

A duty of the watcher's life. Whether to rent is `lib.market.deciding`'s to say, which offer `lib.renting.shopping`'s;
the queue lets one watcher rent at a time and keeps the money. Nothing is rented while the session is not fresh, or once
the watcher stops: then what is rented is ended, and what is not proven gone by then is found by its row.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from loguru import logger

from job_watcher.backends.vast.hands import HostHands
from job_watcher.backends.vast.parked import Parked
from job_watcher.backends.vast.restraint import Restraint
from job_watcher.backends.vast.shares import MachinePrice
from job_watcher.backends.vast.unmade import Unmade
from job_watcher.cancelling import cancel_all
from job_watcher.hosts.deadman import onstart
from job_watcher.hosts.keys import HostKeys, OwnKeys
from lib.errors import JobRunnerError
from lib.failpoints import reach
from lib.market import events as ev
from lib.market.deciding import Limits, decide
from lib.market.errors import CreditError, KeyRefusedError, MarketError, OfferGoneError
from lib.market.life import LifeLimits
from lib.money import MICRO
from lib.redisqueue import instances, sessions
from lib.redisqueue.namespace import namespace
from lib.renting.ending import orphans
from lib.renting.keeping import Books, Keeper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from job_watcher.backends.vast.demand import Lookout
    from job_watcher.backends.vast.hands import Means
    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.market.base import GpuMarket, MarketOffer
    from lib.market.deciding import Decision
    from lib.redisqueue.instances import Rows
    from lib.redisqueue.queue import Queue
    from lib.renting.shopping import Shopping
    from lib.settings import Settings

FLUSH_SECONDS: Final = 9.0
"""So long a watcher that stops waits for the proof that its machines are gone: less than a step of its stop takes."""

LOOK_SECONDS: Final = 1.0
"""How often it is looked at the rows, and whether a machine has ended all that it had."""


@dataclass(slots=True, eq=False)
class _Kept:
    """A machine in our hands; `hands` None of one that was taken over only to be ended."""

    keeper: Keeper
    hands: HostHands | None
    task: asyncio.Task[object]


@dataclass(slots=True)
class Fleet:
    """All of them. `begin` is called at the start of each life of the watcher."""

    settings: Settings
    queue: Queue
    clock: Clock
    markets: Mapping[str, GpuMarket]
    means: Means
    lookout: Lookout
    shopping: Shopping
    closed: bool = False
    _session: Session | None = None
    _on_change: Callable[[], None] = lambda: None
    _books: Books | None = None
    _ahead: float = 0.0
    _kept: dict[str, _Kept] = field(default_factory=dict)
    _dropped: set[asyncio.Task[object]] = field(default_factory=set)
    _looked_at: float = float("-inf")
    _namespace: str = ""
    _jobs_each: int = 1
    _renting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    restraint: Restraint = field(init=False)
    parked: Parked = field(init=False)
    _unmade: Unmade = field(init=False)

    def __post_init__(self) -> None:
        self.restraint, self._unmade, self.parked = Restraint(self.clock), Unmade(self.clock), Parked(self._changed)

    @property
    def blocked(self) -> str:
        """Why nothing can be rented however much waits, for the time being; empty: something may."""
        return self.restraint.blocked

    def look_by(self, look: Callable[[float], Awaitable[int | None]]) -> None:
        """What waits is compared by this with what is made already, before it counts."""
        self._unmade = Unmade(self.clock, look)

    def begin(self, session: Session, on_change: Callable[[], None]) -> None:
        """A life begins.

        What was rented under the last one belongs to a session that has ended. What works is gone on with when the next
        one stands, unless somebody else has taken it over by then; the rest is given up, and found by its row.
        """
        for kept in self._kept.values():
            if kept.hands is not None and kept.keeper.part():
                self.parked.add(kept.keeper, kept.hands)
            kept.task.cancel()
            self._dropped.add(kept.task)
            kept.task.add_done_callback(self._dropped.discard)
        self._kept = {}
        self._session, self._on_change, self._books = session, on_change, None
        self.closed = False
        self._looked_at = float("-inf")

    @property
    def hopes(self) -> bool:
        """Whether a job that waits for a rented machine may yet be done here."""
        coming = any(kept.hands is not None for kept in self._kept.values())
        return not self.closed and bool(self.markets) and (coming or not self.blocked)

    @property
    def ready(self) -> int:
        """How many machines take jobs now."""
        return len(self._ready())

    @property
    def silence(self) -> float:
        """The longest time, in seconds, for which one of them was not told that this watcher lives."""
        return max([0.0, *(kept.hands.silence for kept in self._kept.values() if kept.hands is not None)])

    def lacks(self) -> str | None:
        """Why no job can be done just now."""
        ready = self._ready()
        if not ready:
            on_the_way = [kept.keeper.instance for kept in self._kept.values()]
            if on_the_way:
                return "no rented machine is ready: " + ", ".join(f"{each.state}" for each in on_the_way)
            return f"no machine is rented: {self.restraint.why}"
        return None

    def choose(self) -> HostHands | None:
        """The machine for the next job: the one that has least to do."""
        return min(self._ready(), key=lambda each: each.in_hand, default=None)

    async def run_once(self) -> None:
        """Look at the machines, and at intervals at the queue."""
        self._told_of_work()
        rows = await self._look_round()
        if rows is None:
            # Nothing is begun that could answer them, and who waits for news that are there never lets others run.
            self._news.clear()
        due = self.clock.elapsed() - self._looked_at >= self.settings.watcher_poll_interval
        if rows is not None and (due or self._news.is_set()):
            self._news.clear()
            self._looked_at = self.clock.elapsed()
            await self._round(rows)
        try:
            async with asyncio.timeout(min(LOOK_SECONDS, self.settings.watcher_poll_interval / 2)):
                await self._news.wait()
        except TimeoutError:
            return

    async def flush(self) -> None:
        """End all machines; what is not proven gone in time stays a row that others end."""
        self.closed = True
        # First of all: to end them needs no queue, and what follows may wait for one.
        self._tell_all_to_end()
        # What was written as an intent meanwhile has its keeper by then.
        async with self._renting:
            pass
        if self._session is not None and self.parked.any:
            books = self._books or await self._books_of(self._session)
            await self.parked.resume(books, self._session, self._keep, end=True)
        self._tell_all_to_end()
        tasks = [kept.task for kept in self._kept.values()]
        if tasks:
            logger.info("ending rented machines: {}", len(tasks))
            _, late = await asyncio.wait(tasks, timeout=FLUSH_SECONDS)
            for kept in self._kept.values():
                if kept.task in late:
                    logger.warning(
                        "rented machine {} is not proven gone; another watcher, or `job-watcher reap --once`, ends it",
                        kept.keeper.instance.intent,
                    )
            await cancel_all(late)

    async def aclose(self) -> None:
        """Give up what is left; a row says what exists."""
        self.closed = True
        await self.parked.leave(FLUSH_SECONDS)
        await cancel_all([*(kept.task for kept in self._kept.values()), *self._dropped])
        await self.means.left(FLUSH_SECONDS)
        for market in self.markets.values():
            await market.aclose()

    @property
    def books(self) -> Books | None:
        """What this life writes in; None until it has looked once."""
        return self._books

    def now(self) -> float:
        """Unix seconds by the server's clock."""
        return self._ahead + self.clock.elapsed()

    def _ready(self) -> list[HostHands]:
        return [kept.hands for kept in self._kept.values() if kept.hands is not None and kept.hands.takes_jobs]

    def _tell_all_to_end(self) -> None:
        for kept in self._kept.values():
            kept.keeper.tell(ev.ToldToEnd("its watcher ends"))

    def _told_of_work(self) -> None:
        for kept in self._kept.values():
            if kept.hands is None:
                continue
            if kept.hands.in_hand == 0 and kept.keeper.instance.state == "draining":
                kept.keeper.tell(ev.NoWork())

    async def _look_round(self) -> Rows | None:
        """The rows, of which those that nobody keeps are taken over: a dead watcher's machines cost until then."""
        session = self._session
        if session is None or not self.markets or self.closed:
            return None
        if self._books is None:
            self._books = await self._books_of(session)
        await self.parked.resume(self._books, session, self._keep)
        # Before the rows: one that ends meanwhile is none that nobody keeps.
        known = set(self._kept)
        rows = await instances.rows(self.queue)
        self._ahead = rows.now - self.clock.elapsed()
        await self._take_over(self._books, rows, known)
        self._tell_those_told(rows)
        return rows

    async def _books_of(self, session: Session) -> Books:
        # A queue that lost its data is told by whoever knows: under another name nothing would be found again.
        self._namespace = await namespace(self.queue, self._namespace)
        limits = LifeLimits(
            max_runtime=self.settings.watcher_max_runtime,
            idle=self.settings.watcher_idle_grace,
            max_dph=self.shopping.max_dph,
        )
        return Books(self.queue, session.id, self._namespace, self.clock, self.now, limits, lambda: session.fresh)

    async def _round(self, rows: Rows) -> None:
        books, session = self._books, self._session
        assert books is not None  # noqa: S101 - made when the rows were read
        assert session is not None  # noqa: S101 - as above
        # Before it is said that nothing can be rented; and again, since more may have come before it was counted.
        await self._unmade.all_waiting(session)
        decision = await self._decide(rows)
        if decision.rent and not await self._unmade.all_waiting(session):
            decision = replace(decision, rent=0)
            self._news.set()
        for intent in decision.release:
            if intent in self._kept:
                self._kept[intent].keeper.tell(ev.ToldToEnd("no work for it"))
        for _ in range(decision.rent):
            rented = await self._rent(books, rows)
            if rented == "ssh":
                # It costs nothing: of those that do, it is decided anew.
                self._news.set()
            if rented != "vast":
                return
            rows = await instances.rows(self.queue)

    async def _take_over(self, books: Books, rows: Rows, known: Collection[str]) -> None:
        """The rows of dead watchers, and those of ours that nobody here keeps."""
        found, _ = await orphans(books, self.markets, rows.instances, await sessions.live_sessions(self.queue))
        for row in rows.instances:
            kept = row.intent in known or row.intent in self._kept
            if row.owner == books.session and not kept and row.market in self.markets:
                keeper = Keeper(row, self.markets[row.market], books)
                keeper.tell(ev.ToldToEnd("nobody drives it"))
                found.append(keeper)
        for keeper in found:
            self._keep(keeper, None)

    def _tell_those_told(self, rows: Rows) -> None:
        for intent in rows.told_to_end & self._kept.keys():
            if self._kept[intent].keeper.instance.state != "destroying":
                self._kept[intent].keeper.tell(ev.ToldToEnd("asked for"))

    async def _decide(self, rows: Rows) -> Decision:
        demand = await self.lookout.look()
        limits = Limits(
            max_instances=self.shopping.most(rows.instances),
            batch_min=self.settings.watcher_batch_min,
            batch_max_wait=self.settings.watcher_batch_max_wait,
            idle_grace=self.settings.watcher_idle_grace,
            max_runtime=self.settings.watcher_max_runtime,
            budget_left=await self.shopping.budget_left(rows.instances),
            hurry=self.settings.conductor_policy == "local-first",
        )
        decision = decide(demand, rows.instances, limits, await self.shopping.figures(rows.instances))
        jobs = sum(each.jobs for each in demand.waiting) + demand.held
        self._jobs_each = max(1, self.settings.watcher_batch_min, -(-jobs // max(1, decision.rent + self.ready)))
        self.restraint.decided(decision)
        session = self._session
        may = session is not None and session.fresh and bool(session.offer.slots) and not self.closed
        return decision if may and not self.restraint.pausing else replace(decision, rent=0)

    async def _rent(self, books: Books, rows: Rows) -> str:
        """Begin the life of the best offer; the name of its market, '' where there is nothing more to try now."""
        try:
            choice = await self.shopping.choose(self._jobs_each, rows.instances)
        except JobRunnerError as exc:
            # The market's trouble is this backend's alone.
            self.restraint.search_failed(exc)
            choice = None
        else:
            if choice is None:
                self.restraint.no_offer(markets="vast" in self.markets)
        if choice is None:
            self._changed()
            return ""
        # Whoever stops meanwhile waits for the end of this, and finds what it has rented.
        async with self._renting:
            return "" if self.closed else await self._begin(books, rows, *choice)

    async def _begin(self, books: Books, rows: Rows, market: GpuMarket, offer: MarketOffer) -> str:
        """Write an intent for the offer, and what keeps the machine from then on."""
        budget = self.settings.budget_per_day_usd
        intent = f"i{secrets.token_hex(8)}"
        instance = self.shopping.intent(intent, market, offer, books)
        answer = await instances.intend(
            self.queue,
            books.session,
            instance,
            living=rows.living,
            most=self.shopping.most(rows.instances),
            reserve=self.shopping.reserve(instance, books),
            cap=None if budget is None else round(budget * MICRO),
        )
        if isinstance(answer, instances.RentRefused):
            self.restraint.queue_refused(answer)
            self._changed()
            return ""
        reach("rent.intended")
        rented = market.name != "ssh"
        keys = HostKeys.make(f"job-runner {intent}") if rented else OwnKeys(self.settings.vast_ssh_key)
        rent = self.shopping.rent(
            answer.instance,
            offer,
            books,
            public_key=keys.public if isinstance(keys, HostKeys) else "",
            onstart=onstart(self.settings.vast_dead_man, self.settings.vast_url) if rented else "",
        )
        assert self._session is not None  # noqa: S101 - a round has one
        hands = HostHands(intent, keys, self.means, self._session, rented, self._changed)
        keeper = Keeper(answer.instance, market, books, hands, rent, self._changed, self._refused_by(market, offer.id))
        hands.tell, hands.look, hands.on_done = keeper.tell, keeper.look, keeper.job_done
        hands.price = lambda: MachinePrice.of(offer, keeper.instance.dph)
        self.restraint.rented()
        self._keep(keeper, hands)
        return market.name

    def _refused_by(self, market: GpuMarket, offer: str) -> Callable[[MarketError], None]:
        def told(error: MarketError) -> None:
            if isinstance(error, OfferGoneError):
                self.shopping.gone(market.name, offer)
            if isinstance(error, CreditError | KeyRefusedError):
                self.restraint.market_refused(error)
            self._news.set()

        return told

    def _keep(self, keeper: Keeper, hands: HostHands | None) -> None:
        intent = keeper.instance.intent
        task: asyncio.Task[object] = asyncio.create_task(keeper.keep(), name=f"rented {intent}")
        self._kept[intent] = _Kept(keeper, hands, task)
        task.add_done_callback(lambda ended: self._ended(intent, ended))

    def _ended(self, intent: str, task: asyncio.Task[object]) -> None:
        kept = self._kept.get(intent)
        if kept is not None and kept.task is task:
            del self._kept[intent]
            self._news.set()
            if kept.hands is not None and kept.keeper.parted:
                self.parked.add(kept.keeper, kept.hands)
            elif kept.hands is not None:
                self.restraint.ended(kept.keeper.instance, kept.keeper.jobs_done)
        if not task.cancelled() and task.exception() is not None:
            logger.opt(exception=task.exception()).error("keeping rented machine {} failed", intent)
        self._changed()

    def _changed(self) -> None:
        self._on_change()
