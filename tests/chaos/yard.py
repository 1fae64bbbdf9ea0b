"""A place for a test with a real server and real watchers, which it may harm: what all tests of this folder ask.

Jobs go in by the queue's own submit; what became of them is read by plain commands and checked at the end of
every test against `tests.conformance.truth`, which knows the contract and not the code.
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from lib.errors import UnreachableError
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing, sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.fsck import fsck
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of
from tests.chaos.tasks import TASKS as GATED
from tests.conformance import truth
from tests.support.tasks import TASKS as MISBEHAVING
from tests.support.wait import wait_until
from tests.support.watchers import START_DEADLINE_SECONDS, WatcherProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.servers import RealServer

CATALOGUE = BUILT_IN.with_kinds(*(task.kind for task in (*GATED, *MISBEHAVING)))
MODULES = "tests.chaos.tasks,tests.support.tasks"

# As short as a watcher on a busy machine can keep: most tests here wait for the end of a life. A watcher that is told
# nothing has the times of tests.support.watchers, and those of the chaos machine are part of what its seeds mean.
YARD_LIFE_SECONDS = 2.4
YARD_SWEEP_SECONDS = 0.6
YARD_RENEW_SECONDS = 0.3
TIMES = {
    "WATCHER_SESSION_TTL": str(YARD_LIFE_SECONDS),
    "WATCHER_SESSION_RENEW_EVERY": str(YARD_RENEW_SECONDS),
    "WATCHER_POLL_INTERVAL": str(YARD_SWEEP_SECONDS),
}

PAST_LIFE_SECONDS = YARD_LIFE_SECONDS + 2 * YARD_SWEEP_SECONDS
"""Longer than any session lives that is not renewed, and than the sweep that would find it."""

# What a promise of L + S may take on a machine where everything else runs at the same time.
SLACK_SECONDS = 10.0
RECOVERY_SECONDS = YARD_LIFE_SECONDS + YARD_SWEEP_SECONDS + SLACK_SECONDS


@dataclass
class Yard:
    """One server, one queue on it, and the watchers that were started."""

    server: RealServer
    queue: Queue
    home: Path
    watchers: list[WatcherProcess] = field(default_factory=list)
    harmed: str = ""
    """Why conservation cannot hold in this test; empty when it must."""

    @property
    def prefix(self) -> str:
        """Of every key."""
        return self.queue.keys.prefix

    def watcher(
        self, name: str, *, url: str = "", host: str = "host", slots: int = 2, **environ: str
    ) -> WatcherProcess:
        """A watcher that is not started yet; `host` names its state directory."""
        process = WatcherProcess(
            name,
            url or self.server.url,
            self.prefix,
            self.home / host,
            {"METAL_CONCURRENCY": str(slots), "JOBS_TASK_MODULES": MODULES, **TIMES, **environ},
        )
        self.watchers.append(process)
        return process

    async def started(self, name: str, *, failpoint: str = "", **more: Any) -> WatcherProcess:
        """A watcher whose session stands."""
        watcher = self.watcher(name, **more)
        watcher.start(failpoint=failpoint)
        await self.opened(watcher)
        return watcher

    async def opened(self, watcher: WatcherProcess) -> str:
        """Wait until a session of this very process stands; the session."""

        async def mine() -> str:
            assert watcher.running, f"{watcher.name} has ended: {watcher.log[-2000:]}"
            beat = await self.heartbeat(watcher.name)
            session = str(beat.get("session", ""))
            return session if beat.get("pid") == watcher.pid and session in await self.members() else ""

        return await wait_until(mine, START_DEADLINE_SECONDS, what=f"the session of {watcher.name}")

    async def reaped(self, session: str, deadline_seconds: float = RECOVERY_SECONDS) -> None:
        """Wait until a session is no member any more."""

        async def gone() -> bool:
            return session not in await self.members()

        await wait_until(gone, deadline_seconds, what=f"the end of session {session}")

    async def heartbeat(self, name: str) -> dict[str, Any]:
        """What a watcher last said of itself; empty when it said nothing."""
        raw: Any = await self.queue.client.hget(self.queue.keys.of("heartbeat"), name)
        found: dict[str, Any] = json.loads(raw) if raw else {}
        return found

    async def session(self, name: str) -> str:
        """The session that a watcher has now."""
        return str((await self.heartbeat(name)).get("session", ""))

    async def members(self) -> frozenset[str]:
        """All sessions that stand."""
        return await sessions.live_sessions(self.queue)

    async def submit(self, *rows: dict[str, Any]) -> list[str]:
        """Queue jobs; the codes."""
        jobs = [submission_of(normalize_job_spec(row, catalogue=CATALOGUE), CATALOGUE) for row in rows]
        return [reply.code for reply in await producing.submit(self.queue, jobs)]

    async def submitted(self, *rows: dict[str, Any]) -> None:
        """Queue jobs, again and again until the server takes them."""

        async def taken() -> bool:
            try:
                return bool(await self.submit(*rows))
            except UnreachableError:
                return False

        await wait_until(taken, 60, what="a server that takes jobs")

    def gated(self, request_id: str, *, gate: str = "", child: bool = False, **more: Any) -> dict[str, Any]:
        """A job that waits for the gate of this name, its runs counted."""
        payload = {"run_log": str(self._run_log(request_id)), **more.pop("payload", {})}
        if gate:
            payload["gate"] = str(self.home / "gates" / gate)
        task = "gated_child" if child else "gated"
        return {"request_id": request_id, "task": task, "payload": payload, **more}

    def open_gate(self, gate: str) -> None:
        """Let the bodies that wait for it end."""
        (self.home / "gates" / gate).touch()

    def runs(self, request_id: str) -> int:
        """How often the body of a job has begun."""
        log = self._run_log(request_id)
        return len(log.read_text().splitlines()) if log.exists() else 0

    async def runs_reach(self, request_id: str, count: int, deadline_seconds: float = 60) -> None:
        """Wait until the body of a job has begun `count` times."""
        await wait_until(lambda: self.runs(request_id) >= count, deadline_seconds, what=f"run {count} of {request_id}")

    def _run_log(self, request_id: str) -> Path:
        return self.home / "runs" / request_id

    async def records(self) -> dict[str, dict[str, Any]]:
        """Every terminal record by id; one in both hashes fails."""
        client, key = self.queue.client, self.queue.keys.of
        found: dict[str, dict[str, Any]] = {}
        for name in ("result", "failed"):
            page: Any = await client.hgetall(key(name))
            for request_id, raw in page.items():
                assert truth.text(request_id) not in found, f"{request_id!r} has two records"
                found[truth.text(request_id)] = json.loads(raw)
        return found

    async def record(self, request_id: str, deadline_seconds: float = 60) -> dict[str, Any]:
        """Wait until a job has a record."""

        async def found() -> dict[str, Any]:
            return (await self.records()).get(request_id, {})

        return await wait_until(found, deadline_seconds, what=f"a record of {request_id}")

    async def all_done(self, *request_ids: str, deadline_seconds: float = 60) -> dict[str, dict[str, Any]]:
        """Wait until all of these have records, every one `done`."""

        async def ended() -> bool:
            return set(request_ids) <= (await self.records()).keys()

        await wait_until(ended, deadline_seconds, what=f"records of {request_ids}")
        records = {request_id: (await self.records())[request_id] for request_id in request_ids}
        assert {each["status"] for each in records.values()} == {"done"}, records
        return records

    async def row(self, request_id: str) -> truth.Row | None:
        """The active row of a job."""
        raw: Any = await self.queue.client.hget(self.queue.keys.of("index"), request_id)
        return truth.parse_row(truth.text(raw)) if raw else None

    async def leased(self, request_id: str) -> truth.Row:
        """Wait until a job is leased; its row."""

        async def row() -> truth.Row | None:
            found = await self.row(request_id)
            return found if found is not None and found.state == "L" else None

        found = await wait_until(row, 60, what=f"the lease of {request_id}")
        assert found is not None
        return found

    async def history(self, status: str) -> list[str]:
        """The ids in one history, oldest first: an id that ended twice is in it twice."""
        page: Any = await self.queue.client.xrange(self.queue.keys.of(truth.HISTORIES[status]))
        return [truth.text(fields[b"id"]) for _, fields in page]

    async def queued_since(self, request_id: str, since_ms: int) -> int:
        """When a job came into intake after `since_ms`, server time; 0 when it did not."""
        page: Any = await self.queue.client.xrange(self.queue.keys.of("events"), min=str(since_ms))
        for entry, fields in page:
            if fields[b"type"] == b"queued" and request_id in json.loads(fields[b"ids"]):
                return int(truth.text(entry).partition("-")[0])
        return 0

    async def published(self, output_name: str, content: str, *, by: WatcherProcess) -> None:
        """Wait until an output stands under its published name and nothing is left to publish."""
        place = by.state_dir / "output" / output_name / "best.wav"

        async def nothing_left() -> bool:
            return place.exists() and await self.queue.client.xlen(self.queue.keys.of("outbox")) == 0

        await wait_until(nothing_left, 60, what=f"{place} and an empty outbox")
        assert place.read_text() == content

    async def time_ms(self) -> int:
        """The server's clock."""
        return await sessions.server_time_ms(self.queue)

    async def answers(self) -> None:
        """Wait until the server answers this test again, over a new connection where the old one broke."""

        async def pong() -> bool:
            try:
                return bool(await self.queue.client.ping())
            except RedisError:
                return False

        await wait_until(pong, 30, what="the server")

    async def pass_a_life(self) -> None:
        """Let more time go by than a session lives without renewal; the outage itself is what is tested."""
        end = time.monotonic() + PAST_LIFE_SECONDS
        await wait_until(lambda: time.monotonic() > end, PAST_LIFE_SECONDS + 5)

    def end_watchers(self) -> None:
        """SIGKILL every watcher that runs, by its own pid."""
        for watcher in self.watchers:
            watcher.kill()

    async def check(self) -> None:
        """The queue contradicts itself nowhere and has lost nothing; call it when no watcher runs."""
        await self.queue.refresh_streams()
        seen = await truth.read_truth(self.queue)
        if self.harmed:
            return
        assert truth.contradictions(seen) == []
        assert truth.imbalance(seen) == 0, f"accepted and not accounted for: {truth.imbalance(seen)}"
        assert truth.unknown_keys(self.queue, seen) == set()
        assert await fsck(self.queue, repair=False) == []

    @asynccontextmanager
    async def moved_to(self, server: RealServer) -> AsyncIterator[Yard]:
        """The same place with another server, for as long as that one runs."""
        client = connect(server.url)
        queue = Queue.over(client, server.url, self.prefix)
        await queue.refresh_streams()
        there = Yard(server, queue, self.home, self.watchers)
        try:
            yield there
            there.end_watchers()
            await there.check()
        finally:
            there.end_watchers()
            await client.aclose()
