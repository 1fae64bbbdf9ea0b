"""A queue of its own for one test, and the few moves that bring jobs where a test needs them.

Time is never waited for: leases, sessions and delays are aged in place. Called by the conformance suite and by the
tests of fsck.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.jobqueue.moves import Move, Moved
from lib.jobqueue.protocol import Cancellation, Ending, Lease, Submission, SubmitMode, SubmitReply, Swept
from lib.redisqueue import conducting, leasing, producing, sessions, upkeep
from tests.conformance.truth import Row, Truth, contradictions, imbalance, parse_row, read_truth, text, unknown_keys

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.jobqueue.protocol import EndStatus
    from lib.redisqueue.queue import Queue

METAL = "lane:metal:speech"
CLOUD = "lane:cloud:speech"
LIFE_MS = 20_000
INTERVAL_MS = 5_000


def submission(request_id: str, *, content: str = "a", **more: Any) -> Submission:
    """A job whose identity is made of its content."""
    job = json.dumps({"request_id": request_id, "text": content}).encode()
    return Submission(request_id, f"hash-{content}", job, **{"intake": "stream", **more})


def tail(request_id: str) -> bytes:
    """The part of a record that is built outside the queue."""
    return json.dumps({"request_id": request_id})[1:].encode()


def ending(lease: Lease, status: EndStatus = "done", **more: Any) -> Ending:
    """How a lease ends."""
    return Ending(lease.request_id, lease.fence, status, tail(lease.request_id), **more)


@dataclass
class Stage:
    """One queue on one server, with a leader that moves."""

    queue: Queue
    server: str
    damage: str = ""
    epoch: str = ""
    leader: str = ""
    expected_foreign: int = 0
    _opened: dict[str, int] = field(default_factory=dict)

    def damaged(self, why: str) -> None:
        """Say that this test breaks the queue by hand, so that it need not be sound at the end."""
        self.damage = why

    async def submit(self, *jobs: Submission, mode: SubmitMode = "new") -> list[SubmitReply]:
        """Submit, all replies."""
        return await producing.submit(self.queue, jobs, mode=mode)

    async def codes(self, *jobs: Submission, mode: SubmitMode = "new") -> list[str]:
        """Submit, only the codes."""
        return [reply.code for reply in await self.submit(*jobs, mode=mode)]

    async def open(self, name: str = "w", *, previous: str = "", life_ms: int = LIFE_MS) -> str:
        """Open the next session of a watcher."""
        self._opened[name] = self._opened.get(name, 0) + 1
        session = f"{name}:{self._opened[name]}"
        await sessions.open_session(
            self.queue, session, name=name, previous=previous, life_ms=life_ms, heartbeat=b'"slots":1}'
        )
        return session

    async def lead(self) -> None:
        """Become the leader, under a session that only leads."""
        self.leader = await self.open("leader")
        self.epoch = (await sessions.lead(self.queue, self.leader)).epoch

    async def order(self, *moves: Move) -> Moved:
        """Carry out orders as the leader."""
        if not self.epoch:
            await self.lead()
        await sessions.ensure_lanes(self.queue, sorted({METAL, CLOUD} | {move.lane for move in moves}))
        return await conducting.move(self.queue, self.leader, self.epoch, moves)

    async def move(
        self, intake: str = "stream", lane: str = METAL, *, count: int = 5_000, limit: int = 100_000
    ) -> Moved:
        """Move the head of an intake to a lane, with room to spare."""
        return await self.order(Move(intake, lane, count, limit, (lane,), limit))

    async def lease(self, session: str, *request_ids: str, lane: str = METAL, **more: Any) -> list[Lease]:
        """Submit, move and start jobs; the leases in the order given."""
        jobs = [submission(request_id, **more) for request_id in request_ids]
        assert set(await self.codes(*jobs)) == {"queued"}
        for intake in sorted({job.intake for job in jobs}):
            await self.move(intake, lane)
        return await self.start(session, lane=lane, read=len(jobs))

    async def start(self, session: str, *, lane: str = METAL, read: int = 5_000, suspects: int = 1) -> list[Lease]:
        """Start what is new in a lane."""
        return list((await leasing.start(self.queue, session, [lane], read=read, suspects=suspects)).leases)

    async def finish(self, session: str, *endings: Ending) -> list[str]:
        """Commit, only the codes."""
        return [done.code for done in await leasing.commit(self.queue, session, endings)]

    async def cancel(self, request_id: str) -> str:
        """Cancel the generation that is there now."""
        row = await self.row(request_id)
        wish = Cancellation(request_id, row.generation if row else "1", tail(request_id))
        return (await producing.cancel(self.queue, [wish]))[0]

    async def now_ms(self) -> int:
        """The server's clock."""
        seconds, micros = await self.queue.client.time()
        return int(seconds) * 1000 + int(micros) // 1000

    async def lapse(self, *gone: str) -> None:
        """Let sessions reach their end without a wait."""
        await self.queue.client.zadd(self.queue.keys.of("sessions"), dict.fromkeys(gone, 1))

    async def sweep(self, *, force: bool = True) -> Swept:
        """Sweep now."""
        return await upkeep.sweep(self.queue, interval_ms=INTERVAL_MS, life_ms=LIFE_MS, force=force)

    async def kill(self, session: str) -> Swept:
        """A watcher's death, found by a sweep."""
        await self.lapse(session)
        return await self.sweep()

    async def come_due(self, *request_ids: str) -> None:
        """Let the time of delayed jobs come."""
        await self.queue.client.zadd(self.queue.keys.of("due"), dict.fromkeys(request_ids, 1), xx=True)

    async def row(self, request_id: str) -> Row | None:
        """A job's row of the index."""
        raw = await self.queue.client.hget(self.queue.keys.of("index"), request_id)
        return parse_row(text(raw)) if raw else None

    async def active(self, request_id: str) -> Row:
        """The row of a job that must be active."""
        row = await self.row(request_id)
        assert row, f"{request_id} is not active"
        return row

    async def record(self, request_id: str) -> dict[str, Any]:
        """A job's terminal record."""
        for name in ("result", "failed"):
            raw = await self.queue.client.hget(self.queue.keys.of(name), request_id)
            if raw:
                found: dict[str, Any] = json.loads(raw)
                return found
        raise AssertionError(f"{request_id} has no record")

    async def place(self, request_id: str) -> str:
        """Where an active job stands: state and stream."""
        row = await self.active(request_id)
        return f"{row.state} {row.stream}"

    async def length(self, stream: str) -> int:
        """Entries of an intake or lane."""
        return int(await self.queue.client.xlen(self.queue.keys.stream(stream)))

    async def entries(self, key: str) -> list[dict[str, str]]:
        """The fields of every entry of a fixed stream."""
        page: Any = await self.queue.client.xrange(self.queue.keys.of(key))
        return [{text(name): text(value) for name, value in fields.items()} for _, fields in page]

    async def told(self, kind: str) -> list[str]:
        """Every request_id that `events` named under one type."""
        events = [entry for entry in await self.entries("events") if entry["type"] == kind]
        return [request_id for event in events for request_id in json.loads(event["ids"])]

    async def by_hand(self, fields: dict[Any, Any], *, stream: str = "stream", entry: str = "*") -> str:
        """Add an entry as another program would."""
        return text(await self.queue.client.xadd(self.queue.keys.stream(stream), fields, id=entry))

    async def pending(self, lane: str = METAL) -> dict[str, str]:
        """Entry -> consumer of a lane's group."""
        return (await read_truth(self.queue)).pending[lane]

    async def check(self) -> Truth:
        """Everything that must be true of a sound queue."""
        truth = await read_truth(self.queue)
        assert not unknown_keys(self.queue, truth), "keys that nobody declared"
        assert contradictions(truth) == []
        assert imbalance(truth) == 0, f"promise 8: {truth}"
        return truth


def by_id(leases: Sequence[Lease]) -> dict[str, Lease]:
    """Leases by request_id."""
    return {lease.request_id: lease for lease in leases}
