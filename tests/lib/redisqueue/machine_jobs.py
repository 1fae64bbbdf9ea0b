"""What producers, other programs, and the leader may do, in any order.

A lost reply is a call whose answer is thrown away and that is made again. Called by `machine.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from lib.jobqueue.moves import Move
from lib.jobqueue.protocol import Adoption, Cancellation
from lib.redisqueue import conducting, producing
from tests.conformance.stage import submission, tail
from tests.lib.redisqueue.machine_ground import HOUR_MS, IDS, LANES, LOST, Ground
from tests.lib.redisqueue.model import HIGH, Ask, Job

if TYPE_CHECKING:
    from lib.jobqueue.protocol import SubmitMode
    from tests.conformance.truth import Truth

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
LANE_LIMIT, POOL_LIMIT = 4, 6


class JobRules(Ground):
    """Requests in, orders to lanes."""

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
            if job is not None and expected == "cancelled":
                self.model.finish(request_id, "cancelled", attempt=job.attempt + (job.state == "L"))
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
