"""Leases from the lanes: fills the free slots of a backend, never takes more than it can run.

A slot is free again when its body is over: what it made is stored while the next body runs. Where bodies are short,
the next job is leased before that (`job_watcher.turns`).

Idle, it blocks on the lanes, and lends a slot to the conductor of its watcher: a leader that moves a single job leases
it in the same call. Busy, one call takes as many new entries as slots are free. After any error, and
at every interval S, it compares what the server says was delivered to this session with what is in hand, and
starts the rest: a reply that was lost costs nothing but that.
"""

from __future__ import annotations

import asyncio
import functools
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from loguru import logger

from job_watcher.log_fields import log_fields
from job_watcher.turns import SHORT_SECONDS, Turns
from lib.failpoints import reach
from lib.jobqueue.moves import OwnSlot
from lib.jobqueue.protocol import LostEntry, Started
from lib.logs import about
from lib.redisqueue import leasing, sessions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from job_watcher.in_hand import Held, InHand
    from job_watcher.outcomes import Outcomes
    from job_watcher.reporting import ProgressReports
    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.jobqueue.protocol import Ending, Lease, Retry
    from lib.redisqueue.connection import Client
    from lib.redisqueue.leasing import Entry
    from lib.redisqueue.queue import Queue


class Execute(Protocol):
    """Runs one leased job to its outcome; see `job_watcher.execution`."""

    async def run(
        self, lease: Lease, on_progress: Callable[[dict[str, Any]], None], on_room: Callable[[], None]
    ) -> Ending | Retry:
        """The outcome; cancellation cleans up and passes through.

        `on_room` is called when the slot may be given to the next job; it may be said twice.
        """

    def after_bug(self, lease: Lease, error: Exception) -> Ending | Retry:
        """What follows when running it failed by a mistake in the watcher's own code."""


NOTHING_STARTED: Final = Started((), (), 0)


@dataclass(slots=True)
class LentSlot:
    """A slot that somebody else may fill, None when there is none; and what it was filled with."""

    slot: OwnSlot | None
    started: Started = NOTHING_STARTED


@dataclass(slots=True)
class LaneReader:
    """Reads the lanes of one backend into its slots."""

    queue: Queue
    blocking: Client
    session: Session
    execution: Execute
    in_hand: InHand
    outcomes: Outcomes
    progress: ProgressReports
    clock: Clock
    lanes: tuple[str, ...]
    slots: int
    interval: float
    on_lost: Callable[[Sequence[LostEntry]], None]
    gathers: bool = False
    """Whether bodies begin later than their leases; the backend tells the session when."""
    _more: bool = True
    _doubt: bool = False
    _compared_at: float = 0.0
    _idle: bool = False
    _lent: int = 0
    _left: set[str] = field(default_factory=set)
    _turns: Turns = field(init=False)

    def __post_init__(self) -> None:
        self._turns = Turns(self.in_hand, self.slots, self.clock, lambda: self.session.fresh, self._hand_back)

    async def run_once(self) -> None:
        """Fill the free slots, or wait for a free slot or a new entry."""
        try:
            await self._round()
        except BaseException:
            # The reply may have been lost after the server had delivered something.
            self._doubt = True
            raise

    def close(self) -> None:
        """Begin nothing any more; what was leased and has not begun is handed back."""
        self._turns.close()

    async def leave(self, lanes: Sequence[str]) -> None:
        """Read these lanes no more; what waits in them goes back at the next sweep if nobody else reads them."""
        self.lanes = tuple(lane for lane in self.lanes if lane not in lanes)
        self._left |= set(lanes)
        await leasing.leave(self.queue, self.session.id, lanes)

    def enter(self, lanes: Sequence[str]) -> None:
        """Read these lanes too, from the next round on."""
        self.lanes = tuple(sorted({*self.lanes, *lanes}))
        self._left -= set(lanes)
        self._compared_at = float("-inf")
        self.in_hand.changed.set()

    def resize(self, slots: int) -> None:
        """So many slots from now on; where there are fewer, those that run keep theirs until they end."""
        self.slots = self._turns.slots = slots
        self.in_hand.changed.set()

    async def _round(self) -> None:
        # What fills a lent slot is pending before it is in hand: not missing, only on its way.
        if not self._lent and (self._doubt or self.clock.elapsed() - self._compared_at >= self.interval):
            await self._compare()
        room, ahead = self._room()
        if room <= 0 or not self.lanes or not self.session.fresh:
            await self._wait_for_change()
            return
        if self._more:
            # Half of the slots at a time: while their bodies run, the server leases the other half.
            read = min(room, (self.slots + 1) // 2)
            started = await self._start([], read, ahead=ahead)
            self._more = len(started.leases) + started.others >= read
            self._take(started)
            return
        # What is ahead now may be behind a long body soon: then nothing is to be taken for it any more.
        patience = min(self.interval, SHORT_SECONDS) if ahead else self.interval
        self._idle = True
        try:
            entries = await leasing.wait_for_entries(
                self.queue, self.blocking, self.session.id, self.lanes, block_ms=int(patience * 1000)
            )
        finally:
            self._idle = False
        if entries:
            room, ahead = self._room()
            # A lane that was left meanwhile may have given one all the same.
            wanted = [entry for entry in entries if entry[0] in self.lanes]
            kept = wanted[: max(room, 0)]
            surplus = [entry for entry in entries if entry not in kept]
            self._more = True
            if kept:
                # The same call takes what came meanwhile; where that left room, nothing more is there.
                started = await self._start(kept, room - len(kept), ahead=ahead)
                self._more = len(started.leases) + started.others >= room
                self._take(started)
            if surplus:
                await leasing.hand_back_entries(self.queue, self.session.id, surplus)

    def _room(self) -> tuple[int, bool]:
        """How many leases to take, and whether that is ahead of a free slot."""
        free = self.in_hand.free(self.slots) - self._lent
        return (free, False) if free > 0 or self._lent else (self._turns.room(), True)

    @asynccontextmanager
    async def lent_slot(self) -> AsyncIterator[LentSlot]:
        """A free slot for the length of a block, while this reader only waits for a job; else one that is none.

        Another slot stays free: what this reader waits for may come at the same moment.
        """
        lends = self._idle and self.session.fresh and self.in_hand.free(self.slots) - self._lent > 1
        self._lent += lends
        try:
            with self.in_hand.suspect_seat() if lends else nullcontext(0) as suspects:
                lent = LentSlot(OwnSlot(self.lanes, suspects, self.gathers) if lends else None)
                yield lent
        except BaseException:
            # As after any call whose reply may have been lost.
            self._doubt = self._doubt or lends
            raise
        finally:
            self._lent -= lends
        if lent.started.leases and self._turns.closed:
            await leasing.hand_back(self.queue, self.session.id, lent.started.leases)
        else:
            self._take(lent.started)
            # Its body begins before whoever filled the slot goes on.
            await asyncio.sleep(0)

    async def _hand_back(self, lease: Lease) -> None:
        await leasing.hand_back(self.queue, self.session.id, [lease])

    async def _start(self, entries: Sequence[Entry], read: int, *, again: bool = False, ahead: bool = False) -> Started:
        reach("start.before")
        with nullcontext(0) if ahead else self.in_hand.suspect_seat() as suspects:
            started = await leasing.start(
                self.queue,
                self.session.id,
                self.lanes,
                entries=entries,
                read=read,
                suspects=suspects,
                again=again,
                ahead=self.gathers,
            )
        if ahead and started.others:
            self._turns.put_off()
        reach("start.after")
        return started

    async def _compare(self) -> None:
        """Start what was delivered to this session and is not in hand; see to it that the lanes are still known.

        What a lane gave that this reader has left goes back.
        """
        await sessions.ensure_lanes(self.queue, self.lanes)
        # What is answered while the server lists is not missing: in hand before the call or after it, it is known.
        known = self.in_hand.entries()
        delivered = await leasing.pending_entries(self.queue, self.session.id, (*self.lanes, *sorted(self._left)))
        known |= self.in_hand.entries()
        missing = [entry for entry in delivered if entry not in known]
        free = self.in_hand.free(self.slots) if self.session.fresh else 0
        begun = [entry for entry in missing if entry[0] in self.lanes][: max(free, 0)]
        if begun:
            logger.debug("{} entries were delivered and never seen, starting them", len(begun))
            self._take(await self._start(begun, 0, again=True))
        surplus = [entry for entry in missing if entry not in begun]
        if surplus:
            await leasing.hand_back_entries(self.queue, self.session.id, surplus)
        self._doubt = False
        self._compared_at = self.clock.elapsed()

    def _take(self, started: Started) -> None:
        if started.lost:
            self.on_lost([LostEntry(lane, entry) for lane, entry in started.lost])
        for lease in started.leases:
            held = self.in_hand.add(lease)
            held.gathered = self.gathers
            self._turns.admit(held)
            held.body = asyncio.create_task(self._body(held), name=f"job {lease.request_id}")
            held.body.add_done_callback(functools.partial(self._body_gone, held))

    def _body_gone(self, held: Held, body: asyncio.Task[None]) -> None:
        """Free the slot of a body that was cancelled before its first step: none of its own clean-up has run."""
        if held.unanswered and body.cancelled():
            self.in_hand.release(held.lease.fence)
            self._turns.over(held)

    async def _body(self, held: Held) -> None:
        # Around everything, so that what the backend and its children say is known by its job too.
        with about(**log_fields(held.lease)):
            outcome = await self._outcome(held)
        if outcome is not None:
            self.outcomes.put(outcome)

    async def _outcome(self, held: Held) -> Ending | Retry | None:
        """What came of it; None when it was handed back before it began."""
        lease = held.lease
        try:
            if not await self._turns.wait(held):
                self.in_hand.release(lease.fence)
                self.outcomes.stopped(lease.request_id)
                return None
            logger.info("started")
            return await self.execution.run(
                lease,
                lambda report: self.progress.tell(lease, report),
                functools.partial(self._leave_slot, held),
            )
        except asyncio.CancelledError:
            logger.info("stopped")
            self.in_hand.release(lease.fence)
            self.outcomes.stopped(lease.request_id)
            raise
        except Exception as exc:  # noqa: BLE001 - the watcher outlives a bug in running one job
            logger.opt(exception=True).error("running it failed in the watcher itself")
            return self.execution.after_bug(lease, exc)
        finally:
            self.progress.forget(lease)
            self.in_hand.put(held, "answered")
            self._turns.over(held)

    def _leave_slot(self, held: Held) -> None:
        self.in_hand.put(held, "aside")
        self._turns.over(held)

    async def _wait_for_change(self) -> None:
        self.in_hand.changed.clear()
        try:
            async with asyncio.timeout(self.interval):
                await self.in_hand.changed.wait()
        except TimeoutError:
            return
