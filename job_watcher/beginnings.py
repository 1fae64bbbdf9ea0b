"""Says in the queue when bodies begin whose leases were held ahead: from then on a death of this watcher counts.

A backend that gathers jobs, as the rented one does for its micro-batches, holds many leases of which few bodies run.
Those that began while one call was under way go together in the next. The session is its only caller.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from loguru import logger

from job_watcher.log_fields import log_fields
from lib.errors import JobRunnerError
from lib.redisqueue import leasing

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease
    from lib.redisqueue.queue import Queue


@dataclass(slots=True)
class Beginnings:
    """Those of one session; what the server did not hear goes along with the next call."""

    queue: Queue
    session_id: str
    _unsaid: dict[str, Lease] = field(default_factory=dict)
    _calling: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def tell(self, lease: Lease) -> None:
        """Return once it is said, or could not be: no job waits for a server that is away."""
        self._unsaid[lease.fence] = lease
        async with self._calling:
            if lease.fence not in self._unsaid:
                return  # it went with another's call
            asked = dict(self._unsaid)
            try:
                await leasing.begin(self.queue, self.session_id, list(asked.values()))
                # Not before: whoever waits here takes for said what is not among these any more.
                for fence in asked:
                    self._unsaid.pop(fence, None)
            except JobRunnerError as exc:
                logger.bind(**log_fields(lease)).debug("that its body began could not be said: {}", exc.message)
