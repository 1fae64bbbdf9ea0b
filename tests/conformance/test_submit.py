"""Accepting: once by name, all codes, whole batches, conflict keys, delays, intakes (promises 1, 2 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import WrongKeyError
from lib.jobqueue.protocol import SUSPECT_DEATHS
from lib.redisqueue import conducting, producing
from lib.redisqueue.keys import IntakeName
from lib.redisqueue.queue import BATCH_MAX_JOBS
from lib.redisqueue.rows import IndexRow
from tests.conformance.stage import Stage, ending, submission
from tests.conformance.truth import text

if TYPE_CHECKING:
    from lib.jobqueue.protocol import EndStatus


async def test_a_job_is_queued_in_its_intake_with_its_bytes(stage: Stage) -> None:
    """The reply names the entry, and the entry holds exactly the bytes that were given."""
    (reply,) = await stage.submit(submission("a", content="Ünï\u2028"))
    row = await stage.active("a")
    assert (reply.code, reply.stream_id, reply.attempt) == ("queued", row.entry, 0)
    fields = (await stage.check()).entry("stream", row.entry)
    assert fields == {"id": "a", "gen": row.generation, "job": submission("a", content="Ünï\u2028").job.decode()}
    assert await stage.told("queued") == ["a"]


async def test_the_same_request_again_is_a_duplicate_and_says_where_it_stands(stage: Stage) -> None:
    """Promise 2: a second submit changes nothing and answers with the first one's entry."""
    first = await stage.submit(submission("a"), submission("b"))
    second = await stage.submit(submission("a"), submission("b"))
    assert [reply.code for reply in second] == ["duplicate_request"] * 2
    assert [reply.stream_id for reply in second] == [reply.stream_id for reply in first]
    assert await stage.length("stream") == 2


async def test_twice_in_one_batch_is_one_job(stage: Stage) -> None:
    """Promise 2 holds inside a batch too."""
    assert await stage.codes(submission("a"), submission("a"), submission("a", content="b")) == [
        "queued",
        "duplicate_request",
        "conflict",
    ]


async def test_of_a_whole_batch_those_that_ended_are_known(stage: Stage) -> None:
    """Promise 2 at any place of a batch: how the ids are looked up, many at once or one by one, changes no answer."""
    ids = [f"j{i:03}" for i in range(BATCH_MAX_JOBS)]
    session = await stage.open()
    ended = {*ids[3:5], ids[49], ids[50], ids[120], ids[-1]}
    leases = await stage.lease(session, *sorted(ended))
    failing = {lease.request_id for lease in leases[::2]}
    endings = [ending(lease, "failed" if lease.request_id in failing else "done") for lease in leases]
    assert set(await stage.finish(session, *endings)) == {"ok"}
    known = {each: "already_failed" if each in failing else "already_done" for each in ended}
    assert await stage.codes(*(submission(each) for each in ids)) == [known.get(each, "queued") for each in ids]


async def test_other_content_is_a_conflict_while_active(stage: Stage) -> None:
    """An active job is never replaced."""
    await stage.submit(submission("a"))
    assert await stage.codes(submission("a", content="b")) == ["conflict"]
    assert await stage.codes(submission("a", content="b"), mode="replace") == ["conflict"]


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
async def test_a_finished_id_answers_already(stage: Stage, status: EndStatus) -> None:
    """Promise 2 after the end: same content `already_…`, other content `conflict`."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    assert await stage.finish(session, ending(lease, status)) == ["ok"]
    (again,) = await stage.submit(submission("a"))
    assert (again.code, again.attempt, again.stream_id) == (f"already_{status}", 1, "")
    assert await stage.codes(submission("a", content="b")) == ["conflict"]


@pytest.mark.parametrize("status", ["done", "failed", "cancelled"])
async def test_replace_begins_the_next_generation(stage: Stage, status: EndStatus) -> None:
    """`replace` takes the old record away in the step that queues the new job; accepted counts the id once."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.finish(session, ending(lease, status, ttl_ms=1_000_000))
    assert await stage.codes(submission("a"), mode="replace") == [f"already_{status}"]
    assert await stage.codes(submission("a", content="b"), mode="replace") == ["queued"]
    assert int((await stage.active("a")).generation) > int(lease.generation)
    truth = await stage.check()
    assert truth.counters["accepted"] == 1
    assert truth.expiry == {}


async def test_again_starts_exactly_the_failed_record_that_was_seen(stage: Stage) -> None:
    """`again` names the fence of the record; another record, or none, is refused."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a", conflict_key="k")
    asked = submission("a", conflict_key="k", expected_fence=lease.fence)
    assert await stage.codes(asked, mode="again") == ["duplicate_request"]
    await stage.finish(session, ending(lease, "failed"))
    assert await stage.codes(asked._replace(expected_fence="1"), mode="again") == ["changed"]
    assert await stage.codes(asked, mode="again") == ["queued"]
    assert await stage.codes(asked, mode="again") == ["duplicate_request"]
    assert await stage.codes(submission("b"), mode="again") == ["not_found"]
    assert (await stage.active("a")).deaths < SUSPECT_DEATHS


async def test_again_of_a_done_job_is_refused(stage: Stage) -> None:
    """What is done is not failed, whatever fence is named."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.finish(session, ending(lease))
    assert await stage.codes(submission("a", expected_fence=lease.fence), mode="again") == ["changed"]


async def test_a_busy_key_refuses_or_queues(stage: Stage) -> None:
    """At most one active job per key: the second is refused, or waits as delayed, by its own choice."""
    waits = submission("c", conflict_key="k", on_conflict="queue")
    jobs = (submission("a", conflict_key="k"), submission("b", conflict_key="k"), waits)
    assert await stage.codes(*jobs) == ["queued", "key_busy", "queued"]
    assert await stage.row("b") is None
    assert (await stage.active("c")).waits_for_key
    assert await stage.codes(waits) == ["duplicate_request"]


async def test_keys_that_contain_one_another_are_apart(stage: Stage) -> None:
    """The waiting list sorts by key: a key that begins with another must not get the other's waiters."""
    await stage.submit(submission("a", conflict_key="k"), submission("b", conflict_key="k|k"))
    await stage.submit(
        submission("c", conflict_key="k|k", on_conflict="queue"), submission("d", conflict_key="k", on_conflict="queue")
    )
    assert await stage.cancel("a") == "cancelled"
    assert not (await stage.active("d")).waits_for_key
    assert (await stage.active("c")).waits_for_key


async def test_run_after_delays_and_the_past_does_not(stage: Stage) -> None:
    """A time to come makes a delayed job; one that has passed makes a queued one."""
    later = await stage.now_ms() + 3_600_000
    replies = await stage.submit(submission("a", due_ms=later), submission("b", due_ms=1))
    assert [bool(reply.stream_id) for reply in replies] == [False, True]
    truth = await stage.check()
    assert truth.due == {"a": later}
    assert truth.rows["a"].reason == "run_after"


async def test_every_class_and_priority_has_its_intake(stage: Stage) -> None:
    """A new intake is registered in the step that first uses it, with its backlog, and the leader is told once."""
    fast = str(IntakeName("default", "high", "speech"))
    night = str(IntakeName("night", "normal", "text_model", "cloud"))
    await stage.submit(submission("a", intake=fast), submission("b", intake=night, backlog="night"))
    await stage.submit(submission("c", intake=fast))
    client, keys = stage.queue.client, stage.queue.keys
    assert await client.smembers(keys.of("intakes")) == {fast.encode(), night.encode()}
    assert await client.smembers(keys.of("backlogs")) == {b"default", b"night"}
    assert [entry["why"] for entry in await stage.entries("wake")] == ["streams", "intake"]
    assert await stage.length(fast) == 2


async def test_501_jobs_go_in_batches_and_none_is_lost(stage: Stage) -> None:
    """A call carries at most 500; the caller sees one list."""
    replies = await stage.submit(*(submission(f"j{i}") for i in range(501)))
    assert [reply.code for reply in replies] == ["queued"] * 501
    assert len({reply.stream_id for reply in replies}) == 501
    truth = await stage.check()
    assert len({row.generation for row in truth.rows.values()}) == 501


async def test_a_batch_with_one_bad_key_type_writes_nothing(stage: Stage) -> None:
    """Promise 1, atomic: a batch is accepted whole or not at all."""
    await stage.submit(submission("a"))
    await stage.queue.client.delete(stage.queue.keys.of("delayed"))
    await stage.queue.client.set(stage.queue.keys.of("delayed"), "not a hash")
    with pytest.raises(Exception, match="delayed"):
        await stage.submit(submission("b"), submission("c"))
    await stage.queue.client.delete(stage.queue.keys.of("delayed"))
    assert await stage.row("b") is None


async def test_an_intake_of_another_type_stops_only_its_own_jobs(stage: Stage) -> None:
    """Faults row 15: a submit names the intakes of its batch, however many backlogs there have ever been."""
    await stage.submit(submission("a", intake="stream:low:any"))
    full = stage.queue.keys.stream("stream:low:any")
    await stage.queue.client.delete(full)
    await stage.queue.client.set(full, "x")
    assert await stage.codes(submission("b"), submission("c", intake="stream:high:any")) == ["queued", "queued"]
    with pytest.raises(WrongKeyError, match=full):
        await stage.submit(submission("d"), submission("e", intake="stream:low:any"))
    assert await stage.row("d") is None
    await stage.queue.client.delete(full)
    stage.damaged("an intake was removed by hand")


async def test_what_stands_in_another_intake_still_answers(stage: Stage) -> None:
    """Duplicates, keys and replaced records are found by id and key, wherever their jobs stood."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "done", intake="stream:low:any")
    await stage.finish(session, ending(lease))
    await stage.submit(submission("here"), submission("holder", intake="backlog:b:low:any", conflict_key="k"))
    other = "stream:high:text_model"
    asked = [submission("here", intake=other), submission("here", content="z", intake=other)]
    asked += [submission("done", content="z", intake=other), submission("r", intake=other, conflict_key="k")]
    waits = submission("w", intake=other, conflict_key="k", on_conflict="queue")
    codes = await stage.codes(*asked, waits, mode="replace")
    assert codes == ["duplicate_request", "conflict", "queued", "key_busy", "queued"]
    assert await stage.place("done") == f"Q {other}"
    assert await stage.cancel("holder") == "cancelled"
    assert (await conducting.queue_due(stage.queue)).queued == 1
    assert await stage.place("w") == f"Q {other}"


async def test_an_empty_submit_does_nothing(stage: Stage) -> None:
    """No jobs, no call, no fence."""
    assert await producing.submit(stage.queue, []) == []
    assert await stage.queue.client.get(stage.queue.keys.of("fence")) is None


async def test_the_row_of_every_job_of_a_batch_names_its_entry(stage: Stage) -> None:
    """A batch is written within a moment, but its generations are a microsecond apart: each row finds its own entry."""
    jobs = [submission(f"j{i:04d}") for i in range(BATCH_MAX_JOBS)]
    replies = await stage.submit(*jobs)
    rows = (await stage.check()).rows
    assert {reply.request_id: reply.stream_id for reply in replies} == {name: row.entry for name, row in rows.items()}
    raw: Any = await stage.queue.client.hgetall(stage.queue.keys.of("index"))
    ours = {text(name): IndexRow.parse(row).entry for name, row in raw.items()}
    assert ours == {name: row.entry for name, row in rows.items()}
