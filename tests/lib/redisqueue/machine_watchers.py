"""What watchers, their zombies, and the duties that everybody takes in turn may do, in any order.

Time is aged in place: a session lapses or an outage passes because its stored time is changed. A zombie is any lease
ever given, used again. Called by `machine.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from lib.jobqueue.outbox import OutboxEntry
from lib.jobqueue.protocol import Ending, Lease, Progress, Retry, Verdict
from lib.redisqueue import leasing, sessions, upkeep
from tests.conformance.stage import LIFE_MS, tail
from tests.conformance.truth import text
from tests.lib.redisqueue.machine_ground import HOUR_MS, IDS, LANES, LOST, PICK, Ground
from tests.lib.redisqueue.model import POISON

if TYPE_CHECKING:
    from lib.jobqueue.protocol import EndStatus, RetryKind
    from tests.conformance.truth import Truth

WATCHERS = st.sampled_from(["w1", "w2", "w3"])


class WatcherRules(Ground):
    """Sessions, leases, and whatever a lease may say."""

    # Watchers.

    @rule(name=WATCHERS)
    def open(self, name: str) -> None:
        """A watcher starts, or restarts and ends its former session."""
        previous = next((old for old in self.model.alive if old.startswith(f"{name}:")), "")
        session = self.run(self.stage.open(name, previous=previous))
        self.model.alive = self.model.alive - {previous} | {session}
        self.model.lapsed.discard(previous)
        self.current[name] = session
        self.in_hand[session] = set()

    @rule(name=WATCHERS)
    def lapse(self, name: str) -> None:
        """A watcher is killed or cut off: its session reaches its end."""
        session = self.current.get(name, "")
        if session in self.model.alive:
            self.run(self.stage.lapse(session))
            self.model.lapsed.add(session)

    @rule(name=WATCHERS)
    def renew(self, name: str) -> None:
        """Back in touch: a member lives on, and learns which of its leases no longer stand."""
        session = self.current.get(name, "")
        held = [lease for owner, lease in self.granted if owner == session]
        renewed = self.run(
            sessions.renew(self.stage.queue, session, name=name, life_ms=LIFE_MS, heartbeat=b'"slots":1}', held=held)
        )
        assert renewed.alive == (session in self.model.alive)
        if renewed.alive:
            self.model.lapsed.discard(session)
            gone = {lease.fence for lease in held if not self.model.stands(session, lease.request_id, lease.fence)}
            assert set(renewed.lost) == gone

    @rule(gap=st.sampled_from([HOUR_MS, -HOUR_MS]))
    def outage(self, gap: int) -> None:
        """The server was not seen for an hour, or its clock was stepped back: every stored time is that much off.

        A sweep sees only the sum since the last one, so a clock that steps back and then again is beyond the promise.
        """
        if self.stepped_back or (gap < 0 and self.away):
            return
        self.away, self.stepped_back = True, gap < 0
        self.run(self._shift(gap))

    async def _shift(self, gap: int) -> None:
        client, keys = self.stage.queue.client, self.stage.queue.keys
        at = await client.hget(keys.of("sweep"), "at")
        if at is None:
            return
        await client.hset(keys.of("sweep"), "at", str(int(at) - gap))
        members: Any = await client.zrange(keys.of("sessions"), 0, -1)
        for session in members:
            await client.zincrby(keys.of("sessions"), -gap, session)

    @rule(name=WATCHERS, lane=st.sampled_from(LANES))
    def deliver(self, name: str, lane: str) -> None:
        """A blocked read gets one entry: pending, not leased."""
        session = self.current.get(name, "")
        if session not in self.model.alive:
            return
        fresh = self._undelivered(self.see(), lane)[:1]
        got = self.run(leasing.wait_for_entries(self.stage.queue, self.stage.queue.client, session, [lane], block_ms=1))
        assert len(got) == len(fresh)
        for request_id in fresh:
            self.model.jobs[request_id].delivered = session

    def _undelivered(self, truth: Truth, lane: str) -> list[str]:
        ids = [fields["id"] for fields in truth.lanes[lane].values()]
        return [request_id for request_id in ids if not self.model.jobs[request_id].delivered]

    @rule(name=WATCHERS, read=st.integers(1, 3), suspects=st.integers(0, 1), lost=LOST)
    def start(self, name: str, read: int, suspects: int, lost: bool) -> None:  # noqa: FBT001 - ditto
        """Lease new entries; a lost reply leaves leases that nobody holds in hand."""
        session = self.current.get(name, "")
        if session not in self.model.alive:
            return
        truth = self.see()
        wanted = [request_id for lane in LANES for request_id in self._undelivered(truth, lane)][:read]
        expected = self.model.start(session, wanted, suspects)
        started = self.run(leasing.start(self.stage.queue, session, LANES, read=read, suspects=suspects))
        self._check_start(session, expected, started.leases, lost=lost)

    @rule(name=WATCHERS, suspects=st.integers(0, 1), everything=st.booleans())
    def recover(self, name: str, suspects: int, everything: bool) -> None:  # noqa: FBT001 - ditto
        """Compare the own pending entries with what is in hand, and start the rest again."""
        session = self.current.get(name, "")
        if session not in self.model.alive:
            return
        truth = self.see()
        pending = self.run(leasing.pending_entries(self.stage.queue, session, LANES))
        by_place = {(lane, entry): fields["id"] for lane in LANES for entry, fields in truth.lanes[lane].items()}
        wanted = [place for place in pending if everything or by_place[place] not in self.in_hand[session]]
        expected = self.model.start(session, [by_place[place] for place in wanted], suspects)
        started = self.run(
            leasing.start(self.stage.queue, session, LANES, entries=wanted, suspects=suspects, again=True)
        )
        self._check_start(session, expected, started.leases, lost=False)

    def _check_start(self, session: str, expected: dict[str, str], leases: tuple[Lease, ...], *, lost: bool) -> None:
        got = {lease.request_id for lease in leases}
        assert got == {request_id for request_id, code in expected.items() if code == "started"}
        self.see()
        for lease in leases:
            job = self.model.jobs[lease.request_id]
            assert (lease.fence, lease.attempts_used, lease.deaths) == (job.fence, job.attempt, job.deaths)
            if not lost:
                self.granted.append((session, lease))
                self.in_hand[session].add(lease.request_id)

    # Everything that a lease may say, by its owner or by a zombie with an old fence.

    @precondition(lambda self: self.granted)
    @rule(pick=PICK, status=st.sampled_from(["done", "failed"]), publish=st.booleans(), lost=LOST)
    def commit(self, pick: int, status: EndStatus, publish: bool, lost: bool) -> None:  # noqa: FBT001 - ditto
        """End it."""
        session, lease = self.lease_of(pick)
        ending = Ending(lease.request_id, lease.fence, status, tail(lease.request_id), 60_000 * publish, publish)
        for _ in range(1 + lost):
            expected = self.model.commit(session, lease.request_id, lease.fence, status)
            assert self.run(self.stage.finish(session, ending)) == [expected]

    @precondition(lambda self: self.granted)
    @rule(pick=PICK, kind=st.sampled_from(["attempt", "crash", "free"]), at_once=st.booleans(), lost=LOST)
    def retry(self, pick: int, kind: RetryKind, at_once: bool, lost: bool) -> None:  # noqa: FBT001 - ditto
        """Try it again later."""
        session, lease = self.lease_of(pick)
        again = Retry(lease, kind, 0 if at_once else HOUR_MS)
        for _ in range(1 + lost):
            expected = self.model.retry(session, lease.request_id, lease.fence, kind, at_once=at_once)
            assert self.run(leasing.retry(self.stage.queue, session, [again])) == [expected]

    @precondition(lambda self: self.granted)
    @rule(pick=PICK, lost=LOST)
    def hand_back(self, pick: int, lost: bool) -> None:  # noqa: FBT001 - ditto
        """Give it back."""
        session, lease = self.lease_of(pick)
        for _ in range(1 + lost):
            expected = self.model.hand_back(session, lease.request_id, lease.fence)
            assert self.run(leasing.hand_back(self.stage.queue, session, [lease])) == [expected]

    @precondition(lambda self: self.granted)
    @rule(pick=PICK)
    def progress(self, pick: int) -> None:
        """Say how far it is; an old fence is not heard."""
        session, lease = self.lease_of(pick)
        before = self.see().progress
        report = Progress(lease.request_id, lease.fence, f'{{"fence":{lease.fence}}}'.encode())
        self.run(leasing.report_progress(self.stage.queue, session, [report]))
        if not self.model.stands(session, lease.request_id, lease.fence):
            assert self.see().progress == before

    # What everybody does in turn.

    @rule()
    def sweep(self) -> None:
        """Reap, take back, condemn what is poison."""
        readers = {lane: self.run(self._readers(lane)) for lane in LANES}
        ended = set(self.model.lapsed)
        back, poison = self.model.sweep(readers)
        swept = self.run(self.stage.sweep())
        self.away = self.stepped_back = False
        assert set(swept.ended) == ended, "promise 6: somebody alive was ended, or somebody dead was spared"
        assert swept.put_back == len(back)
        assert {found.request_id for found in swept.poison} == set(poison), "promise 7"
        for found in swept.poison:
            name = found.request_id
            verdict = Verdict(name, found.generation, found.lane, found.entry, tail(name))
            assert self.run(upkeep.condemn(self.stage.queue, [verdict])) == [True]
            self.model.finish(name, "failed")
            self.see()
        latest = self.run(self.stage.now_ms()) + LIFE_MS
        for session, end in self.see().sessions.items():
            assert end <= latest, f"{session} was given more than one life"

    async def _readers(self, lane: str) -> set[str]:
        found = await self.stage.queue.client.xinfo_consumers(self.stage.queue.keys.stream(lane), "watchers")
        return {text(item["name"]) for item in found}

    @rule(request_id=IDS)
    def many_deaths_ago(self, request_id: str) -> None:
        """Age a leased job to one death before the last that it may have."""
        job = self.model.jobs.get(request_id)
        if job and job.state == "L":
            job.deaths = POISON - 1
            raw = self.run(self._index_row(request_id)).split("|")
            raw[3] = str(job.deaths)
            self.run(self._write_row(request_id, "|".join(raw)))

    async def _index_row(self, request_id: str) -> str:
        return text(await self.stage.queue.client.hget(self.stage.queue.keys.of("index"), request_id) or b"")

    async def _write_row(self, request_id: str, raw: str) -> None:
        await self.stage.queue.client.hset(self.stage.queue.keys.of("index"), request_id, raw)

    @rule(request_id=IDS)
    def expire(self, request_id: str) -> None:
        """A record's own TTL passes."""
        client, keys = self.stage.queue.client, self.stage.queue.keys
        ends = request_id in self.see().expiry
        if ends:
            self.run(self._expire_now(client, keys.of("expiry"), request_id))
            del self.model.records[request_id]
            self.model.expired += 1
        assert self.run(upkeep.expire(self.stage.queue)) == ends

    @staticmethod
    async def _expire_now(client: Any, key: str, request_id: str) -> None:
        await client.zadd(key, {request_id: 1}, xx=True)

    @rule(pick=PICK, current=st.booleans())
    def publish(self, pick: int, current: bool) -> None:  # noqa: FBT001 - ditto
        """Make a published name equal the record, or a copy of one that is over."""
        outbox = self.run(upkeep.read_outbox(self.stage.queue))
        if not outbox:
            return
        entry = outbox[pick % len(outbox)]
        record = self.model.records.get(entry.request_id)
        stands = record if record and record.status == "done" else None
        fence = stands.fence if stands and current else entry.fence
        expected = "gone" if stands is None else "ok" if fence == stands.fence else "changed"
        copied = OutboxEntry(entry.entry, entry.request_id, fence, entry.session)
        assert self.run(upkeep.publish(self.stage.queue, [copied])) == [expected]
        assert (entry in self.run(upkeep.read_outbox(self.stage.queue))) == (expected == "changed")
