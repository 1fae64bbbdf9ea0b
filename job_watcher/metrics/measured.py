"""Takes the time of every job that runs here: how long it waited before its first start, how long it ran.

It stands around an execution, and only in a watcher that exports metrics, since it reads each job once more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from job_watcher.metrics.counts import Counts, Durations
from lib.jobqueue.protocol import Ending, Lease, Retry
from lib.redisqueue.keys import parse_lane

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from job_watcher.lane import Execute
    from lib.clock import Clock

OTHER_TASK = "other"
"""Label of a job whose task this watcher does not know: whoever writes jobs must not be able to add labels."""


@dataclass(frozen=True, slots=True)
class Measured:
    """An execution whose runs are timed."""

    inner: Execute
    counts: Counts
    clock: Clock
    tasks: Collection[str]

    async def run(
        self, lease: Lease, on_progress: Callable[[dict[str, Any]], None], on_body_over: Callable[[], None]
    ) -> Ending | Retry:
        """As the inner one does; an attempt that was cancelled or broke counts as `stopped`."""
        task, ready_at = self._read(lease.job)
        backend = parse_lane(lease.lane).backend
        if ready_at is not None and not (lease.attempts_used or lease.deaths or lease.crashes):
            waited = (self.clock.now() - ready_at).total_seconds()
            self.counts.waits.setdefault((task, backend), Durations()).add(waited)
        begun = self.clock.elapsed()
        outcome = "stopped"
        try:
            answer = await self.inner.run(lease, on_progress, on_body_over)
            outcome = "retry" if isinstance(answer, Retry) else answer.status
            return answer
        finally:
            ran = self.clock.elapsed() - begun
            self.counts.runs.setdefault((task, backend, outcome), Durations()).add(ran)

    def _read(self, job: bytes) -> tuple[str, datetime | None]:
        """The task and from when on the job could have run; a job that cannot be read is the execution's business."""
        try:
            fields = json.loads(job)
            task = fields.get("task", "speak")
            task = task if task in self.tasks else OTHER_TASK
            times = [_moment(fields[name]) for name in ("queued_at", "run_after") if fields.get(name)]
        except (ValueError, TypeError, AttributeError, RecursionError):
            return OTHER_TASK, None
        return task, max(times, default=None)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
