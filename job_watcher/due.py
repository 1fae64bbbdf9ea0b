"""Queues delayed jobs when their time has come; the conductor calls it at due times, every leader owns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger

from job_watcher.reclaim import failed_verdict, lost_verdict
from lib.jobqueue.records import Failure
from lib.redisqueue import conducting, reader, upkeep
from lib.redisqueue.keys import is_intake

if TYPE_CHECKING:
    from lib.clock import Clock
    from lib.jobqueue.protocol import DueDone
    from lib.redisqueue.queue import Queue


@dataclass(slots=True)
class DueJobs:
    """The delayed jobs of the queue."""

    queue: Queue
    clock: Clock

    async def run_once(self) -> int:
        """Queue all that are due; how many."""
        total = 0
        stalled = False
        while True:
            done = await conducting.queue_due(self.queue)
            total += done.queued
            ended = await self._end(done) if done.lost or done.nowhere else 0
            # A call that gets nowhere ends the round: what it met needs another hand, and must not be spun on.
            if not done.more or (stalled and not done.queued and not ended):
                break
            stalled = not done.queued and not ended
        if total:
            logger.debug("{} delayed jobs are due", total)
        return total

    async def _end(self, done: DueDone) -> int:
        """End what can never be queued, which would stand before all others for ever; how many ended."""
        verdicts = []
        told = {*done.lost, *done.nowhere}
        for found in await reader.look(self.queue, [request_id for request_id, _, _ in told]):
            row = found.row
            # It may be another job by now, under the same id.
            if row is None or row.state != "delayed" or (found.request_id, row.generation, row.stream) not in told:
                continue
            # What has its payload again, and an intake, is for the next call.
            if found.job is not None and is_intake(row.stream):
                continue
            place = (found.request_id, row.generation, row.stream, row.entry)
            if found.job is None:
                verdicts.append(lost_verdict(*place, self.clock))
                continue
            error = f"its row names {row.stream!r}, which is no intake: somebody changed the queue by hand"
            logger.bind(request_id=found.request_id).error("delayed, and cannot be queued: {}", error)
            failure = Failure("permanent", "route", error, self.clock.now())
            verdicts.append(failed_verdict(place, found.job, failure, home=row.stream))
        return sum(await upkeep.condemn(self.queue, verdicts))
