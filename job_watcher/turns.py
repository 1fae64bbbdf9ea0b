"""Short bodies follow each other without a gap: the next job is leased while the last one still runs, and waits here.

A lease is a trip to the server, a few milliseconds, as much as a sentence or two of speech. So where the last bodies
were short, one job a slot is leased ahead. It begins the moment a slot is free: until then no deadline runs, its
body is in no process, and a cancel only takes it from here. It waits a second at most: behind a body that proves long
it is handed back, at no cost, for another watcher may be free. A suspect is never leased ahead, since a death of this
process would count against it. The lane reader is its only caller.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from loguru import logger

from job_watcher.log_fields import log_fields
from lib.errors import JobRunnerError
from lib.jobqueue.protocol import SUSPECT_PAUSE_MS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from job_watcher.in_hand import Held, InHand
    from lib.clock import Clock
    from lib.jobqueue.protocol import Lease

SHORT_SECONDS: Final = 0.5
"""A body that takes longer loses hardly a hundredth to a trip of a few milliseconds."""

TOO_SHORT_SECONDS: Final = 0.01
"""Bodies shorter than this keep the loop busy anyway; to lease them one by one ahead would cost more than it gains."""

LONGEST_WAIT_SECONDS: Final = 1.0
"""How long a job that was leased ahead may wait for its slot."""

AGAIN_SECONDS: Final = 0.5
"""Between two tries to hand one back while the server does not answer."""

_RECENT: Final = 4
_PUT_OFF_SECONDS: Final = 2 * SUSPECT_PAUSE_MS / 1000


@dataclass(slots=True)
class Turns:
    """Who may begin now, and whether another may be leased ahead; `hand_back` gives a lease back to the queue."""

    in_hand: InHand
    slots: int
    clock: Clock
    may_begin: Callable[[], bool]
    hand_back: Callable[[Lease], Awaitable[None]]
    _turns: dict[str, asyncio.Event] = field(default_factory=dict)
    _took: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _not_before: float = float("-inf")
    closed: bool = field(default=False, init=False)

    def room(self) -> int:
        """How many leases may be taken ahead now; 0 while bodies are long, or too short to gain by it."""
        now = self.clock.elapsed()
        if self.closed or now < self._not_before or len(self._took) < _RECENT:
            return 0
        if min(self._took) < TOO_SHORT_SECONDS or max(self._took) > SHORT_SECONDS:
            return 0
        if any(now - began > SHORT_SECONDS for began in self.in_hand.begins()):
            return 0
        return self.in_hand.free(self.slots, ahead=self.slots)

    def put_off(self) -> None:
        """A suspect was met ahead and delayed: it shall find a slot and nobody ahead of it when it is back."""
        self._not_before = self.clock.elapsed() + _PUT_OFF_SECONDS

    def admit(self, held: Held) -> None:
        """Give a lease that was just taken its slot, or its place among those that wait."""
        if self.in_hand.in_slots > self.slots:
            self.in_hand.put(held, "line")
            self._turns[held.lease.fence] = asyncio.Event()

    async def wait(self, held: Held) -> bool:
        """Return when the body may begin; False when the job was handed back instead."""
        turn = self._turns.get(held.lease.fence)
        try:
            if turn is not None and await self._handed_back(held, turn):
                return False
        finally:
            self._turns.pop(held.lease.fence, None)
            if held.place == "line":
                self.in_hand.put(held, "aside")
        held.began = self.clock.elapsed()
        return True

    def over(self, held: Held) -> None:
        """A body has left its slot, or will never have one: the first that waits has it. Repeatable."""
        self._turns.pop(held.lease.fence, None)
        if held.began is not None:
            self._took.append(self.clock.elapsed() - held.began)
            held.began = None
        self.give()

    def give(self) -> None:
        """Give the free slots to those that wait, in their order."""
        if not self._turns or self.closed or not self.may_begin():
            return
        for held in self.in_hand.waiting():
            if self.in_hand.in_slots >= self.slots:
                return
            self.in_hand.put(held, "slot")
            self._turns[held.lease.fence].set()

    def close(self) -> None:
        """Nothing new begins: whoever waits is handed back at once."""
        self.closed = True
        for turn in self._turns.values():
            turn.set()

    async def _handed_back(self, held: Held, turn: asyncio.Event) -> bool:
        try:
            async with asyncio.timeout(LONGEST_WAIT_SECONDS):
                await turn.wait()
        except TimeoutError:
            pass
        if held.place == "slot":
            return False
        # Out of the line for good: once a hand-back was sent, the job may be somebody else's, answer or none. To hand
        # back what is gone already does nothing, so it is asked until there is an answer.
        self.in_hand.put(held, "aside")
        while not await self._is_back(held.lease):
            await self.clock.sleep(AGAIN_SECONDS)
        logger.bind(**log_fields(held.lease)).info("handed back before it began")
        return True

    async def _is_back(self, lease: Lease) -> bool:
        try:
            await self.hand_back(lease)
        except JobRunnerError as exc:
            logger.bind(**log_fields(lease)).debug("handing it back failed: {}", exc.message)
            return False
        return True
