"""Answers leases: endings and retries, gathered into batches while a call is under way.

What the server did not take is kept and sent again: a commit and a retry are safe to repeat. What it refuses
is thrown away, since the job is somebody else's.
"""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from loguru import logger

from job_watcher.log_fields import log_fields
from job_watcher.metrics.counts import Counts
from lib.failpoints import reach
from lib.jobqueue.outbox import OutboxEntry
from lib.jobqueue.protocol import Ending, Retry
from lib.redisqueue import leasing
from lib.redisqueue.queue import BATCH_MAX_JOBS

if TYPE_CHECKING:
    from collections.abc import Callable

    from loguru import Logger

    from job_watcher.in_hand import InHand
    from job_watcher.session import Session
    from lib.redisqueue.queue import Queue


_DURATION: Final = re.compile(rb'"duration_sec":([0-9.]+)')
"""Found without parsing a result that may be large. Inside a text its quotes would be escaped."""


class OutcomeListener(Protocol):
    """Who wants to know: the display, and what sends callbacks."""

    def ended(self, ending: Ending) -> None:
        """A job ended here and the queue has its record."""

    def delayed(self, retry: Retry) -> None:
        """A job will be tried again."""

    def stopped(self, request_id: str) -> None:
        """A job was cancelled, handed back or thrown away: it is not this watcher's any more."""


@dataclass(slots=True)
class Tally:
    """What this watcher has done since it started."""

    done: int = 0
    failed: int = 0
    delayed: int = 0


@dataclass(slots=True)
class Outcomes:
    """The answers under way."""

    queue: Queue
    session: Session
    in_hand: InHand
    tally: Tally
    publish: Callable[[OutboxEntry], None]
    listeners: list[OutcomeListener] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    _waiting: asyncio.Queue[Ending | Retry] = field(default_factory=asyncio.Queue)
    _unsent: list[Ending | Retry] = field(default_factory=list)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, outcome: Ending | Retry) -> None:
        """Answer a lease as soon as possible."""
        self.idle.clear()
        self._waiting.put_nowait(outcome)

    def stopped(self, request_id: str) -> None:
        """Tell of a job whose lease gets no answer, or one that was refused."""
        for listener in self.listeners:
            listener.stopped(request_id)

    def ended_unbegun(self, ending: Ending, outbox: OutboxEntry | None) -> None:
        """A job was ended where it waited, and the queue has its record."""
        self._ended(ending, outbox, logger.bind(request_id=ending.request_id))

    async def run_once(self) -> None:
        """Wait for answers and send all there are in one batch."""
        if not self._unsent:
            if self._waiting.empty():
                self.idle.set()
            self._unsent.append(await self._waiting.get())
        while len(self._unsent) < BATCH_MAX_JOBS and not self._waiting.empty():
            self._unsent.append(self._waiting.get_nowait())
        await self._send()
        if self._waiting.empty():
            self.idle.set()

    async def _send(self) -> None:
        endings = [outcome for outcome in self._unsent if isinstance(outcome, Ending)]
        retries = [outcome for outcome in self._unsent if isinstance(outcome, Retry)]
        if endings:
            reach("commit.before")
            await self._commit(endings)
            reach("commit.after")
            # Should the retries fail now, these are not sent, told and counted again.
            self._unsent = list(retries)
        if retries:
            reach("retry.before")
            await self._retry(retries)
            reach("retry.after")
        self._unsent.clear()

    async def _commit(self, endings: list[Ending]) -> None:
        for ending, committed in zip(endings, await leasing.commit(self.queue, self.session.id, endings), strict=True):
            held = self.in_hand.release(ending.fence)
            log = logger.bind(**(log_fields(held.lease) if held else {"request_id": ending.request_id}))
            if committed.code == "refused":
                self.counts.refusals["commit"] += 1
                log.warning("its ending was refused: the job is not this watcher's any more")
                self.stopped(ending.request_id)
                continue
            outbox = committed.outbox
            entry = OutboxEntry(outbox, ending.request_id, ending.fence, self.session.id) if outbox else None
            self._ended(ending, entry, log)

    def _ended(self, ending: Ending, outbox: OutboxEntry | None, log: Logger) -> None:
        if ending.status == "done":
            self.tally.done += 1
        else:
            self.tally.failed += 1
        self.counts.records[ending.status] += 1
        _log_ending(ending, log)
        if outbox is not None:
            self.publish(outbox)
        for listener in self.listeners:
            listener.ended(ending)

    async def _retry(self, retries: list[Retry]) -> None:
        for retry, taken in zip(retries, await leasing.retry(self.queue, self.session.id, retries), strict=True):
            self.in_hand.release(retry.lease.fence)
            if not taken:
                self.counts.refusals["retry"] += 1
                self.stopped(retry.lease.request_id)
            else:
                self.tally.delayed += 1
                self.counts.retries[retry.kind] += 1
                logger.bind(**log_fields(retry.lease), kind=retry.kind).warning(
                    "again in {:.0f} s{}", retry.delay_ms / 1000, " after a crash" if retry.kind == "crash" else ""
                )
                for listener in self.listeners:
                    listener.delayed(retry)


def _log_ending(ending: Ending, log: Logger) -> None:
    if ending.status == "done":
        took = _DURATION.search(ending.tail)
        log = log.bind(seconds=float(took[1])) if took else log
        log.info("done")
        return
    try:
        record = json.loads(b"{" + ending.tail)
    except ValueError:
        record = {}
    log.bind(**{name: record[name] for name in ("error_type", "stage", "error") if name in record}).warning(
        "{}", ending.status
    )
