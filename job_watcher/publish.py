"""Makes published names equal the current records: what this watcher committed, and what dead ones left to do.

Copy first, then one step removes the outbox entry only if the record's fence is still the one that was copied;
otherwise it is done again from the newer record. Repeating is harmless, so any watcher may take it over. Two jobs may
have one output name: the store is told in which order they were committed and keeps the later one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from lib.errors import InvalidInputError, JobRunnerError
from lib.failpoints import reach
from lib.jobqueue.records import recorded_outputs
from lib.redisqueue import reader, sessions, upkeep
from lib.stores.artifacts import ArtifactStore, StoredOutput

if TYPE_CHECKING:
    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.jobqueue.outbox import OutboxEntry
    from lib.redisqueue.queue import Queue

BATCH: Final = 64
"""How many records are read and entries removed in one call."""


AT_ONCE: Final = 4
"""How many records are published at the same time: a bucket takes a dozen round trips for each."""

LOOK_MAX: Final = 1000
"""Entries that one look at the outbox takes in: while a bucket is away for a night, a hundred thousand may wait."""

TIDY_SECONDS: Final = 3600.0
"""How often the store is rid of what dead processes left half stored, in a moment when nothing is to be published."""


@dataclass(slots=True)
class Publisher:
    """The publishing of one watcher."""

    queue: Queue
    session: Session
    store: ArtifactStore
    clock: Clock
    interval: float
    _waiting: dict[str, OutboxEntry] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _taken_over_at: float = float("-inf")
    _tidied_at: float = float("-inf")
    _stuck: set[str] = field(default_factory=set)
    _looked_at: set[str] = field(default_factory=set)
    _look_after: str = "-"
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stuck(self) -> int:
        """Entries that could not be published here; they are tried again at every interval."""
        return len(self._stuck)

    def offer(self, entry: OutboxEntry) -> None:
        """Publish as soon as possible; not `idle` until it was tried."""
        self._waiting[entry.entry] = entry
        self.idle.clear()
        self._news.set()

    async def run_once(self) -> None:
        """Publish what this watcher committed; once per interval also what nobody alive will."""
        if self.clock.elapsed() - self._taken_over_at >= self.interval:
            more = await self._take_over()
            self._taken_over_at = float("-inf") if more else self.clock.elapsed()
        if not self._waiting:
            await self._wait()
        batch = list(self._waiting.values())[:BATCH]
        await self._publish(batch)
        for entry in batch:
            del self._waiting[entry.entry]

    async def _wait(self) -> None:
        self.idle.set()
        self._news.clear()
        await self._tidy()
        try:
            async with asyncio.timeout(self.interval):
                await self._news.wait()
        except TimeoutError:
            return

    async def _tidy(self) -> None:
        if self.clock.elapsed() - self._tidied_at < TIDY_SECONDS:
            return
        self._tidied_at = self.clock.elapsed()
        try:
            removed = await self.store.tidy()
        except (JobRunnerError, OSError) as exc:
            logger.debug("the store was not tidied: {}", exc)
            return
        if removed:
            logger.info("removed {} files that were never stored to their end", removed)

    async def _take_over(self) -> bool:
        """Take what is left of sessions that have ended, the oldest first, and of this one; True to look on at once.

        An entry of this session that nobody offered is one whose commit lost its reply.
        """
        standing = await self._outbox()
        live = await sessions.live_sessions(self.queue) if standing else frozenset()
        for entry in standing:
            if entry.session not in live or entry.session == self.session.id:
                self._waiting.setdefault(entry.entry, entry)
        # A part of nothing but what cannot be published here is no reason to hurry.
        return len(standing) >= LOOK_MAX and any(entry.entry not in self._stuck for entry in standing)

    async def _outbox(self) -> list[OutboxEntry]:
        """The next part of the outbox, from its beginning again after its end."""
        entries: list[OutboxEntry] = []
        while len(entries) < LOOK_MAX:
            page = await upkeep.read_outbox(self.queue, after=self._look_after)
            self._looked_at |= {entry.entry for entry in page}
            if not page:
                # Another watcher may have published what could not be published here.
                self._stuck &= self._looked_at
                self._looked_at, self._look_after = set(), "-"
                break
            entries += page
            self._look_after = page[-1].entry
        return entries

    async def _publish(self, entries: list[OutboxEntry]) -> None:
        while entries:
            found = await reader.results(self.queue, [entry.request_id for entry in entries])
            room = asyncio.Semaphore(AT_ONCE)
            async with asyncio.TaskGroup() as group:
                pairs = zip(entries, found, strict=True)
                copying = [group.create_task(self._settled(entry, result, room)) for entry, result in pairs]
            copied = [entry for each in copying if (entry := each.result()) is not None]
            reach("publish.copied")
            codes = await upkeep.publish(self.queue, copied)
            reach("publish.after")
            entries = [entry for entry, code in zip(copied, codes, strict=True) if code == "changed"]

    async def _settled(self, entry: OutboxEntry, result: reader.Found, room: asyncio.Semaphore) -> OutboxEntry | None:
        """The entry, with the fence that was copied, when nothing is left to do but to remove it."""
        if result.status != "done" or result.record is None:
            return entry
        async with room:
            done = await self._copy(entry, result.record)
        return replace(entry, fence=str(result.record["fence"])) if done else None

    async def _copy(self, entry: OutboxEntry, record: dict[str, Any]) -> bool:
        known = {name: record[name] for name in ("attempt", "backend") if name in record}
        log = logger.bind(request_id=entry.request_id, **known)
        try:
            order = _order(record)
            stored = [
                StoredOutput(output.name, output.kind, output.uri, output.bytes, output.sha256)
                for output in recorded_outputs(record)
            ]
            name = record.get("output_name")
            newest = not stored or not name or await self.store.publish(str(name), stored, order=order)
        except JobRunnerError as exc:
            # The entry stays in the outbox: this host may lack the files, or the disk is full.
            if entry.entry not in self._stuck:
                log.warning("not published yet: {}", exc.message)
            self._stuck.add(entry.entry)
            return False
        self._stuck.discard(entry.entry)
        if newest:
            log.debug("published as {}", name)
        else:
            log.debug("not published as {}: what stands there was committed later", name)
        return True


def _order(record: dict[str, Any]) -> tuple[int, ...]:
    """Where in the order of commits a record stands: the id of its entry in the history."""
    milliseconds, _, number = str(record.get("history", "")).partition("-")
    if "fence" not in record or not (milliseconds.isdecimal() and number.isdecimal()):
        raise InvalidInputError("the record was changed by hand", hint="run the job again with --replace")
    return int(milliseconds), int(number)
