"""Entries that another program adds to an intake by hand: taken in, turned away, never in anyone's way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue.protocol import Adoption, ForeignEntry
from lib.redisqueue import conducting
from tests.conformance.stage import METAL, Stage, ending, submission, tail

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Submission


async def found(stage: Stage, fields: dict[Any, Any], **more: Any) -> ForeignEntry:
    """Add one by hand and let the conductor come across it."""
    entry = await stage.by_hand(fields, **more)
    moved = await stage.move()
    assert ForeignEntry("stream", entry) in moved.foreign
    return ForeignEntry("stream", entry)


async def adopt(stage: Stage, where: ForeignEntry, job: Submission | None) -> str:
    """Take one entry in as what it was read as."""
    name = job.request_id if job else f"foreign:{where.source}:{where.entry}"
    (code,) = await conducting.adopt(stage.queue, [Adoption(where.source, where.entry, name, job, tail(name))])
    return code


async def test_a_valid_entry_becomes_a_job(stage: Stage) -> None:
    """It counts as accepted at its adoption, gets a generation, and moves with the next round."""
    where = await found(stage, {"job": submission("a").job})
    assert await adopt(stage, where, submission("a")) == "queued"
    assert await stage.length("stream") == 1
    assert (await stage.move()).counts == (1,)
    assert await stage.place("a") == f"Q {METAL}"


async def test_it_may_belong_to_another_class(stage: Stage) -> None:
    """The inlet takes any job; adoption puts it into the intake of its own class."""
    where = await found(stage, {"job": b"..."})
    assert await adopt(stage, where, submission("a", intake="stream:high:any")) == "queued"
    assert await stage.place("a") == "Q stream:high:any"
    assert b"stream:high:any" in await stage.queue.client.smembers(stage.queue.keys.of("intakes"))


async def test_an_adoption_touches_no_other_intake(stage: Stage) -> None:
    """It names where the entry stands and where the job goes; one that somebody overwrote is in nobody's way."""
    await stage.submit(submission("b", intake="stream:low:any"))
    where = await found(stage, {"job": b"..."})
    unreadable = await found(stage, {"junk": b"..."})
    full = stage.queue.keys.stream("stream:low:any")
    await stage.queue.client.rename(full, full + ":aside")
    await stage.queue.client.set(full, "x")
    assert await adopt(stage, where, submission("a", intake="stream:high:any")) == "queued"
    assert await adopt(stage, unreadable, None) == "failed"
    await stage.queue.client.rename(full + ":aside", full)
    assert await stage.place("a") == "Q stream:high:any"
    await stage.check()


async def test_the_content_of_an_active_job_is_dropped(stage: Stage) -> None:
    """Promise 2 for entries by hand: an event, and no second job."""
    await stage.submit(submission("a"))
    where = await found(stage, {"job": submission("a").job})
    assert await adopt(stage, where, submission("a")) == "duplicate_request"
    assert await stage.told("dropped") == ["a"]
    assert await stage.length("stream") == 0


async def test_the_content_of_a_finished_job_is_dropped(stage: Stage) -> None:
    """A record answers for its id."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.finish(session, ending(lease))
    where = await found(stage, {"job": submission("a").job})
    assert await adopt(stage, where, submission("a")) == "already_done"


@pytest.mark.parametrize("why", ["conflict", "key_busy"])
async def test_what_cannot_be_taken_in_keeps_its_bytes(stage: Stage, why: str) -> None:
    """Other content, or a busy key: the bytes go to `rejected`, and the entry leaves the intake."""
    await stage.submit(submission("a", conflict_key="k"))
    other = submission("a", content="b") if why == "conflict" else submission("b", conflict_key="k")
    where = await found(stage, {"job": b"its bytes"})
    assert await adopt(stage, where, other) == why
    (kept,) = await stage.entries("rejected")
    assert kept == {"why": why, "source": "stream", "entry": where.entry, "job": "its bytes"}
    assert await stage.told("rejected") == [other.request_id]


@pytest.mark.parametrize(
    "fields", [{"junk": "x"}, {"job": b"\xff\xfe not utf-8"}, {"id": b"\xff", "gen": "x", "job": b"\0" * 600_000}]
)
async def test_an_unreadable_entry_becomes_a_failed_record(stage: Stage, fields: dict[Any, Any]) -> None:
    """Promise 7: it ends under a name of its own, bytes kept, and its neighbours move on."""
    where = await found(stage, fields)
    await stage.submit(submission("b"))
    assert await adopt(stage, where, None) == "failed"
    name = f"foreign:stream:{where.entry}"
    record = await stage.record(name)
    assert (record["status"], record["request_id"], record["identity"]) == ("failed", name, "lost")
    assert (await stage.move()).counts == (1,)
    truth = await stage.check()
    assert truth.counters["accepted"] == 2


async def test_an_unreadable_record_may_be_enqueued_anew_with_replace(stage: Stage) -> None:
    """A record whose payload was lost has no content to compare with."""
    where = await found(stage, {"junk": "x"})
    name = f"foreign:stream:{where.entry}"
    assert await adopt(stage, where, None) == "failed"
    assert await stage.codes(submission(name)) == ["already_failed"]
    assert await stage.codes(submission(name), mode="replace") == ["queued"]


async def test_a_forged_id_and_generation_moves_nobody(stage: Stage) -> None:
    """An entry that names another job's id and generation is foreign: the index names a place, not an id."""
    await stage.submit(submission("a"))
    row = await stage.active("a")
    where = await found(stage, {"id": "a", "gen": row.generation, "job": b"forged"})
    assert (await stage.active("a")).stream == METAL
    assert await adopt(stage, where, submission("a", content="forged")) == "conflict"
    session = await stage.open()
    (lease,) = await stage.start(session)
    assert lease.job == submission("a").job


async def test_a_forged_entry_in_a_lane_is_never_started(stage: Stage) -> None:
    """Only `move` writes to lanes: what else stands there is removed when it is read, bytes kept."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.by_hand({"id": "a", "gen": lease.generation, "job": "x"}, stream=METAL)
    await stage.by_hand({"job": "y"}, stream=METAL)
    assert await stage.start(session) == []
    assert [entry["job"] for entry in await stage.entries("rejected")] == ["y"]
    assert await stage.length(METAL) == 1


async def test_an_adoption_whose_reply_was_lost_is_harmless(stage: Stage) -> None:
    """The second call finds the entry gone, or placed."""
    where = await found(stage, {"job": submission("a").job})
    assert await adopt(stage, where, submission("a")) == "queued"
    assert await adopt(stage, where, submission("a")) == "gone"
    assert await adopt(stage, where, None) == "gone"
    placed = await stage.active("a")
    assert await adopt(stage, ForeignEntry("stream", placed.entry), submission("a")) == "gone"
    await stage.check()


async def test_the_same_unreadable_entry_twice_in_one_batch_is_one_record(stage: Stage) -> None:
    """Two orders of one round may both have met the same entry."""
    where = await found(stage, {"junk": "x"})
    name = f"foreign:stream:{where.entry}"
    twice = [Adoption("stream", where.entry, name, None, tail(name))] * 2
    assert await conducting.adopt(stage.queue, twice) == ["failed", "gone"]


async def test_what_was_found_can_be_read(stage: Stage) -> None:
    """`read_foreign` gives the bytes, None where there is no `job`, and leaves out what has gone."""
    with_job = await found(stage, {"job": b"bytes"})
    without = await found(stage, {"junk": b"x"})
    gone = ForeignEntry("stream", "1-1")
    read = await conducting.read_foreign(stage.queue, [with_job, without, gone])
    assert read == [(with_job, b"bytes"), (without, None)]


async def test_a_crowd_of_foreign_entries_does_not_hide_a_job_for_ever(stage: Stage) -> None:
    """At most fifty are reported a round; round by round they are adopted and the job behind them moves."""
    for _ in range(120):
        await stage.by_hand({"junk": "x"})
    await stage.submit(submission("a"))
    for _ in range(4):
        moved = await stage.move()
        for where in moved.foreign:
            await adopt(stage, where, None)
    assert await stage.place("a") == f"Q {METAL}"
    assert await stage.length("stream") == 0
