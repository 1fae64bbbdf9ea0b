"""Machines that work, and whose owner was a session of this watcher that has ended: the next one goes on with them.

Between the two nobody renews their dead-men and nobody gives them jobs; what they had was withdrawn when the session
was lost. Whoever else finds the row first takes it over and ends the machine: one step of the queue decides, by the
fence. Kept by the fleet.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from lib.errors import JobRunnerError
from lib.market import events as ev
from lib.redisqueue import instances, sessions
from lib.renting.keeping import Keeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from job_watcher.backends.vast.hands import HostHands
    from job_watcher.session import Session
    from lib.renting.books import Books


@dataclass(slots=True)
class Parked:
    """By intent the last keeper of each, which keeps it no more, and the hands that are still there."""

    on_step: Callable[[], None]
    _there: dict[str, tuple[Keeper, HostHands]] = field(default_factory=dict)

    @property
    def any(self) -> bool:
        """Whether there is one."""
        return bool(self._there)

    def add(self, keeper: Keeper, hands: HostHands) -> None:
        """It was let go with its hands, which take no jobs until they are gone on with."""
        hands.ready = False
        self._there[keeper.instance.intent] = keeper, hands

    async def resume(
        self, books: Books, session: Session, keep: Callable[[Keeper, HostHands], None], *, end: bool = False
    ) -> None:
        """Go on with those that are still this watcher's: `keep` begins each new keeper; the others are left.

        With `end` they are only brought to their end. A session that has ended itself changes nothing.

        Raises:
            JobRunnerError: the queue did not answer; those that are left are tried again.

        """
        for intent, (last, hands) in list(self._there.items()):
            row = await instances.resume(books.queue, books.session, last.instance)
            if row is None and books.session not in await sessions.live_sessions(books.queue):
                # Its keeper heard of that before its watcher: the next session asks.
                return
            if self._there.pop(intent, None) is None:
                # Who stops and a round that was under way come here at the same moment.
                continue
            if row is None:
                logger.bind(instance_id=intent).warning("rented machine {} was taken over while this was away", intent)
                hands.close()
                continue
            keeper = Keeper(row, last.market, books, hands, on_step=self.on_step, jobs_done=last.jobs_done)
            hands.tell, hands.look, hands.on_done = keeper.tell, keeper.look, keeper.job_done
            keep(keeper, hands)
            if end:
                continue
            try:
                why = await hands.go_on(session)
            except JobRunnerError as exc:
                why = exc.message
            except Exception as exc:  # noqa: BLE001 - whatever one machine does, the next is to be gone on with
                why = f"it does not answer ({type(exc).__name__})"
            if why:
                keeper.tell(ev.Lost(why, blame=False))
            logger.bind(instance_id=intent).info("rented machine {}: {}", intent, why or "going on with it")

    async def leave(self, seconds: float) -> None:
        """Ask for the end of them all, for so long at most; by their rows others see that they are gone."""
        there, self._there = self._there, {}
        for _, hands in there.values():
            hands.close()
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(keeper.end_regardless() for keeper, _ in there.values()))
        except TimeoutError:
            logger.warning("machines that are left between two sessions may still cost money: {}", ", ".join(there))
