"""Whole watchers in the test's own process, over a real server: built as the daemon builds them, without signals.

`Stand` is one queue with what a test asks of it; `Watcher` is one life. Bodies are the real inline tasks, or, where a
test must hold one at an exact point, a `Gate`. Called by the tests of the watcher's duties.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from job_watcher.backends.metal import Metal
from job_watcher.conductor import ConductorSetup
from job_watcher.execution import Execution
from job_watcher.life import Equipment, Life
from job_watcher.measuring import Measuring
from job_watcher.metrics.counts import Counts
from job_watcher.naming import claim
from job_watcher.outcomes import Tally
from job_watcher.retrying import RetryPolicy
from job_watcher.work_dirs import WorkDirs
from lib import wiring
from lib.clock import SystemClock
from lib.jobqueue import normalize_job_spec
from lib.jobqueue.protocol import Cancellation
from lib.redisqueue import producing
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of
from tests.conformance.truth import Row, Truth, contradictions, imbalance, parse_row, read_truth, text
from tests.job_watcher.gates import Gate, done_ending
from tests.support.running import settings_in
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from job_watcher.backends.base import Backend
    from job_watcher.draining import Mode
    from job_watcher.lane import Execute
    from job_watcher.session import Session
    from lib.clock import Clock
    from lib.errors import OverloadedError, PausedError
    from lib.settings import Settings

TIMES = {"WATCHER_SESSION_TTL": "2", "WATCHER_SESSION_RENEW_EVERY": "0.2", "WATCHER_POLL_INTERVAL": "0.4"}
"""L, renewals and S: short enough to wait for, in the proportions of the defaults."""

__all__ = ["ANY", "SPEECH", "TIMES", "Gate", "Stand", "Watcher", "done_ending"]

ANY = "lane:metal:any"
SPEECH = "lane:metal:speech"


class Watcher:
    """One life of a watcher in this process."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        *,
        execution: Execute | Mapping[str, Execute] | None = None,
        clock: Clock | None = None,
        backends: Sequence[Backend] | None = None,
        conducting: ConductorSetup | None = None,
    ) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.name = claim(settings.jobs_state_dir, name)
        self.queue = wiring.open_queue(settings)
        self.backends = (Metal(wiring.tasks(settings), settings),) if backends is None else tuple(backends)
        self.conducting = conducting or ConductorSetup.of(settings)
        self.tally = Tally()
        self.counts = Counts()
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self._given = execution
        self._work_dirs: list[WorkDirs] = []
        self.task: asyncio.Task[None] | None = None
        self.life = self.new_life()

    def new_life(self) -> Life:
        """A life that is not opened yet."""
        self.life = Life(
            Equipment(
                settings=self.settings,
                queue=self.queue,
                clock=self.clock,
                backends=self.backends,
                store=wiring.artifacts(self.settings),
                catalogue=wiring.catalogue(self.settings),
                execution=self._execution,
                blocking=lambda: wiring.open_blocking(self.settings, block_seconds=self.settings.watcher_poll_interval),
                tally=self.tally,
                version="0",
                conducting=self.conducting,
                measuring=Measuring(self.queue, self.clock),
                counts=self.counts,
            ),
            self.name,
        )
        return self.life

    def _execution(
        self, backend: Backend, session: Session, on_paused: Callable[[PausedError | OverloadedError], None]
    ) -> Execute:
        given = self._given.get(backend.name) if isinstance(self._given, Mapping) else self._given
        if isinstance(given, Gate) and given.real:
            given.inner = self._real_execution(backend, session, on_paused)
        return given or self._real_execution(backend, session, on_paused)

    def _real_execution(
        self, backend: Backend, session: Session, on_paused: Callable[[PausedError | OverloadedError], None]
    ) -> Execution:
        self._work_dirs.append(WorkDirs(self.settings.watcher_work_dir, session.id))
        return Execution(
            backend=backend,
            store=wiring.artifacts(self.settings),
            work_dirs=self._work_dirs[-1],
            policy=RetryPolicy(self.settings.watcher_max_crashes, error_delays=(0.05,), crash_delays=(0.05,)),
            clock=SystemClock(),
            run_id=session.run_id,
            session=session,
            on_paused=on_paused,
        )

    @property
    def session(self) -> str:
        """The session of this life."""
        return self.life.session.id

    async def start(self, mode: Mode = "forever") -> Watcher:
        """Open the session and let all duties go on."""
        await self.life.open()
        self.run(mode)
        return self

    def run(self, mode: Mode = "forever") -> None:
        """Let all duties of the opened session go on."""
        self.task = asyncio.create_task(self.life.run(mode, self.stop, self.hurry))

    async def ended(self, seconds: float = 15.0) -> None:
        """Wait until this life has ended by itself; raises what it raised."""
        assert self.task is not None
        done, _ = await asyncio.wait([self.task], timeout=seconds)
        if not done:
            for task in asyncio.all_tasks():
                task.print_stack()
        assert done, f"{self.session} has not ended within {seconds:g} s"
        self.task.result()

    async def finish(self, *, hurry: bool = False) -> None:
        """Stop as SIGTERM does, twice with `hurry`."""
        self.stop.set()
        if hurry:
            self.hurry.set()
        await self.ended()

    async def kill(self) -> None:
        """Vanish as a killed process does: nothing is said to the server, the name's lock falls."""
        self.life.session.close = _nothing  # type: ignore[method-assign]  # a dead process closes nothing
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        await self.aclose()

    async def aclose(self) -> None:
        """Release what this process holds."""
        if self.task is not None and not self.task.done():
            self.hurry.set()
            self.stop.set()
            await asyncio.wait([self.task], timeout=30)
        for backend in self.backends:
            await backend.aclose()
        for held in self._work_dirs:
            await held.aclose()
        await self.queue.client.aclose()
        self.name.release()


async def _nothing() -> None:
    return


@dataclass
class Stand:
    """One queue for one test."""

    queue: Queue
    directory: Path
    damage: str = ""
    _watchers: list[Watcher] = field(default_factory=list)

    @classmethod
    async def over(cls, url: str, prefix: str, directory: Path) -> Stand:
        """A stand over a server."""
        queue = Queue.over(connect(url), url, prefix)
        await queue.refresh_streams()
        return cls(queue, directory)

    def damaged(self, why: str) -> None:
        """Say that this test breaks the queue by hand, so that it need not be sound at the end."""
        self.damage = why

    def settings(self, *, url: str | None = None, state: str = "state", **more: str) -> Settings:
        """Settings of a watcher of this queue; `url` of a proxy, `state` for a host of its own."""
        home = self.directory / state
        home.mkdir(exist_ok=True)
        given = {"REDIS_URL": url or self.queue.url, "JOBS_PREFIX": self.queue.keys.prefix, **TIMES, **more}
        given.setdefault("WATCHER_OUTPUT_ROOT", str(self.directory / "output"))
        return settings_in(home, **given)

    def watcher(
        self,
        name: str = "w",
        *,
        execution: Execute | Mapping[str, Execute] | None = None,
        clock: Clock | None = None,
        backends: Callable[[Settings], Sequence[Backend]] | None = None,
        conducting: Callable[[Settings], ConductorSetup] | None = None,
        url: str | None = None,
        state: str = "state",
        **more: str,
    ) -> Watcher:
        """A watcher, not started; `execution` by the name of a backend where there are several."""
        settings = self.settings(url=url, state=state, **more)
        made = Watcher(
            settings,
            name,
            execution=execution,
            clock=clock,
            backends=backends and backends(settings),
            conducting=conducting and conducting(settings),
        )
        self._watchers.append(made)
        return made

    async def submit(self, *rows: dict[str, Any], backlog: str = "default") -> list[str]:
        """Submit jobs; the codes."""
        catalogue = wiring.catalogue(self.settings())
        jobs = [submission_of(normalize_job_spec(row, catalogue=catalogue), catalogue, backlog=backlog) for row in rows]
        return [reply.code for reply in await producing.submit(self.queue, jobs)]

    async def debug(self, *request_ids: str, backlog: str = "default", **more: Any) -> None:
        """Submit jobs that end at once."""
        rows = [{"request_id": each, "task": "debug", "payload": {}, **more} for each in request_ids]
        assert set(await self.submit(*rows, backlog=backlog)) == {"queued"}

    async def sleep(self, request_id: str, seconds: float = 60.0, **more: Any) -> None:
        """Submit a job that waits."""
        row = {"request_id": request_id, "task": "sleep", "payload": {"seconds": seconds}, **more}
        assert await self.submit(row) == ["queued"]

    async def cancel(self, request_id: str) -> str:
        """Cancel the generation that is there now."""
        row = await self.row(request_id)
        wish = Cancellation(
            request_id, row.generation if row else "1", json.dumps({"request_id": request_id})[1:].encode()
        )
        return (await producing.cancel(self.queue, [wish]))[0]

    async def row(self, request_id: str) -> Row | None:
        """A job's row of the index."""
        raw = await self.queue.client.hget(self.queue.keys.of("index"), request_id)
        return parse_row(text(raw)) if raw else None

    async def suspect(self, *request_ids: str, deaths: int = 2) -> None:
        """Let active jobs have been running at so many deaths of their watcher."""
        index = self.queue.keys.of("index")
        for each in request_ids:
            raw = await self.queue.client.hget(index, each)
            assert raw is not None
            state, generation, attempt, _, *rest = text(raw).split("|")
            await self.queue.client.hset(index, each, "|".join([state, generation, attempt, str(deaths), *rest]))

    async def record(self, request_id: str) -> dict[str, Any] | None:
        """A job's terminal record, None while there is none."""
        for name in ("result", "failed"):
            raw = await self.queue.client.hget(self.queue.keys.of(name), request_id)
            if raw:
                found: dict[str, Any] = json.loads(raw)
                return found
        return None

    async def ended(self, *request_ids: str, seconds: float = 15.0) -> list[dict[str, Any]]:
        """Wait until every job has its record."""

        async def all_there() -> list[dict[str, Any]]:
            found = [await self.record(each) for each in request_ids]
            return [record for record in found if record] if all(found) else []

        return await wait_until(all_there, seconds, what=f"records of {request_ids}")

    async def leased(self, *request_ids: str, seconds: float = 15.0) -> None:
        """Wait until every job is leased."""

        async def all_leased() -> bool:
            rows = [await self.row(each) for each in request_ids]
            return all(row is not None and row.state == "L" for row in rows)

        await wait_until(all_leased, seconds, what=f"leases of {request_ids}")

    async def member(self, session: str) -> bool:
        """Whether a session stands."""
        return await self.queue.client.zscore(self.queue.keys.of("sessions"), session) is not None

    async def member_named(self, name: str) -> bool:
        """Whether a watcher of this name stands."""
        members: Any = await self.queue.client.zrange(self.queue.keys.of("sessions"), 0, -1)
        return any(text(member).startswith(f"{name}:") for member in members)

    async def evict(self, session: str) -> None:
        """End a session by hand, as a reap would."""
        await self.queue.client.zrem(self.queue.keys.of("sessions"), session)

    async def told(self, kind: str) -> list[str]:
        """Every request_id that `events` named under one type."""
        page: Any = await self.queue.client.xrange(self.queue.keys.of("events"))
        return [each for _, fields in page if fields[b"type"] == kind.encode() for each in json.loads(fields[b"ids"])]

    async def add(self, key: str, fields: dict[Any, Any]) -> str:
        """XADD to a full key; the entry's id."""
        entry: Any = await self.queue.client.xadd(key, fields)
        return text(entry)

    async def length(self, stream: str) -> int:
        """Entries of an intake or a lane."""
        return int(await self.queue.client.xlen(self.queue.keys.stream(stream)))

    async def outbox(self) -> int:
        """Entries still to be published."""
        return int(await self.queue.client.xlen(self.queue.keys.of("outbox")))

    async def outbox_empty(self) -> bool:
        """Whether nothing is left to be published."""
        return await self.outbox() == 0

    async def all_calls(self) -> dict[str, int]:
        """How often the server has run each command, those inside scripts included."""
        stats: dict[str, Any] = await self.queue.client.info("commandstats")
        return {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}

    async def calls(self, *commands: str) -> int:
        """How often the server has run commands; all of them, scripts' own included, when none is named."""
        stats: dict[str, Any] = await self.queue.client.info("commandstats")
        counted = {name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()}
        return sum(counted.get(name, 0) for name in commands) if commands else sum(counted.values())

    async def check(self) -> Truth:
        """Everything that must be true of a sound queue."""
        truth = await read_truth(self.queue)
        assert contradictions(truth) == []
        assert imbalance(truth) == 0, f"promise 8: {truth}"
        return truth

    async def aclose(self) -> None:
        """Stop every watcher, look whether the queue is sound, remove it."""
        for each in self._watchers:
            await each.aclose()
        try:
            truth = await self.check() if not self.damage else await read_truth(self.queue)
            if truth.keys:
                await self.queue.client.unlink(*truth.keys)
        finally:
            await self.queue.client.aclose()
