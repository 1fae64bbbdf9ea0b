"""Takes back what dead watchers left, and ends what can never run: every watcher does it, one is let through per S."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from job_watcher.metrics.counts import Counts
from lib.errors import InvalidInputError
from lib.failpoints import reach
from lib.jobqueue import JobSpec
from lib.jobqueue.protocol import LostEntry, PoisonFound, Verdict
from lib.jobqueue.records import Failure, failed_tail
from lib.redisqueue import reader, upkeep
from lib.redisqueue.keys import backlog_of, parse_lane

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from lib.clock import Clock
    from lib.redisqueue.queue import Queue


@dataclass(slots=True)
class Reclaimer:
    """The sweep of one watcher."""

    queue: Queue
    clock: Clock
    interval: float
    life: float
    sessions_ended: asyncio.Event
    """Set when a sweep ended sessions: the lead may be free."""
    counts: Counts = field(default_factory=Counts)
    _lost: list[LostEntry] = field(default_factory=list)

    def note_lost(self, entries: Sequence[LostEntry]) -> None:
        """Entries that a start found without content; the next round ends them."""
        self._lost += entries

    async def run_once(self) -> None:
        """Sweep if it is this watcher's turn, then wait for the next turn."""
        next_in_ms = await self.sweep()
        await self.clock.sleep(max(next_in_ms, 10) / 1000)

    async def sweep(self, *, force: bool = False) -> int:
        """One sweep with all that follows from it; milliseconds until the next."""
        reach("sweep.before")
        swept = await upkeep.sweep(
            self.queue, interval_ms=int(self.interval * 1000), life_ms=int(self.life * 1000), force=force
        )
        reach("sweep.after")
        self.counts.sessions_reaped += len(swept.ended)
        held = swept.put_back - swept.waited
        self.counts.jobs_reclaimed += held
        for lane in swept.mended_lanes:
            logger.info("lane {}: its group is there, from the first entry on", lane)
        if swept.ended:
            reach("sweep.found")
            logger.warning("sessions ended: {}", ", ".join(swept.ended))
            self.sessions_ended.set()
        if held:
            which = "1 job of a dead watcher is" if held == 1 else f"{held} jobs of dead watchers are"
            logger.warning("{} back in intake", which)
        if swept.waited:
            # As a watcher leaves them that ended properly: they stood in its lane and were not begun.
            which = "1 job that waited there is" if swept.waited == 1 else f"{swept.waited} jobs that waited there are"
            logger.info("a lane has no watcher any more: {} back in intake", which)
        if swept.poison:
            await self._end_poison(swept.poison)
        lost, self._lost = {*swept.lost, *self._lost}, []
        if lost:
            await self._end_lost(lost)
        if swept.ran:
            expired = await upkeep.expire(self.queue)
            if expired:
                logger.info("{} records have expired", expired)
        return swept.next_in_ms

    async def _end_poison(self, found: Sequence[PoisonFound]) -> None:
        verdicts = []
        for job in found:
            error = f"its watcher died {job.deaths} times while it was running; it is not tried again"
            backend = parse_lane(job.lane).backend
            logger.bind(request_id=job.request_id, stream_id=job.entry, backend=backend).error("poison: {}", error)
            failure = Failure("poison", "execute", error, self.clock.now())
            place = (job.request_id, job.generation, job.lane, job.entry)
            verdicts.append(failed_verdict(place, job.job, failure, home=job.home))
        await upkeep.condemn(self.queue, verdicts)

    async def _end_lost(self, found: set[LostEntry]) -> None:
        """Only the index can tell whose an entry without content was."""
        owners = await reader.rows_at(self.queue, {(lost.lane, lost.entry) for lost in found})
        verdicts = []
        for lost in found:
            owner = owners.get((lost.lane, lost.entry))
            if owner is None:
                await upkeep.drop_unowned(self.queue, lost)
                continue
            request_id, row = owner
            backend = parse_lane(lost.lane).backend
            log = logger.bind(request_id=request_id, stream_id=lost.entry, backend=backend)
            log.error("payload lost: its entry {} has gone", lost.entry)
            verdicts.append(lost_verdict(request_id, row.generation, lost.lane, lost.entry, self.clock))
        if verdicts:
            await upkeep.condemn(self.queue, verdicts)


def _readable(job: bytes) -> JobSpec | bytes:
    """The job as its record should show it, so that it can be retried; its bytes when they are none."""
    try:
        return JobSpec.from_json(job)
    except InvalidInputError:
        return job


def failed_verdict(place: tuple[str, str, str, str], job: bytes, failure: Failure, *, home: str) -> Verdict:
    """The end of a job whose payload is there; `place` is its request_id, generation, stream and entry."""
    spec = _readable(job)
    known = spec if isinstance(spec, JobSpec) else None
    ttl_seconds = known.ttl_seconds if known else None
    return Verdict(
        *place,
        failed_tail(spec, failure, request_id=place[0], backlog=backlog_of(home)),
        ttl_ms=int((ttl_seconds or 0) * 1000),
        callback=(known.callback_url or "") if known else "",
    )


def lost_verdict(request_id: str, generation: str, stream: str, entry: str, clock: Clock) -> Verdict:
    """The end of a job whose payload somebody removed from the queue."""
    failure = Failure(
        "payload_lost",
        "execute",
        f"its entry {entry} in {stream} was removed from outside; enqueue it again with --replace",
        clock.now(),
    )
    tail = failed_tail(None, failure, request_id=request_id)
    return Verdict(request_id, generation, stream, entry, tail, lost=True)
