"""The load of a soak: the same mix of jobs every second, each kind of end in it, and a second watcher that dies.

Of twenty jobs ten do nothing, three sleep, two run in a child, one fails for good, one fails and is tried again, one
is cancelled while it runs, one while it is delayed, one writes an output that is published and told to a receiver.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.cancel import cancel
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing
from lib.redisqueue.submissions import submission_of
from tests.support.tasks import TASKS

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue
    from tests.job_watcher.callbacks.receiving import Receiver
    from tests.support.watchers import WatcherProcess

CATALOGUE: Final = BUILT_IN.with_kinds(*(task.kind for task in TASKS))
MODULES: Final = "tests.support.tasks"
MIX: Final = 20
NAMES: Final = 40
"""Published names: each is published over and over."""


@dataclass(slots=True)
class Load:
    """Submits `rate` jobs a second until it is told to stop; records expire after `ttl_seconds`."""

    queue: Queue
    receiver: Receiver
    rate: int
    ttl_seconds: int
    submitted: int = 0
    _told: int = 0
    _to_cancel: list[str] = field(default_factory=list)

    @property
    def told(self) -> int:
        """Callbacks that the receiver got."""
        return self._told + len(self.receiver.requests)

    async def run(self, stop: asyncio.Event) -> None:
        """One batch a second, then the cancels of the batch before; what is left to cancel is cancelled at the end."""
        while not stop.is_set():
            begun = time.monotonic()
            rows = [self._row(self.submitted + i) for i in range(self.rate)]
            hosts = frozenset({self.receiver.place})
            specs = [normalize_job_spec(row, catalogue=CATALOGUE, callback_hosts=hosts) for row in rows]
            await producing.submit(self.queue, [submission_of(spec, CATALOGUE) for spec in specs])
            self.submitted += self.rate
            await self._cancel()
            self._to_cancel = [row["request_id"] for row in rows if row["request_id"].endswith("-cancel")]
            self._told += len(self.receiver.requests)
            self.receiver.requests.clear()
            try:
                async with asyncio.timeout(max(0.0, begun + 1 - time.monotonic())):
                    await stop.wait()
            except TimeoutError:
                continue
        await self._cancel()

    async def _cancel(self) -> None:
        if self._to_cancel:
            await cancel(self.queue, self._to_cancel)
        self._to_cancel = []

    def _row(self, number: int) -> dict[str, Any]:
        kind: dict[str, Any]
        match number % MIX:
            case 0 | 1 | 2:
                kind = {"task": "sleep", "payload": {"seconds": 0.05}}
            case 3 | 4:
                kind = {"task": "count_runs_child"}
            case 5:
                kind = {"task": "fail_permanent"}
            case 6:
                kind = {"task": "fail_temporary", "payload": {"delay_seconds": 0.5}, "max_attempts": 2}
            case 7:
                kind = {"task": "hang_inline", "request_id": f"{number:08}-cancel"}
            case 8:
                later = datetime.now(UTC) + timedelta(hours=1)
                kind = {"task": "debug", "request_id": f"{number:08}-cancel", "run_after": later.isoformat()}
            case 9:
                files = {"best.wav": f"sound {number}"}
                place = f"soak/{number // MIX % NAMES}"
                kind = {"task": "write_output_inline", "payload": {"files": files}, "output_name": place}
                kind["callback_url"] = self.receiver.url()
            case _:
                kind = {"task": "debug"}
        return {"request_id": f"{number:08}", "ttl_seconds": self.ttl_seconds, **kind}


@dataclass(slots=True)
class Restless:
    """A watcher that is killed, or told to stop, every now and then and started again at once."""

    watcher: WatcherProcess
    every: float
    """Seconds, on average."""
    deaths: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is told to stop; then the watcher runs."""
        chance = random.Random(4)  # noqa: S311 - when a watcher dies, the same each time
        while True:
            try:
                async with asyncio.timeout(self.every * (0.5 + chance.random())):
                    await stop.wait()
            except TimeoutError:
                self.deaths += 1
                if self.deaths % 3:
                    self.watcher.kill()
                else:
                    self.watcher.term()
                    await self.watcher.ended()
                self.watcher.start()
            else:
                return
