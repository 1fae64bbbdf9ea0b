"""The machine dies with the end of the append-only file not on the disk: faults row 10.

The server comes back as it was a moment earlier. What was accepted or ended since then is gone or done again, as
docs/explanation/guarantees.md says; what still has its record is not touched, and watchers go on by themselves.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from job_runner.service.submit import enqueue
from lib.jobqueue import normalize_job_spec
from lib.redisqueue import upkeep
from lib.redisqueue.fsck import census
from lib.settings import Settings
from tests.chaos.yard import RECOVERY_SECONDS
from tests.conformance import truth
from tests.support.aof import cut, growing_file, written
from tests.support.hand import HandWatcher, open_test_queue
from tests.support.servers import ValkeyServer

if TYPE_CHECKING:
    from pathlib import Path

    from lib.redisqueue.queue import Queue
    from tests.chaos.yard import Yard
    from tests.support.servers import RealServer

pytestmark = pytest.mark.chaos

CUTS = 6


async def _told(queue: Queue, durability: str, request_id: str) -> str:
    """Queue a job as the command does; what it says of its durability."""
    settings = replace(Settings.load({"REDIS_URL": queue.url, "HOME": "/"}), jobs_durability=durability)
    job = normalize_job_spec({"request_id": request_id, "task": "debug"})
    done = await enqueue(queue, settings, [job])
    assert [row.status for row in done.rows] == ["queued"]
    return done.durability_text


async def _lose_tail(yard: Yard, at: int) -> None:
    """The machine dies, and comes back with its file as it was at `at` and a part of the next change."""
    assert written(yard.server) > at + 40
    cut(yard.server, at + 40)
    await yard.answers()


async def test_watchers_go_on_from_what_is_left(yard: Yard) -> None:
    """Faults row 10: records that are left stay; what had ended since is done again, once, and nothing else is."""
    await yard.started("one", slots=1)
    await yard.started("two", slots=1)
    await yard.submit(yard.gated("before"), yard.gated("ended", gate="there"), yard.gated("runs", gate="end"))
    before = (await yard.all_done("before"))["before"]
    for each in ("ended", "runs"):
        await yard.runs_reach(each, 1)
        await yard.leased(each)
    sessions = await yard.members()
    at = written(yard.server)
    # All of this is younger than the loss: an ending, a job of which nothing is left, a session and what it runs.
    yard.open_gate("there")
    ended = (await yard.all_done("ended"))["ended"]
    assert await _told(yard.queue, "memory", "lost") == "memory"
    await yard.all_done("lost")
    late = await yard.started("late", slots=2)
    young = await yard.session("late")
    await yard.submit(yard.gated("lost running", gate="end", payload={"run_log": str(yard.home / "runs" / "young")}))
    await yard.leased("lost running")
    await _lose_tail(yard, at)
    assert await yard.opened(late) != young
    again = (await yard.all_done("ended", deadline_seconds=RECOVERY_SECONDS))["ended"]
    assert again["fence"] != ended["fence"]
    yard.open_gate("end")
    await yard.all_done("runs")
    assert (yard.runs("before"), yard.runs("ended"), yard.runs("runs")) == (1, 2, 1)
    # Who was there before the loss is the same as ever, and nobody has ended what the server never heard of.
    assert sessions <= await yard.members()
    records = await yard.records()
    assert records["before"] == before
    assert records.keys() == {"before", "ended", "runs"}
    assert sorted(await yard.history("done")) == ["before", "ended", "runs"]
    # To send the file once more is the mend, and does nothing to what is there.
    assert await yard.submit(yard.gated("before"), yard.gated("lost")) == ["already_done", "queued"]
    await yard.all_done("lost")


async def test_a_watcher_that_had_just_come_back_outlives_the_loss_of_its_session(yard: Yard) -> None:
    """Faults row 10: the server knows the session before the restart again; the watcher waits for its end."""
    watcher = await yard.started("one", slots=1)
    await yard.submit(yard.gated("runs", gate="end"))
    await yard.runs_reach("runs", 1)
    await yard.leased("runs")
    at = written(yard.server)
    watcher.kill()
    watcher.start()
    young = await yard.opened(watcher)
    await yard.runs_reach("runs", 2)
    await _lose_tail(yard, at)
    yard.open_gate("end")
    await yard.all_done("runs", deadline_seconds=2 * RECOVERY_SECONDS)
    assert watcher.running
    assert await yard.session("one") != young
    assert await yard.history("done") == ["runs"]


async def test_what_was_told_as_fsynced_is_in_the_file_when_it_is_told(tmp_path: Path, prefix: str) -> None:
    """Faults row 10: a crash can take only what was written after the reply; every job told before is there."""
    ids = [f"job-{i}" for i in range(5)]
    with ValkeyServer(tmp_path / "always", fsync="always") as server:
        async with open_test_queue(server.url, prefix) as queue:
            ends = {}
            for each in ids:
                assert await _told(queue, "fsynced", each) == "fsynced"
                ends[each] = written(server)
        for each in reversed(ids):
            cut(server, ends[each])
            async with open_test_queue(server.url, prefix) as queue:
                left = await queue.client.hkeys(queue.keys.of("index"))
                assert sorted(map(truth.text, left)) == ids[: ids.index(each) + 1]
                assert (await census(queue)).balance == 0


async def test_a_queue_cut_anywhere_is_worked_off(own_valkey: RealServer, prefix: str, tmp_path: Path) -> None:
    """Faults row 10: any cut, also inside a change: the dead are reaped, all that is left ends, records stay."""
    chance = random.Random(10)  # noqa: S311 - chooses places in a file
    async with open_test_queue(own_valkey.url, prefix) as queue:
        await _work_half(queue)
        end = written(own_valkey)
    own_valkey.kill()
    whole = tmp_path / "whole.aof"
    shutil.copyfile(growing_file(own_valkey), whole)
    for at in [chance.randrange(end // 10, end) for _ in range(CUTS)]:
        own_valkey.kill()
        shutil.copyfile(whole, growing_file(own_valkey))
        cut(own_valkey, at)
        async with open_test_queue(own_valkey.url, prefix) as queue:
            await _work_off(queue)


async def _work_half(queue: Queue) -> None:
    """A watcher that ends some jobs well, some badly, and dies with three in hand while more wait."""
    watcher = HandWatcher(queue, "first")
    await watcher.open()
    for i in range(30):
        await _told(queue, "memory", f"job-{i:02}")
    for lease in await watcher.lease(12):
        await (watcher.failed(lease) if lease.request_id.endswith("5") else watcher.done(lease))
    await watcher.lease(3)


async def _work_off(queue: Queue) -> None:
    """End all that is left and compare."""
    left = await truth.read_truth(queue)
    assert (truth.contradictions(left), truth.imbalance(left)) == ([], 0)
    await queue.client.zadd(queue.keys.of("sessions"), dict.fromkeys(left.sessions, 1), xx=True)
    await upkeep.sweep(queue, interval_ms=1000, life_ms=10_000, force=True)
    heir = HandWatcher(queue, "heir")
    await heir.open()
    assert await heir.all_done() == len(left.rows)
    after = await truth.read_truth(queue)
    assert (truth.contradictions(after), truth.imbalance(after), after.rows) == ([], 0, {})
    assert left.all_records.items() <= after.all_records.items()
    assert after.all_records.keys() == left.all_records.keys() | left.rows.keys()
