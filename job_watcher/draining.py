"""Knows when a watcher that is to end by itself has nothing left to do."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from loguru import logger

from lib.errors import JobRunnerError, UnreachableError
from lib.redisqueue import upkeep

if TYPE_CHECKING:
    from job_watcher.in_hand import InHand
    from job_watcher.publish import Publisher
    from lib.clock import Clock
    from lib.redisqueue.queue import Queue

Mode = Literal["forever", "drain", "once"]
"""`drain`: until all is done, retries too. `once`: until nothing waits or runs now."""

SOON_MS: Final = 15 * 60 * 1000
"""A drain waits for what is delayed by less: longer than the longest pause between two tries."""

LOOK_AGAIN_SECONDS: Final = 0.3
"""A drain also waits for what other watchers do, of which it hears nothing by itself."""

FAILED_LOOK_SECONDS: Final = 3.0
"""Between two looks of which the first met a damaged queue: it is said each time."""


@dataclass(slots=True)
class Drain:
    """The end of a watcher that was started with `--drain` or `--once`."""

    queue: Queue
    mode: Mode
    in_hand: InHand
    publisher: Publisher
    clock: Clock

    async def wait(self) -> None:
        """Return when there is nothing left; never in mode `forever`."""
        while not await self._finished():
            try:
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._change()
            except TimeoutError:
                continue

    async def _change(self) -> None:
        self.in_hand.changed.clear()
        await self.in_hand.changed.wait()

    async def _finished(self) -> bool:
        if self.mode == "forever":
            await asyncio.Event().wait()
        if self.in_hand.leases():
            return False
        try:
            left = await upkeep.remaining(self.queue, soon_ms=SOON_MS if self.mode == "drain" else 0)
        except UnreachableError:
            return False
        except JobRunnerError as exc:
            # What cannot be seen is not done.
            logger.warning("cannot tell what is left to do: {}", exc.message)
            await self.clock.sleep(FAILED_LOOK_SECONDS)
            return False
        if left.active or left.outbox > self.publisher.stuck:
            return False
        if left.outbox:
            logger.warning("{} outputs could not be published from here", left.outbox)
        return True
