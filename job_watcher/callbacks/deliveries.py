"""Delivers what stands in the outbox of callbacks: what this watcher's commits left there at once, the rest when due.

Whoever takes a callback has it for a while, alive or not, so no two watchers send one at a time, and one whose watcher
died comes due again by itself. A slow or dead host has few in flight and keeps no other waiting.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from loguru import logger

from job_watcher.cancelling import cancel_all
from job_watcher.retrying import Again
from lib.errors import TaskError, TemporaryError
from lib.failpoints import reach
from lib.jobqueue.outbox import TriedCallback
from lib.redisqueue import callbacks

if TYPE_CHECKING:
    from job_watcher.retrying import RetryPolicy
    from lib.clock import Clock
    from lib.jobqueue.outbox import Callback, CallbackCode
    from lib.jobqueue.protocol import Ending, Retry
    from lib.redisqueue.queue import Queue

CONCURRENCY: Final = 16
PER_HOST: Final = 4
"""How many are in flight from one watcher, to all hosts and to one."""

TRIES: Final = 4
"""The first, and one after each delay of the retries."""

HOLD_MS: Final = 30_000
"""How long a taken one is left to its watcher: twice what a try may take."""


class CallbackSender(Protocol):
    """Sends one callback; see `job_watcher.callbacks.delivery`."""

    async def deliver(self, callback: Callback) -> None:
        """Return when the far side has it; TemporaryError to be tried again, PermanentError never. Bounded in time."""


@dataclass(slots=True)
class Deliveries:
    """The callbacks that one watcher has in flight."""

    queue: Queue
    sender: CallbackSender
    policy: RetryPolicy
    clock: Clock
    interval: float
    hold_ms: int = HOLD_MS
    _flights: dict[asyncio.Task[None], Callback] = field(default_factory=dict)
    _tried: list[TriedCallback] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _landed: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False

    @property
    def in_flight(self) -> int:
        """How many are being tried, or were and the queue does not know yet."""
        return len(self._flights) + len(self._tried)

    def ended(self, ending: Ending) -> None:
        """A job ended here; its callback, if any, is delivered at once."""
        if ending.callback:
            self._news.set()

    def delayed(self, retry: Retry) -> None:
        """Tells nobody."""

    def stopped(self, request_id: str) -> None:
        """Tells nobody; a cancel left its callback in the queue."""

    async def run_once(self) -> None:
        """Settle what was tried, take what is due, then wait for either or for the next due time."""
        # Cleared first: what happens from here on ends the wait below.
        self._news.clear()
        await self._settle()
        pause = self.interval
        free = CONCURRENCY - len(self._flights)
        if free > 0 and not self._closing:
            per_host = Counter(callback.host for callback in self._flights.values())
            taken = await callbacks.take(
                self.queue, count=free, per_host=PER_HOST, hold_ms=self.hold_ms, in_flight=per_host
            )
            if taken.callbacks:
                reach("callback.taken")
            for callback in taken.callbacks:
                self._flights[asyncio.create_task(self._fly(callback))] = callback
            if taken.more:
                return
            if taken.next_in_ms is not None:
                pause = min(pause, taken.next_in_ms / 1000)
        await self._wait(pause)

    async def finish(self) -> None:
        """Take no more, and wait until those in flight have landed and the queue knows."""
        self._closing = True
        self._news.set()
        while self.in_flight:
            self._landed.clear()
            await self._landed.wait()

    async def aclose(self) -> None:
        """Let go of those in flight; they come due again."""
        self._closing = True
        await cancel_all(self._flights)

    async def _wait(self, pause: float) -> None:
        try:
            async with asyncio.timeout(pause):
                await self._news.wait()
        except TimeoutError:
            return

    async def _fly(self, callback: Callback) -> None:
        try:
            self._tried.append(await self._try(callback))
        finally:
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - this is one
            del self._flights[task]
            self._news.set()

    async def _try(self, callback: Callback) -> TriedCallback:
        try:
            await self.sender.deliver(callback)
        except TaskError as exc:
            return self._failed(callback, exc)
        except Exception as exc:  # noqa: BLE001 - a mistake in one delivery must not lose it
            logger.bind(request_id=callback.request_id).opt(exception=exc).error("unexpected error in a callback")
            return self._failed(callback, TemporaryError(f"{type(exc).__name__} in the watcher"))
        return TriedCallback(callback, "delivered")

    def _failed(self, callback: Callback, error: TaskError) -> TriedCallback:
        decision = self.policy.after_error(error, attempts_used=callback.tries, max_attempts=TRIES)
        said = error.message if error.hint is None else f"{error.message} ({error.hint})"
        if isinstance(decision, Again):
            return TriedCallback(callback, "again", decision.delay_ms, said)
        return TriedCallback(callback, "failed", why=said)

    async def _settle(self) -> None:
        tried = list(self._tried)
        if tried:
            reach("callback.delivered")
            codes = await callbacks.settle(self.queue, tried)
            # Kept until the server has said so: a settled one may be said again.
            del self._tried[: len(tried)]
            for each, code in zip(tried, codes, strict=True):
                _tell(each, code)
        self._landed.set()


def _tell(tried: TriedCallback, code: CallbackCode) -> None:
    log = logger.bind(request_id=tried.callback.request_id)
    match code:
        case "delivered":
            log.debug("callback delivered to {}", tried.callback.host)
        case "again":
            log.warning("callback not delivered: {}; again in {:.0f} s", tried.why, tried.delay_ms / 1000)
        case "failed":
            log.error("callback given up: {}", tried.why)
        case "gone":
            log.debug("callback settled by another watcher")
