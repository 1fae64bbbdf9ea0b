"""Paid calls for tests: jobs on the cloud's lane, their calls, and a time that is moved by hand.

Nothing waits: what the server remembers by its clock is made older instead.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.jobqueue.moves import Move, RateLimits
from lib.redisqueue import conducting, quota, sessions, spend
from lib.redisqueue.quota import Allowance, PaidCall, Pool
from tests.conformance.stage import CLOUD, METAL, submission

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease
    from lib.redisqueue.quota import Granted
    from tests.conformance.stage import Stage

FLASH = Pool("k1", "gemini-flash")


@dataclass
class Paying:
    """One watcher with jobs on the cloud."""

    stage: Stage
    session: str = ""
    leases: dict[str, Lease] = field(default_factory=dict)
    calls: int = 0

    async def job(self, request_id: str, *, price: int = 0, budget: int | None = None, lane: str = CLOUD) -> Lease:
        """A job that is leased on the cloud, with so much reserved for it by the move."""
        stage = self.stage
        if not self.session:
            self.session = await stage.open("payer")
        assert await stage.codes(submission(request_id)) == ["queued"]
        if not stage.epoch:
            await stage.lead()
        await sessions.ensure_lanes(stage.queue, sorted({METAL, CLOUD, lane}))
        order = Move("stream", lane, 1, 1000, (lane,), 1000, price=price)
        limits = RateLimits(jobs=1_000_000, window_ms=60_000, budget=budget)
        moved = await conducting.move(stage.queue, stage.leader, stage.epoch, [order], limits=limits)
        assert moved.counts == (1,), "no room or no money for the move"
        (lease,) = await stage.start(self.session, lane=lane)
        self.leases[request_id] = lease
        return lease

    def call(self, request_id: str = "a", **more: Any) -> PaidCall:
        """The next call of a job."""
        self.calls += 1
        lease = self.leases[request_id]
        values: dict[str, Any] = {
            "call_id": f"{lease.fence}.{self.calls}",
            "pool": FLASH,
            "allowance": Allowance(),
            "session": self.session,
            "request_id": request_id,
            "fence": lease.fence,
            "tokens": 100,
            "micro": 10,
        }
        return PaidCall(**(values | more))

    async def take(self, request_id: str = "a", **more: Any) -> Granted:
        """Ask for the next call of a job."""
        return await quota.take(self.stage.queue, self.call(request_id, **more))

    async def grant(self, request_id: str = "a", **more: Any) -> str:
        """A call that must be granted; its id."""
        call = self.call(request_id, **more)
        answer = await quota.take(self.stage.queue, call)
        assert answer.reason is None, answer
        return call.call_id

    async def pass_ms(self, milliseconds: int) -> None:
        """Let so much time pass for everything that the quota remembers."""
        client, key = self.stage.queue.client, self.stage.queue.keys.of
        grants: Any = await client.zrange(key("quota_grants"), 0, -1, withscores=True)
        if grants:
            await client.zadd(key("quota_grants"), {member: score - milliseconds for member, score in grants})
        fields: Any = await client.hgetall(key("quota"))
        for name, raw in fields.items():
            if name.startswith((b"closed ", b"full ", b"quiet")):
                await client.hset(key("quota"), name, str(int(raw) - milliseconds))
            if name.startswith(b"next "):
                need, rank, until, who = raw.decode().split("|", 3)
                await client.hset(key("quota"), name, f"{need}|{rank}|{int(until) - milliseconds}|{who}")

    async def money(self) -> tuple[int, int]:
        """Settled today, and reserved."""
        today = await spend.today(self.stage.queue)
        return today.settled, today.reserved

    async def open(self) -> dict[str, int]:
        """What each reservation has left, by its name."""
        fields: Any = await self.stage.queue.client.hgetall(self.stage.queue.keys.of("spend_open"))
        return {name.decode(): int(raw.split(b"|")[0]) for name, raw in fields.items() if name != b"sum"}
