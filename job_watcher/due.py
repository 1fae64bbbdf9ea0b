"""Queues delayed jobs when their time has come; the conductor calls it at due times, every leader owns it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from loguru import logger

from job_watcher.reclaim import lost_verdict
from lib.redisqueue import conducting, upkeep

if TYPE_CHECKING:
    from lib.clock import Clock
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
            if done.lost:
                verdicts = [
                    lost_verdict(request_id, generation, stream, "", self.clock)
                    for request_id, generation, stream in done.lost
                ]
                await upkeep.condemn(self.queue, verdicts)
            # A call that gets nowhere ends the round: what it met needs another hand, and must not be spun on.
            if not done.more or (stalled and not done.queued and not done.lost):
                break
            stalled = not done.queued and not done.lost
        if total:
            logger.debug("{} delayed jobs are due", total)
        return total
