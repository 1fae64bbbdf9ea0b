"""What the state machine stands on: a queue, its model, and everything that must be true after every step.

Called by the rules in `machine_jobs.py` and `machine_watchers.py`, which say what may happen.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant

from lib.redisqueue import sessions
from tests.conformance.stage import CLOUD, METAL, Stage
from tests.conformance.truth import contradictions, foreign_entries, imbalance, parse_head, read_truth
from tests.lib.redisqueue.model import Ask, Job, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from lib.jobqueue.protocol import Lease
    from lib.redisqueue.queue import Queue
    from tests.conformance.truth import Truth

T = TypeVar("T")

HOUR_MS = 3_600_000
LANES = (METAL, CLOUD)
IDS = st.sampled_from(["a", "b", "c", "d", "e"])
PICK = st.integers(0, 1000)
LOST = st.sampled_from([False, False, True])


class Ground(RuleBasedStateMachine):
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
        self.away = self.stepped_back = False
        self.stage = self.run(self._begin(make))
        self.truth = self.run(read_truth(self.stage.queue))
        self.touched = False

    async def _begin(self, make: Callable[[], Queue]) -> Stage:
        stage = Stage(make(), "")
        await stage.queue.client.sadd(stage.queue.keys.of("intakes"), "stream", "stream:low:speech")
        await stage.queue.refresh_streams()
        await sessions.ensure_lanes(stage.queue, LANES)
        await stage.lead()
        return stage

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to its end on the machine's own loop; nobody else writes, so only after it may the server differ."""
        self.touched = True
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
        """Read the server and take over the tokens that only it could make; they must be new and rise.

        What was read and not touched since is not read again: most rules end with a look, and the invariant follows.
        """
        if self.touched:
            self.truth = self.run(read_truth(self.stage.queue))
            self.touched = False
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
