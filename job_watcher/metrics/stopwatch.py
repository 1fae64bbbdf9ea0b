"""Takes the time of every job that runs here: how long it waited before its first start, how long it ran.

The execution gives it each run to hold; only in a watcher that exports metrics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from job_watcher.metrics.counts import Counts, Durations
from lib.jobqueue.protocol import Ending, Lease, Retry
from lib.redisqueue.keys import parse_lane

if TYPE_CHECKING:
    from collections.abc import Collection, Coroutine
    from typing import Any

    from lib.clock import Clock
    from lib.jobqueue import JobSpec

OTHER_TASK = "other"
"""Label of a job whose task this watcher does not know: whoever writes jobs must not be able to add labels."""


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Adds up the times in `counts`, by task, backend and outcome."""

    counts: Counts
    clock: Clock
    tasks: Collection[str]

    async def timed(self, lease: Lease, job: JobSpec, run: Coroutine[Any, Any, Ending | Retry]) -> Ending | Retry:
        """The answer of the run; an attempt that was cancelled or broke counts as `stopped`."""
        task = job.task if job.task in self.tasks else OTHER_TASK
        backend = parse_lane(lease.lane).backend
        if not (lease.attempts_used or lease.deaths or lease.crashes):
            ready_at = max(job.queued_at, job.run_after or job.queued_at)
            waited = (self.clock.now() - ready_at).total_seconds()
            self.counts.waits.setdefault((task, backend), Durations()).add(waited)
        begun = self.clock.elapsed()
        outcome = "stopped"
        try:
            answer = await run
            outcome = "retry" if isinstance(answer, Retry) else answer.status
            return answer
        finally:
            self._ran(task, backend, outcome, self.clock.elapsed() - begun)

    def unreadable(self, lease: Lease) -> None:
        """A job that could not be read has failed in no time."""
        self._ran(OTHER_TASK, parse_lane(lease.lane).backend, "failed", 0.0)

    def _ran(self, task: str, backend: str, outcome: str, seconds: float) -> None:
        self.counts.runs.setdefault((task, backend, outcome), Durations()).add(seconds)
