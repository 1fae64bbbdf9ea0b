"""Keeps one rented machine from its intent to the proof that it is gone: asks its market, and saves each step first.

What to do next is `lib.market.life`'s to say; here it is done. Each step stands in the machine's row before anything
follows from it, so whoever finds the row knows what may exist. Only what ends a machine is done also while the queue
does not answer: it can do no harm. What happens on the host itself is for `Hands`; who has none, such as the reaper,
can only end it. Called by `job_watcher.backends.vast` and `lib.renting.ending`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from loguru import logger

from lib.errors import JobRunnerError, UnreachableError
from lib.failpoints import reach
from lib.market import events as ev
from lib.market import life
from lib.market.errors import BusyError, CreditError, KeyRefusedError, MarketError, OfferGoneError
from lib.market.instance import READY
from lib.market.labels import parse_label
from lib.redisqueue import instances
from lib.renting.books import Books, Rent
from lib.renting.hands import NoHands

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Any

    from lib.market.base import Address, GpuMarket, Seen
    from lib.market.events import Action, Event
    from lib.market.instance import Instance
    from lib.redisqueue.instances import Bill
    from lib.renting.hands import Hands

__all__ = ["Books", "Keeper", "Rent"]

SAVE_AGAIN_SECONDS: Final = 0.5
"""Between two tries to save a step while the queue does not answer."""

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether a deadline has come."""

LAST_TRIES: Final = 5
"""How often a machine without a row is asked to end: afterwards its label is left."""

EXCLUDE_SECONDS: Final = 5.0
"""How long it may take to say that a machine failed."""

_PLAIN_REFUSALS: Final = (OfferGoneError, CreditError, KeyRefusedError, BusyError)


@dataclass(slots=True, eq=False)
class Keeper:
    """One machine in its keeper's hands.

    `on_step` hears of each saved step, `on_refused` what the market said to a create. `bill` is there once it is gone.
    """

    instance: Instance
    market: GpuMarket
    books: Books
    hands: Hands = field(default_factory=NoHands)
    rent: Rent | None = None
    on_step: Callable[[], None] = lambda: None
    on_refused: Callable[[MarketError], None] = lambda _: None
    jobs_done: int = 0
    """Set by whoever gives it jobs; saved with its next step."""
    bill: Bill | None = None
    parted: bool = False
    """Its watcher's session has ended while it worked: it was let go with its hands, for the next session."""
    _events: asyncio.Queue[Event] = field(default_factory=asyncio.Queue)
    _works: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _told: bool = False
    _ordered: bool = False
    """Whether the market has taken our order to destroy it."""
    _known_id: str = ""
    """The market's name for it as a step says that could not be saved yet."""

    async def keep(self) -> Bill | None:
        """Go on until it is proven gone, and return its bill; None when it is somebody else's now, or parted."""
        log = logger.bind(instance_id=self.instance.intent)
        if self.rent is not None:
            self._events.put_nowait(ev.Recorded())
        try:
            while self.instance.state != "gone":
                if not await self._follow(await self._next()):
                    told, left = self._told, await self._left()
                    if left == "nothing":
                        log.error("the queue has lost the row of rented machine {}: ending it", self.instance.intent)
                        await self.end_regardless()
                    elif left == "mine" and told:
                        # Its session has ended; until somebody takes the row over nobody else would ask for its end.
                        await self.end_regardless()
                    elif left != "mine" or not self.part():
                        log.warning("the rented machine {} is somebody else's to end now", self.instance.intent)
                    return None
            if "exclude" in self._works:
                # That it failed must be known before the next one is looked for.
                await asyncio.wait([self._works["exclude"]], timeout=EXCLUDE_SECONDS)
        finally:
            if not self.parted:
                self.hands.close()
            for work in self._works.values():
                work.cancel()
            await asyncio.gather(*self._works.values(), return_exceptions=True)
        return self.bill

    def tell(self, event: Event) -> None:
        """Say what has happened to it; looked at in its turn."""
        self._told = self._told or isinstance(event, ev.ToldToEnd)
        self._events.put_nowait(event)

    def job_done(self) -> None:
        """It has ended one more; saved with its next step."""
        self.jobs_done += 1

    async def look(self) -> Event | None:
        """How the market shows it now; None where it has no answer."""
        return _shown(await self._show(self.instance.market_id)) if self.instance.market_id else None

    async def _next(self) -> Event:
        due = life.next_tick(self.instance, self.books.now())
        while True:
            try:
                # Never zero: what is due again at once must not keep the loop busy. Never long: timers of a loop stand
                # still while a machine sleeps, and bills do not.
                async with asyncio.timeout(min(max(due - self.books.now(), 0.01), LOOK_SECONDS)):
                    return await self._events.get()
            except TimeoutError:
                if self.books.now() >= due:
                    return ev.Tick()

    async def _follow(self, event: Event) -> bool:
        """Save what follows from it, then do it; False when the row is not ours any more."""
        before = replace(self.instance, jobs_done=max(self.instance.jobs_done, self.jobs_done))
        if isinstance(event, ev.Absent) and before.state == "destroying" and not self._ordered:
            # It may be the word of a place that has not heard of it yet.
            event = ev.Absent(plain=False)
        step = life.step(before, event, self.books.now(), self.books.limits)
        asked_at: float | None = None
        while (saved := await self._save(step)) == "again":
            # What may have been written is written again just as it was.
            self._known_id = step.instance.market_id
            if asked_at is None or self.books.now() - asked_at >= life.WATCH_SECONDS:
                asked_at = self.books.now()
                self._do(self._unsaved(step))
            await self.books.clock.sleep(SAVE_AGAIN_SECONDS)
        if asked_at is not None:
            self._forget_answers()
        if saved == "lost":
            return False
        self._tell_of(before, step.instance)
        if isinstance(event, ev.Created):
            reach("rent.recorded")
        self.on_step()
        self._do(step.actions)
        return True

    def _unsaved(self, step: life.Step) -> list[Action]:
        """What may be done before the step is saved: nothing that nobody could find again; to end needs no row."""
        if self._told or self.books.now() >= step.instance.expires_at:
            # It is to end, or its time is over, whatever the row says: nobody else can know that now.
            return [ev.Close(), ev.Destroy(), ev.Show()]
        return [each for each in step.actions if isinstance(each, ev.Close | ev.Destroy | ev.Show)]

    def _forget_answers(self) -> None:
        """How the market showed it while nobody could write: old by now, and asked anew."""
        kept: list[Event] = []
        while not self._events.empty():
            event = self._events.get_nowait()
            if not isinstance(event, ev.Shown | ev.Absent):
                kept.append(event)
        for event in kept:
            self._events.put_nowait(event)

    def part(self) -> bool:
        """Let it go with its hands, if it works: its keeper is to be ended then. Whether it was."""
        self.parted = self.instance.state in READY and not self._told
        return self.parted

    async def _left(self) -> Literal["nothing", "mine", "theirs"]:
        """Whose its row is; nothing: the queue has lost its data, so nobody else knows of this machine."""
        try:
            rows = await instances.rows(self.books.queue)
            # Somebody may have taken it over, and have seen it to its end.
            bills = await instances.bills(self.books.queue)
        except JobRunnerError:
            return "theirs"
        now = self.instance
        for row in rows.instances:
            if row.intent == now.intent:
                return "mine" if (row.owner, row.fence) == (self.books.session, now.fence) else "theirs"
        known = {each.intent for each in rows.damaged} | {each.intent for each in bills}
        return "theirs" if now.intent in known else "nothing"

    async def end_regardless(self) -> None:
        """Ask for its end a few times, whatever the queue says; that it is gone is proven by others later.

        They find it by its row, or by its label where that is lost.
        """
        self.hands.close()
        for _ in range(LAST_TRIES):
            try:
                market_id = self.instance.market_id or self._known_id or await self._found_by_label()
                if not market_id:
                    return
                # Looked at first: by now its name may be another's, as those of own hosts are.
                if await self._show(market_id) is None:
                    return
                await self.market.destroy(market_id)
            except JobRunnerError as exc:
                logger.bind(instance_id=self.instance.intent).warning("{}: {}", self.market.name, exc.message)
            await self.books.clock.sleep(SAVE_AGAIN_SECONDS)

    async def _save(self, step: life.Step) -> Literal["saved", "lost", "again"]:
        """Write the step into the row; `again` when the queue does not answer."""
        books = self.books
        if step.instance == self.instance and not step.charge:
            return "saved"
        try:
            if any(isinstance(each, ev.End) for each in step.actions):
                self.bill = await instances.end(books.queue, books.session, step.instance, step.charge)
                if self.bill is None:
                    return "lost"
                self.instance = step.instance
                reach("rent.gone")
                return "saved"
            row = await instances.advance(books.queue, books.session, step.instance, step.charge)
        except JobRunnerError as exc:
            if not isinstance(exc, UnreachableError):
                logger.bind(instance_id=self.instance.intent).warning("the row of a rented machine: {}", exc.message)
            return "again"
        if row is None:
            return "lost"
        self.instance = row
        return "saved"

    def _tell_of(self, before: Instance, after: Instance) -> None:
        if before.state != after.state:
            name = f"{after.gpu or 'machine'} {after.machine_id} of {after.market}"
            why = f" ({after.reason})" if after.state in {"destroying", "gone"} and after.reason else ""
            known = {"market_id": after.market_id} if after.market_id else {}
            log = logger.bind(instance_id=after.intent, **known)
            log.info("rented machine {}, {}: {}{}", after.intent, name, after.state, why)

    def _do(self, actions: Sequence[Action]) -> None:
        """Begin them; those that ask the market come one after the other, in their order."""
        asked = [each for each in actions if isinstance(each, ev.Create | ev.LookForLabel | ev.Show | ev.Destroy)]
        if asked:
            # What ends it waits for no question that hangs; a create goes on to its end: what it did must be known.
            ends = self.instance.state == "destroying" or any(isinstance(each, ev.Destroy) for each in asked)
            self._begin("destroy" if ends else "market", self._ask(asked))
        for action in actions:
            match action:
                case ev.Open():
                    self.hands.open()
                    reach("rent.draining")
                case ev.Close():
                    host = self._works.pop("host", None)
                    if host is not None:
                        host.cancel()
                    self.hands.close()
                case ev.Exclude():
                    self._begin("exclude", self._exclude(action))
                case ev.Alarm():
                    self._alarm(action)
                case _:
                    self._do_on_host(action)

    def _do_on_host(self, action: Action) -> None:
        match action:
            case ev.Connect(address):
                reach("rent.running")
                self._begin("host", self._on_host(self._connect(address), "rent.connected"))
            case ev.Probe():
                self._begin("host", self._on_host(self.hands.probe(), "rent.probed"))
            case ev.RunCanary():
                self._begin("host", self._on_host(self.hands.canary(), "rent.canary"))

    def _alarm(self, alarm: ev.Alarm) -> None:
        now = self.instance
        logger.bind(instance_id=now.intent).error(
            "rented machine {} ({} {}) was asked to end {} times and may still cost money: {}",
            now.intent,
            now.market,
            now.market_id or "?",
            alarm.asked,
            alarm.why,
        )

    def _begin(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        """One of each kind at a time: what still runs is not asked twice."""
        running = self._works.get(name)
        if running is not None and not running.done():
            if name != "host":
                work.close()
                return
            # The state it worked for is over.
            running.cancel()
        self._works[name] = asyncio.create_task(work, name=f"{name} of {self.instance.intent}")

    async def _connect(self, address: Address) -> Event:
        return await self.hands.connect(address, max(1.0, self.instance.deadline - self.books.now()))

    async def _on_host(self, work: Coroutine[Any, Any, Event], place: str) -> None:
        try:
            event = await work
        except JobRunnerError as exc:
            event = ev.Lost(exc.message)
        except Exception as exc:  # noqa: BLE001 - a bug with one host must not leave it billing until its deadline
            logger.opt(exception=True).error("a rented machine's host: {}", type(exc).__name__)
            event = ev.Lost(f"{type(exc).__name__}", blame=False)
        reach(place)
        self.tell(event)

    async def _exclude(self, machine: ev.Exclude) -> None:
        try:
            await instances.exclude(self.books.queue, machine.machine_id, machine.seconds, machine.why)
        except JobRunnerError as exc:
            logger.warning("machine {} could not be left out for a while: {}", machine.machine_id, exc.message)

    async def _ask(self, actions: Sequence[Action]) -> None:
        for action in actions:
            try:
                event = await self._asked(action)
            except JobRunnerError as exc:
                # No answer is no event: the next tick asks again.
                logger.bind(instance_id=self.instance.intent).warning("{}: {}", self.market.name, exc.message)
                continue
            except Exception as exc:  # noqa: BLE001 - an odd answer is none, and must not end the keeping
                logger.opt(exception=True).error("{}: {}", self.market.name, type(exc).__name__)
                continue
            if event is not None:
                self.tell(event)

    async def _asked(self, action: Action) -> Event | None:
        market_id = self.instance.market_id or self._known_id
        match action:
            case ev.Create():
                return await self._create()
            case ev.LookForLabel():
                return await self._look_for_label()
            case _ if not market_id:
                # That there is nothing without a name proves nothing.
                return None
            case ev.Show():
                return _shown(await self._show(market_id))
            case ev.Destroy():
                if self.rent is None and await self._show(market_id) is None:
                    return ev.Absent(plain=True)
                reach("rent.before_destroy")
                self._ordered = await self.market.destroy(market_id) or self._ordered
                reach("rent.destroy_asked")
        return None

    async def _create(self) -> Event:
        if self.rent is None or not self.books.may_pay():
            return ev.Refused("the session's margin has passed")
        reach("rent.before_create")
        try:
            market_id = await self.market.create(self.rent.offer, self.rent.order)
        except Exception as exc:  # noqa: BLE001 - whatever it was, unless it was plain the machine may be there
            said = exc.message if isinstance(exc, JobRunnerError) else f"{type(exc).__name__}: {exc}"
            if isinstance(exc, MarketError):
                self.on_refused(exc)
            if isinstance(exc, _PLAIN_REFUSALS):
                return ev.Refused(said)
            logger.bind(instance_id=self.instance.intent).warning("{}; looking for it by its label", said)
            return ev.Uncertain()
        reach("rent.created")
        return ev.Created(market_id)

    async def _look_for_label(self) -> Event:
        market_id = await self._found_by_label()
        return ev.Created(market_id) if market_id else ev.Absent(plain=False)

    async def _found_by_label(self) -> str:
        return next((seen.market_id for seen in await self.market.listed() if self._is_mine(seen)), "")

    async def _show(self, market_id: str) -> Seen | None:
        """As the market shows it; None also where another intent has a machine of this name by now."""
        seen = await self.market.show(market_id)
        if seen is None or not seen.label or self._is_mine(seen):
            return seen
        return None if parse_label(seen.label, self.books.namespace) else seen

    def _is_mine(self, seen: Seen) -> bool:
        label = parse_label(seen.label, self.books.namespace)
        return label is not None and label.intent == self.instance.intent


def _shown(seen: Seen | None) -> Event:
    return ev.Absent(plain=True) if seen is None else ev.Shown(seen.status, seen.address, seen.message, seen.dph)
