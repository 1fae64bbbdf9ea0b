"""Notes what jobs took, and carries it to the queue: a duty like the others, never in a job's way.

What cannot be sent is kept up to a bound and sent later, the oldest dropped first: a lost sample makes an estimate a
little worse, a lost job is another matter. Told by whoever sees a job end well.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.job_sizes import size_of
from lib.money import MICRO
from lib.redisqueue import measures
from lib.redisqueue.measures import Sample
from lib.routing.view import RENTED
from lib.voice_synth.documents import sentences_of_result

if TYPE_CHECKING:
    from lib.clock import Clock
    from lib.jobqueue import JobSpec
    from lib.redisqueue.queue import Queue
    from lib.tasks.base import TaskResult

GATHER_SECONDS: Final = 1.0
"""How long samples are gathered before one call: nobody waits for them, and thousands of jobs a second end at times."""

KEPT_MAX: Final = 10_000
"""So many wait for a server that does not answer."""

_CALL_MAX: Final = 500
"""So many go in one call, as everywhere."""


@dataclass(slots=True)
class Measuring:
    """The samples that are still to be sent."""

    queue: Queue
    clock: Clock
    _samples: deque[Sample] = field(default_factory=lambda: deque(maxlen=KEPT_MAX))
    _any: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, task: str, backend: str, size: float, seconds: float, micro: int = 0) -> None:
        """A job ended well: its size (`lib.job_sizes`), seconds, and cost in millionths of a dollar."""
        self._samples.append(Sample(task, backend, size, seconds, micro))
        self._any.set()

    def ended(self, backend: str, job: JobSpec, seconds: float, result: TaskResult) -> None:
        """A body of a job succeeded within so many seconds; those that it waited for quota say nothing of its like.

        Of a batch of records it is as many as it asked about: one that was resumed and found all of them answered took
        no time, which says nothing either, nor does speech of which some sentences were at hand. One that was made
        already is not told here at all. On a rented machine a job's dollars are a share of what the machine's hours
        cost, and whoever expects those would count them twice.
        """
        spoken = sentences_of_result(result.result) if job.task == "speak" else None
        if spoken is not None and spoken.at_hand:
            return
        size = size_of(job)
        if job.task == "annotate":
            size = float((result.result or {}).get("asked", size))
        if size > 0:
            usd = 0.0 if backend == RENTED else (result.cost or {}).get("usd", 0.0)
            self.note(job.task, backend, size, max(0.0, seconds - result.waited), round(usd * MICRO))

    async def run_once(self) -> None:
        """Wait for a sample, gather others, and send all there are."""
        await self._any.wait()
        await self.clock.sleep(GATHER_SECONDS)
        await self.flush()

    async def flush(self) -> None:
        """Send all there are, now."""
        while self._samples:
            sent = [self._samples.popleft() for _ in range(min(len(self._samples), _CALL_MAX))]
            try:
                await measures.add(self.queue, sent)
            except BaseException:
                self._keep(sent)
                raise
        self._any.clear()

    def _keep(self, sent: list[Sample]) -> None:
        """Back to the front, as many as there is room for: what came meanwhile is newer."""
        room = KEPT_MAX - len(self._samples)
        self._samples.extendleft(reversed(sent[-room:] if room > 0 else []))
