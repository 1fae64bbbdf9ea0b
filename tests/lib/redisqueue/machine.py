"""Drives a real queue and its model side by side, in any order, and compares them after every step.

Time is aged in place: a session lapses, a delay ends or an outage passes because its stored time is changed. A lost
reply is a call whose answer is thrown away and that is made again. A zombie is any lease ever given, used again.
Called by `test_stateful.py`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lib.jobqueue.protocol import Adoption, Cancellation, Ending, Lease, Move, OutboxEntry, Progress, Retry, Verdict
from lib.redisqueue import conducting, leasing, producing, sessions, upkeep
from tests.conformance.stage import CLOUD, INTERVAL_MS, LIFE_MS, METAL, Stage, submission, tail
from tests.conformance.truth import contradictions, foreign_entries, imbalance, parse_head, read_truth, text
from tests.lib.redisqueue.model import HIGH, POISON, Ask, Job, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lib.jobqueue.protocol import EndStatus, RetryKind, SubmitMode
    from lib.redisqueue.queue import Queue
    from tests.conformance.truth import Truth

T = TypeVar("T")

HOUR_MS = 3_600_000
LANES = (METAL, CLOUD)
IDS = st.sampled_from(["a", "b", "c", "d", "e"])
WATCHERS = st.sampled_from(["w1", "w2", "w3"])
ASKS = st.builds(
    Ask,
    IDS,
    st.sampled_from(["x", "y"]),
    intake=st.sampled_from(["stream", "stream:low:speech"]),
    key=st.sampled_from(["", "", "k", "k|"]),
    queues=st.booleans(),
    later=st.sampled_from([False, False, True]),
)
ORDERS = st.lists(
    st.tuples(st.sampled_from(["stream", "stream:low:speech", HIGH]), st.sampled_from(LANES), st.integers(0, 3)),
    max_size=3,
)
PICK = st.integers(0, 1000)
LOST = st.sampled_from([False, False, True])
LANE_LIMIT, POOL_LIMIT = 4, 6


class QueueMachine(RuleBasedStateMachine):
    """One queue, three watchers, five ids, two conflict keys."""

    def __init__(self, make: Callable[[], Queue]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.current: dict[str, str] = {}
        self.granted: list[tuple[str, Lease]] = []
        self.in_hand: dict[str, set[str]] = {}
        self.foreign: dict[str, Ask | None] = {}
        self.generations: list[tuple[str, str]] = []
        self.sealed: dict[tuple[str, str], str] = {}
        self.tokens: set[str] = set()
        self.stage = self.run(self._begin(make))
        self.truth = self.run(read_truth(self.stage.queue))

    async def _begin(self, make: Callable[[], Queue]) -> Stage:
        stage = Stage(make(), "")
        await stage.queue.client.sadd(stage.queue.keys.of("intakes"), "stream", "stream:low:speech")
        await stage.queue.refresh_streams()
        await sessions.ensure_lanes(stage.queue, LANES)
        await stage.lead()
        return stage

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end on the machine's own loop."""
        return self.runner.run(work)

    def teardown(self) -> None:
        """Leave nothing behind, also on a shared server."""
        self.run(self._end())
        self.runner.close()

    async def _end(self) -> None:
        queue = self.stage.queue
        keys = (await read_truth(queue)).keys
        if keys:
            await queue.client.unlink(*keys)
        await queue.client.aclose()

    # What the machine reads from the server.

    def see(self) -> Truth:
        """Read the server and take over the tokens that only it could make; they must be new and rise."""
        self.truth = self.run(read_truth(self.stage.queue))
        floor = max(map(int, self.tokens), default=0)
        fresh: set[str] = set()
        for request_id, job in self.model.jobs.items():
            row = self.truth.rows.get(request_id)
            assert row, f"{request_id} is not in the index"
            if not job.generation:
                job.generation = row.generation
                self.generations.append((request_id, row.generation))
                fresh.add(row.generation)
            if job.state == "L" and not job.fence:
                job.fence = row.fence
                assert row.fence not in fresh
                fresh.add(row.fence)
        for request_id, record in self.model.records.items():
            if not record.fence:
                record.fence = parse_head(self.truth.all_records[request_id]).fence
                assert record.fence not in fresh
        assert all(int(token) > floor for token in fresh), "promise 4: a token that does not rise"
        self.tokens |= fresh
        return self.truth

    def lease_of(self, pick: int) -> tuple[str, Lease]:
        """Any lease that was ever given, with the session that got it."""
        return self.granted[-1 - pick % len(self.granted)]

    # Producers.

    @rule(asks=st.lists(ASKS, min_size=1, max_size=3), mode=st.sampled_from(["new", "new", "replace"]), lost=LOST)
    def submit(self, asks: list[Ask], mode: SubmitMode, lost: bool) -> None:  # noqa: FBT001 - rules take what is drawn
        """A batch; when its reply is lost it is sent again."""
        for _ in range(1 + lost):
            expected = [self.model.submit(ask, mode) for ask in asks]
            jobs = [self.run(self._submission(ask)) for ask in asks]
            assert self.run(self.stage.codes(*jobs, mode=mode)) == expected
            self.see()

    async def _submission(self, ask: Ask) -> Any:
        return submission(
            ask.request_id,
            content=ask.content,
            intake=ask.intake,
            conflict_key=ask.key,
            on_conflict="queue" if ask.queues else "refuse",
            due_ms=await self.stage.now_ms() + HOUR_MS if ask.later else 0,
            expected_fence=ask.expected,
        )

    @rule(ask=ASKS, stale=st.booleans())
    def again(self, ask: Ask, stale: bool) -> None:  # noqa: FBT001 - ditto
        """Retry a failed record by the fence that a person saw."""
        record = self.model.records.get(ask.request_id)
        fence = "1" if stale or record is None else record.fence
        ask = Ask(ask.request_id, ask.content, ask.intake, ask.key, ask.queues, ask.later, fence)
        expected = self.model.submit(ask, "again")
        assert self.run(self.stage.codes(self.run(self._submission(ask)), mode="again")) == [expected]
        self.see()

    @rule(ask=ASKS, readable=st.booleans())
    def add_by_hand(self, ask: Ask, readable: bool) -> None:  # noqa: FBT001 - ditto
        """Another program XADDs to the inlet."""
        if len(self.foreign) < 5:
            plain = Ask(ask.request_id, ask.content, key=ask.key)
            job = submission(plain.request_id, content=plain.content).job if readable else b"\xff"
            self.foreign[self.run(self.stage.by_hand({"job": job}))] = plain if readable else None

    @rule(request_id=IDS, stale=st.booleans(), lost=LOST)
    def cancel(self, request_id: str, stale: bool, lost: bool) -> None:  # noqa: FBT001 - ditto
        """A person's wish, for the generation that was looked at."""
        job = self.model.jobs.get(request_id)
        generation = "1" if stale or job is None else job.generation
        wish = Cancellation(request_id, generation, tail(request_id), ttl_ms=60_000)
        for _ in range(1 + lost):
            job = self.model.jobs.get(request_id)
            expected = "not_active" if job is None else "cancelled" if generation == job.generation else "changed"
            if expected == "cancelled":
                self.model.finish(request_id, "cancelled")
            assert self.run(producing.cancel(self.stage.queue, [wish])) == [expected]
            self.see()

    @rule(hard=st.booleans(), chance=st.integers(0, 5))
    def flush(self, hard: bool, chance: int) -> None:  # noqa: FBT001 - ditto
        """Now and then somebody empties the queue by force."""
        if chance == 0:
            self.run(producing.flush(self.stage.queue, hard=hard, force=True))
            self.model.flush(hard=hard)
            self.foreign.clear()

    # The leader.

    @rule(orders=ORDERS, lost=LOST)
    def conduct(self, orders: list[tuple[str, str, int]], lost: bool) -> None:  # noqa: FBT001 - ditto
        """Move within the limits, and adopt what was met on the way."""
        truth = self.see()
        room = {lane: LANE_LIMIT - len(truth.lanes[lane]) for lane in LANES}
        pool = POOL_LIMIT - sum(len(truth.lanes[lane]) for lane in LANES)
        waiting = {name: self._placed(truth, name) for name in truth.intakes}
        counts = []
        for intake, lane, count in orders:
            taken = waiting.get(intake, [])[: max(0, min(count, room[lane], pool))]
            for request_id in taken:
                waiting[intake].remove(request_id)
                self.model.jobs[request_id].stream = lane
            room[lane], pool = room[lane] - len(taken), pool - len(taken)
            counts.append(len(taken))
        moves = [Move(intake, lane, count, LANE_LIMIT, LANES, POOL_LIMIT) for intake, lane, count in orders]
        moved = self.run(conducting.move(self.stage.queue, self.stage.leader, self.stage.epoch, moves))
        assert list(moved.counts) == counts
        for found in {entry.entry for entry in moved.foreign}:
            self._adopt(found, 1 + lost)

    @staticmethod
    def _placed(truth: Truth, intake: str) -> list[str]:
        """The jobs of an intake in its order, without the foreign entries between them."""
        entries = truth.intakes[intake].items()
        at = {(row.stream, row.entry): request_id for request_id, row in truth.rows.items() if row.state == "Q"}
        return [at[intake, entry] for entry, _ in entries if (intake, entry) in at]

    def _adopt(self, entry: str, times: int) -> None:
        ask = self.foreign.pop(entry)
        if ask is None:
            name = f"foreign:stream:{entry}"
            adoption, expected = Adoption("stream", entry, name, None, tail(name)), "failed"
            self.model.accepted += 1
            self.model.jobs[name] = Job(name, "lost", "stream")
            self.model.finish(name, "failed")
        else:
            adoption, expected = Adoption("stream", entry, "", self.run(self._submission(ask))), self.model.submit(ask)
        for attempt in range(times):
            codes = self.run(conducting.adopt(self.stage.queue, [adoption]))
            assert codes == [expected if attempt == 0 else "gone"]
        self.see()

    @rule(request_id=IDS)
    def a_delay_ends(self, request_id: str) -> None:
        """The stored time of a delayed job passes."""
        if request_id in self.truth.due:
            self.run(self.stage.come_due(request_id))
            self.model.jobs[request_id].due = True

    @rule()
    def queue_due(self) -> None:
        """The leader queues what is due."""
        expected = self.model.queue_due()
        assert self.run(conducting.queue_due(self.stage.queue)).queued == expected

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
        """The server was not seen for an hour, or its clock was stepped back: every stored time is that much off."""
        self.run(self._shift(gap))

    async def _shift(self, gap: int) -> None:
        client, keys = self.stage.queue.client, self.stage.queue.keys
        at = await client.hget(keys.of("sweep"), "at")
        if at is None:
            return
        await client.hset(keys.of("sweep"), "at", str(int(at) - gap))
        for session in await client.zrange(keys.of("sessions"), 0, -1):
            await client.zincrby(keys.of("sessions"), -gap, session)

    @rule(name=WATCHERS, lane=st.sampled_from(LANES))
    def deliver(self, name: str, lane: str) -> None:
        """A blocked read gets one entry: pending, not leased."""
        session = self.current.get(name, "")
        if session not in self.model.alive:
            return
        fresh = self._undelivered(self.see(), lane)[:1]
        got = self.run(
            leasing.wait_for_entries(self.stage.queue, self.stage.queue.client, session, [lane], block_ms=1)
        )
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
        self._check_start(session, expected, started.leases, len(started.parked), lost=lost)

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
        started = self.run(leasing.start(self.stage.queue, session, LANES, entries=wanted, suspects=suspects))
        self._check_start(session, expected, started.leases, len(started.parked), lost=False)

    def _check_start(
        self, session: str, expected: dict[str, str], leases: tuple[Lease, ...], parked: int, *, lost: bool
    ) -> None:
        got = {lease.request_id for lease in leases}
        assert got == {request_id for request_id, code in expected.items() if code == "started"}
        assert parked == sum(code == "parked" for code in expected.values())
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
        assert set(swept.ended) == ended, "promise 6: somebody alive was ended, or somebody dead was spared"
        assert swept.put_back == len(back)
        assert {found.request_id for found in swept.poison} == set(poison), "promise 7"
        for found in swept.poison:
            name = found.request_id
            verdict = Verdict(name, found.generation, found.lane, found.entry, tail(name))
            assert self.run(upkeep.condemn(self.stage.queue, [verdict])) == [True]
            self.model.finish(name, "failed")
            self.see()
        for session, end in self.see().sessions.items():
            assert end <= self.run(self.stage.now_ms()) + LIFE_MS, f"{session} was given more than one life"

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

    # What must be true after every step.

    @invariant()
    def the_queue_is_sound_and_as_the_model_says(self) -> None:
        """Promises 2, 3, 4, 7 and 8, and that the index tells the truth."""
        truth = self.see()
        assert contradictions(truth) == []
        assert imbalance(truth) == 0, "promise 8"
        assert {entry for _, entry in foreign_entries(truth)} == set(self.foreign)
        expected = {job.request_id: self._summary(job) for job in self.model.jobs.values()}
        seen = {
            name: (row.state, row.stream, row.generation, row.attempt, row.deaths, row.crashes, row.session, row.fence)
            for name, row in truth.rows.items()
        }
        assert seen == expected
        counters = {name: truth.counters.get(name, 0) for name in ("accepted", "expired", "flushed")}
        assert counters == {name: getattr(self.model, name) for name in counters}
        self._records(truth)

    @staticmethod
    def _summary(job: Job) -> tuple[str, str, str, int, int, int, str, str]:
        return job.state, job.stream, job.generation, job.attempt, job.deaths, job.crashes, job.session, job.fence

    def _records(self, truth: Truth) -> None:
        heads = {name: parse_head(record) for name, record in truth.all_records.items()}
        seen = {name: (head.status, head.identity, head.attempt, head.fence) for name, head in heads.items()}
        assert seen == {
            name: (record.status, record.identity, record.attempt, record.fence)
            for name, record in self.model.records.items()
        }
        for name, record in truth.all_records.items():
            sealed = self.sealed.setdefault((name, heads[name].generation), record)
            assert sealed == record, "promise 3: a record has changed"
