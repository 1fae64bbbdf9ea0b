"""The end of the append-only file is lost, anywhere: what is left is a sound queue of an earlier moment.

Each transition is one step in the file as it is one on the server, so no cut can tear one. The file of a busy queue is
replayed step by step, as a server does that starts on a shorter one; `tests/chaos/test_lost_tail.py` cuts it for real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.jobqueue.outbox import OutboxEntry
from lib.jobqueue.protocol import Retry
from lib.redisqueue import conducting, instances, leasing, upkeep
from lib.redisqueue.connection import connect
from lib.redisqueue.fsck import fsck
from lib.redisqueue.queue import Queue
from tests.conformance.renting import Renting
from tests.conformance.stage import METAL, Stage, ending, submission
from tests.conformance.truth import Truth, contradictions, imbalance, read_truth
from tests.support.aof import changes, growing_file

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.aof import Change
    from tests.support.servers import RealServer

HOUR_MS = 3_600_000


@pytest.fixture
async def own_stage(own_valkey: RealServer, prefix: str) -> AsyncIterator[Stage]:
    """A queue on a server that this test may empty."""
    client = connect(own_valkey.url)
    queue = Queue.over(client, own_valkey.url, prefix)
    await queue.refresh_streams()
    yield Stage(queue, "own_valkey")
    await client.aclose()


async def _every_transition(stage: Stage) -> None:
    """Bring jobs along every way that a job can go."""
    queue = stage.queue
    session = await stage.open("busy")
    names = ("done", "failed", "gone", "retry", "back", "runs")
    leases = {lease.request_id: lease for lease in await stage.lease(session, *names)}
    done = ending(leases["done"], publish=True, ttl_ms=HOUR_MS)
    (committed,) = await leasing.commit(queue, session, [done])
    await upkeep.publish(queue, [OutboxEntry(committed.outbox, "done", leases["done"].fence, session)])
    await stage.finish(session, ending(leases["failed"], "failed"))
    await leasing.retry(queue, session, [Retry(leases["retry"], "attempt", HOUR_MS)])
    await stage.cancel("gone")
    await leasing.hand_back(queue, session, [leases["back"]])
    later = await stage.now_ms() + HOUR_MS
    await stage.submit(submission("later", due_ms=later), submission("holds", conflict_key="k"))
    await stage.submit(submission("waits", conflict_key="k", on_conflict="queue"))
    await stage.cancel("holds")
    await stage.come_due("later")
    await conducting.queue_due(queue)
    await stage.codes(submission("failed"), mode="replace")
    await stage.submit(submission("failed", content="other"), mode="replace")
    dead = await stage.open("dead")
    await stage.move()
    await leasing.wait_for_entries(queue, queue.client, dead, [METAL], block_ms=1)
    await stage.start(dead, read=1)
    await stage.kill(dead)
    await queue.client.zadd(queue.keys.of("expiry"), {"done": 1}, xx=True)
    await upkeep.expire(queue)
    await _every_step_of_a_rent(stage)


async def _every_step_of_a_rent(stage: Stage) -> None:
    """A machine changes hands and is gone; another one is left."""
    first, second = await Renting(stage).opened("first"), await Renting(stage).opened("second")
    rented = await first.advanced(await first.rent(), 100, state="idle")
    await stage.kill(first.session)
    taken = await instances.adopt(stage.queue, second.session, rented.intent)
    assert taken is not None
    await instances.ask_end(stage.queue, rented.intent)
    await instances.end(stage.queue, second.session, taken, 50)
    await second.advanced(await second.rent("bbbb0002"), 10)


async def _replay(stage: Stage, change: Change) -> None:
    """Apply one step as a server does that reads it from its file."""
    async with stage.queue.client.pipeline(transaction=True) as pipe:
        for command in change.commands:
            pipe.execute_command(*command)
        await pipe.execute()


async def test_every_beginning_of_the_file_is_a_sound_queue(own_stage: Stage, own_valkey: RealServer) -> None:
    """Faults row 10: wherever the tail is lost nothing is half there; fsck finds nothing, and no record goes astray."""
    stage = own_stage
    await _every_transition(stage)
    whole = await stage.check()
    steps = changes(growing_file(own_valkey))
    await stage.queue.client.flushall()
    before: Truth | None = None
    for step in steps:
        await _replay(stage, step)
        await stage.queue.refresh_streams()
        seen = await read_truth(stage.queue)
        assert (contradictions(seen), imbalance(seen)) == ([], 0), step.commands
        assert await fsck(stage.queue, repair=False) == [], step.commands
        _nothing_vanished(before, seen)
        before = seen
    assert before == whole
    assert len(steps) > 25


def _nothing_vanished(before: Truth | None, after: Truth) -> None:
    """Each id that one step knew is known after the next, until its record expires."""
    if before is None:
        return
    known, still = ({*each.rows, *each.all_records} for each in (before, after))
    gone = after.counters.get("expired", 0) - before.counters.get("expired", 0)
    assert len(known - still) == gone, known - still
