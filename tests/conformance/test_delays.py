"""Delayed jobs and conflict keys: due in time, one active job per key, the oldest waiter first."""

from __future__ import annotations

from lib.jobqueue.protocol import Retry, Verdict
from lib.redisqueue import conducting, leasing, upkeep
from lib.redisqueue.queue import BATCH_MAX_JOBS
from tests.conformance.stage import METAL, Stage, ending, submission, tail

HOUR_MS = 3_600_000


async def queued_due(stage: Stage) -> int:
    """How many one call queued."""
    return (await conducting.queue_due(stage.queue)).queued


async def test_what_is_due_is_queued_and_what_is_not_waits(stage: Stage) -> None:
    """A delayed job keeps its own priority and bytes, and moves when its time has come."""
    later = await stage.now_ms() + HOUR_MS
    await stage.submit(*(submission(name, due_ms=later, intake="stream:low:speech") for name in "ab"))
    assert await queued_due(stage) == 0
    await stage.come_due("a")
    assert await queued_due(stage) == 1
    assert await stage.place("a") == "Q stream:low:speech"
    assert (await stage.active("b")).state == "D"
    assert (await stage.check()).entry("stream:low:speech", (await stage.active("a")).entry)["job"].encode() == (  # type: ignore[index]  # check() has proven that the entry is there
        submission("a").job
    )


async def test_a_second_call_queues_nothing_twice(stage: Stage) -> None:
    """Faults row 23: one step, so a lost reply or a crash between halves is none."""
    await stage.submit(submission("a", due_ms=await stage.now_ms() + HOUR_MS))
    await stage.come_due("a")
    assert [await queued_due(stage), await queued_due(stage)] == [1, 0]
    assert await stage.length("stream") == 1


async def test_more_than_a_batch_says_so(stage: Stage) -> None:
    """501 at once: 500, then the rest."""
    later = await stage.now_ms() + HOUR_MS
    names = [f"j{i}" for i in range(BATCH_MAX_JOBS + 1)]
    await stage.submit(*(submission(name, due_ms=later) for name in names))
    await stage.come_due(*names)
    first = await conducting.queue_due(stage.queue)
    assert (first.queued, first.more) == (BATCH_MAX_JOBS, True)
    assert await queued_due(stage) == 1


async def test_big_payloads_are_queued_in_bounded_steps(stage: Stage) -> None:
    """512 KiB a call and the one job that passes it."""
    later = await stage.now_ms() + HOUR_MS
    names = [f"j{i}" for i in range(8)]
    await stage.submit(*(submission(name, due_ms=later, content="x" * 100_000) for name in names))
    await stage.come_due(*names)
    first = await conducting.queue_due(stage.queue)
    assert (first.queued, first.more) == (6, True)
    assert await queued_due(stage) == 2


async def test_a_payload_that_is_gone_is_named_and_condemned(stage: Stage) -> None:
    """It ends as a failed record; its neighbour is queued."""
    later = await stage.now_ms() + HOUR_MS
    await stage.submit(submission("a", due_ms=later), submission("b", due_ms=later))
    await stage.come_due("a", "b")
    await stage.queue.client.hdel(stage.queue.keys.of("delayed"), "a")
    due = await conducting.queue_due(stage.queue)
    ((request_id, generation, stream),) = due.lost
    assert (due.queued, request_id) == (1, "a")
    verdict = Verdict("a", generation, stream, "", tail("a"), lost=True)
    assert await upkeep.condemn(stage.queue, [verdict]) == [True]
    assert (await stage.record("a"))["identity"] == "lost"


async def test_an_intake_that_the_leader_did_not_know_is_known_by_its_row(stage: Stage) -> None:
    """The set of intakes was removed by hand: the job is queued, and the next leader will find its intake."""
    await stage.submit(submission("a", due_ms=await stage.now_ms() + HOUR_MS, intake="stream:low:any"))
    await stage.come_due("a")
    await stage.queue.client.delete(stage.queue.keys.of("intakes"))
    stage.queue.intakes = ("stream",)
    first = await conducting.queue_due(stage.queue)
    assert (first.queued, first.more, first.nowhere) == (0, True, ())
    assert await queued_due(stage) == 1
    assert await stage.queue.client.smembers(stage.queue.keys.of("intakes")) == {b"stream:low:any"}
    assert "streams" in {entry["why"] for entry in await stage.entries("wake")}


async def test_a_row_that_names_no_intake_is_named_and_condemned(stage: Stage) -> None:
    """Changed by hand: told, with its neighbour queued; it ends whatever stream it names."""
    later = await stage.now_ms() + HOUR_MS
    await stage.submit(*(submission(name, due_ms=later) for name in "abc"))
    for name, stream in (("a", "nonsense"), ("b", METAL)):
        await send_to(stage, name, stream)
    await stage.come_due("a", "b", "c")
    due = await conducting.queue_due(stage.queue)
    generations = {name: (await stage.active(name)).generation for name in "ab"}
    assert (due.queued, due.more, due.lost) == (1, False, ())
    assert sorted(due.nowhere) == [("a", generations["a"], "nonsense"), ("b", generations["b"], METAL)]
    verdicts = [Verdict(name, generation, stream, "", tail(name)) for name, generation, stream in due.nowhere]
    assert await upkeep.condemn(stage.queue, verdicts) == [True, True]
    truth = await stage.check()
    assert (truth.due, truth.delayed, set(truth.rows)) == ({}, {}, {"c"})


async def send_to(stage: Stage, name: str, stream: str) -> None:
    """Change the stream in a row of the default class, as a hand would."""
    raw = await stage.queue.client.hget(stage.queue.keys.of("index"), name)
    assert isinstance(raw, bytes)
    changed = raw.replace(b"|stream|", f"|{stream}|".encode())
    await stage.queue.client.hset(stage.queue.keys.of("index"), name, changed)


async def test_leftovers_of_a_job_that_is_not_delayed_are_cleared(stage: Stage) -> None:
    """A due time without a delayed row wakes nobody for ever."""
    await stage.queue.client.zadd(stage.queue.keys.of("due"), {"ghost": 1})
    await stage.queue.client.hset(stage.queue.keys.of("delayed"), "ghost", "x")
    assert await queued_due(stage) == 0
    truth = await stage.check()
    assert (truth.due, truth.delayed) == ({}, {})


async def test_the_key_passes_to_the_oldest_waiter_when_its_holder_ends(stage: Stage) -> None:
    """One active job per key, in order of arrival, however each ends."""
    session = await stage.open()
    await stage.submit(submission("a", conflict_key="k"))
    for name in "bcd":
        await stage.submit(submission(name, conflict_key="k", on_conflict="queue"))
    await stage.move()
    for name in "abcd":
        (lease,) = await stage.start(session)
        assert lease.request_id == name
        assert await queued_due(stage) == 0
        assert await stage.finish(session, ending(lease, "done" if name in "ac" else "failed")) == ["ok"]
        await stage.check()
        assert await queued_due(stage) == (0 if name == "d" else 1)
        await stage.move()
    assert (await stage.check()).holders == {}


async def test_a_job_keeps_its_key_through_retry_death_and_hand_back(stage: Stage) -> None:
    """Active is active: in a lane, delayed, or back in intake, nobody else gets the key."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a", conflict_key="k")
    await leasing.retry(stage.queue, session, [Retry(lease, "attempt", HOUR_MS)])
    assert await stage.codes(submission("b", conflict_key="k")) == ["key_busy"]
    await stage.come_due("a")
    assert await queued_due(stage) == 1
    await stage.move("stream:high:speech")
    (lease,) = await stage.start(session)
    await leasing.hand_back(stage.queue, session, [lease])
    await stage.move("stream:high:speech")
    await stage.start(session)
    await stage.kill(session)
    assert await stage.codes(submission("b", conflict_key="k")) == ["key_busy"]
    assert (await stage.check()).holders["k"].endswith("|a")


async def test_a_key_is_released_only_by_its_holder(stage: Stage) -> None:
    """The same id in a later generation is another holder: the end of the old one frees nothing of it."""
    session = await stage.open()
    (old,) = await stage.lease(session, "a", conflict_key="k")
    await stage.cancel("a")
    await stage.submit(submission("a", content="b", conflict_key="k"), mode="replace")
    assert await stage.finish(session, ending(old)) == ["refused"]
    row = await stage.active("a")
    assert (await stage.check()).holders == {"k": f"{row.generation}|a"}


async def test_replace_and_again_take_the_key_again(stage: Stage) -> None:
    """A new generation is a new job for the key: busy when another has it."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a", conflict_key="k")
    await stage.finish(session, ending(lease, "failed"))
    await stage.submit(submission("b", conflict_key="k"))
    again = submission("a", conflict_key="k", expected_fence=lease.fence)
    other = submission("a", content="z", conflict_key="k")
    assert await stage.codes(again, mode="again") == ["key_busy"]
    assert await stage.codes(other, mode="replace") == ["key_busy"]
    assert (await stage.record("a"))["fence"] == int(lease.fence)
    await stage.cancel("b")
    assert await stage.codes(again, mode="again") == ["queued"]


async def test_a_waiter_with_a_time_of_its_own_waits_for_both(stage: Stage) -> None:
    """The key comes free first: the job holds it and stays delayed until its own time."""
    due = await stage.now_ms() + HOUR_MS
    await stage.submit(submission("a", conflict_key="k"))
    await stage.submit(submission("b", conflict_key="k", on_conflict="queue", due_ms=due))
    assert (await stage.active("b")).waits_for_key
    await stage.cancel("a")
    truth = await stage.check()
    assert truth.due == {"b": due}
    assert truth.holders["k"].endswith("|b")
    assert await queued_due(stage) == 0


async def test_a_due_job_whose_key_is_taken_waits_for_it(stage: Stage) -> None:
    """A key that was freed by hand and taken by another: due does not break the rule, it waits."""
    await stage.submit(submission("a", conflict_key="k", due_ms=await stage.now_ms() + HOUR_MS))
    await stage.queue.client.hdel(stage.queue.keys.of("key"), "k")
    await stage.submit(submission("b", conflict_key="k"))
    await stage.come_due("a")
    assert await queued_due(stage) == 0
    assert (await stage.active("a")).waits_for_key
    await stage.cancel("b")
    assert await queued_due(stage) == 1
    await stage.move()
    assert await stage.place("a") == f"Q {METAL}"


async def test_freed_keys_wake_the_leader(stage: Stage) -> None:
    """Nothing polls: the promoted waiter is told as due."""
    await stage.submit(submission("a", conflict_key="k"), submission("b", conflict_key="k", on_conflict="queue"))
    await stage.cancel("a")
    assert [entry["why"] for entry in await stage.entries("wake")][-2:] == ["due", "room"]
