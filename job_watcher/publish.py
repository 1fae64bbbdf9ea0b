"""Makes published names equal the current records: what this watcher committed, and what dead ones left to do.

Copy first, then one step removes the outbox entry only if the record's fence is still the one that was copied;
otherwise it is done again from the newer record. Repeating is harmless, so any watcher may take it over.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from lib.errors import JobRunnerError
from lib.failpoints import reach
from lib.jobqueue.records import recorded_outputs
from lib.redisqueue import reader, sessions, upkeep
from lib.stores.artifacts import ArtifactStore, StoredOutput

if TYPE_CHECKING:
    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.jobqueue.protocol import OutboxEntry
    from lib.redisqueue.queue import Queue

BATCH: Final = 64
"""How many records are read and entries removed in one call."""


@dataclass(slots=True)
class Publisher:
    """The publishing of one watcher."""

    queue: Queue
    session: Session
    store: ArtifactStore
    clock: Clock
    interval: float
    own: asyncio.Queue[OutboxEntry]
    _waiting: list[OutboxEntry] = field(default_factory=list)
    _taken_over_at: float = float("-inf")
    _stuck: dict[str, OutboxEntry] = field(default_factory=dict)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def stuck(self) -> int:
        """Entries that could not be published here; they are tried again at every interval."""
        return len(self._stuck)

    async def run_once(self) -> None:
        """Publish what this watcher committed; once per interval also what nobody alive will."""
        if self.clock.elapsed() - self._taken_over_at >= self.interval:
            abandoned = await self._abandoned()
            self._waiting += [*self._stuck.values(), *(e for e in abandoned if e.entry not in self._stuck)]
            self._taken_over_at = self.clock.elapsed()
        if not self._waiting:
            await self._wait()
        while len(self._waiting) < BATCH and not self.own.empty():
            self._waiting.append(self.own.get_nowait())
        await self._publish(self._waiting[:BATCH])
        del self._waiting[:BATCH]

    async def _wait(self) -> None:
        if self.own.empty():
            self.idle.set()
        try:
            self._waiting.append(await asyncio.wait_for(self.own.get(), timeout=self.interval))
        except TimeoutError:
            return
        self.idle.clear()

    async def _abandoned(self) -> list[OutboxEntry]:
        """Entries whose committer's session has ended, the oldest first."""
        entries = await upkeep.read_outbox(self.queue)
        if not entries:
            return []
        live = await sessions.live_sessions(self.queue)
        return [entry for entry in entries if entry.session not in live]

    async def _publish(self, entries: list[OutboxEntry]) -> None:
        while entries:
            found = await reader.results(self.queue, [entry.request_id for entry in entries])
            copied: list[OutboxEntry] = []
            for entry, result in zip(entries, found, strict=True):
                if result.status != "done" or result.record is None:
                    copied.append(entry)
                elif await self._copy(entry, result.record):
                    copied.append(replace(entry, fence=str(result.record["fence"])))
            reach("publish.copied")
            codes = await upkeep.publish(self.queue, copied)
            reach("publish.after")
            entries = [entry for entry, code in zip(copied, codes, strict=True) if code == "changed"]

    async def _copy(self, entry: OutboxEntry, record: dict[str, Any]) -> bool:
        log = logger.bind(request_id=entry.request_id)
        try:
            stored = [
                StoredOutput(output.name, output.kind, output.uri, output.bytes, output.sha256)
                for output in recorded_outputs(record)
            ]
            if stored and record.get("output_name"):
                await self.store.publish(str(record["output_name"]), stored)
        except JobRunnerError as exc:
            # The entry stays in the outbox: this host may lack the files, or the disk is full.
            if entry.entry not in self._stuck:
                log.warning("not published yet: {}", exc.message)
            self._stuck[entry.entry] = entry
            return False
        self._stuck.pop(entry.entry, None)
        log.debug("published as {}", record.get("output_name"))
        return True
