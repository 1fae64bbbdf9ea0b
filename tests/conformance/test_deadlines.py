"""The deadlines of active jobs: kept beside them from the submit to whichever end, and for nobody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue.protocol import POISON_SUSPECT_DEATHS, SUSPECT_DEATHS, Adoption, Retry, Verdict
from lib.redisqueue import conducting, leasing, producing, upkeep
from tests.conformance.stage import METAL, Stage, ending, submission, tail

if TYPE_CHECKING:
    from lib.jobqueue.protocol import PoisonFound, Submission

SOON, LATER = 1_900_000_000_000, 1_950_000_000_000


def pressing(request_id: str, deadline_ms: int = SOON, **more: Any) -> Submission:
    """A job with a deadline."""
    return submission(request_id, deadline_ms=deadline_ms, **more)


async def deadlines(stage: Stage) -> dict[str, int]:
    """Deadline by job, the nearest first."""
    found: Any = await stage.queue.client.zrange(stage.queue.keys.of("deadlines"), 0, -1, withscores=True)
    return {name.decode(): int(score) for name, score in found}


async def test_only_jobs_with_a_deadline_are_noted(stage: Stage) -> None:
    """In one batch with others, in the order of their deadlines."""
    await stage.submit(pressing("b", LATER), submission("none"), pressing("a"), submission("none too"))
    assert list((await deadlines(stage)).items()) == [("a", SOON), ("b", LATER)]


async def test_it_is_kept_while_the_job_moves_runs_and_waits_again(stage: Stage) -> None:
    """Lane, lease, retry, death, due: the deadline is the job's, not that of a try."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a", deadline_ms=SOON)
    assert await deadlines(stage) == {"a": SOON}
    await leasing.retry(stage.queue, session, [Retry(lease, "attempt", 1000)])
    assert await deadlines(stage) == {"a": SOON}
    await stage.come_due("a")
    await conducting.queue_due(stage.queue)
    await stage.move("stream:high:speech")
    assert await stage.start(session)
    await stage.kill(session)
    assert await deadlines(stage) == {"a": SOON}


async def test_a_delayed_job_and_one_that_waits_for_a_key_have_theirs(stage: Stage) -> None:
    """They are accepted: their deadline counts from then on."""
    due = await stage.now_ms() + 90_000
    await stage.submit(pressing("late", due_ms=due), submission("holder", conflict_key="k"))
    await stage.submit(pressing("behind", LATER, conflict_key="k", on_conflict="queue"))
    assert await deadlines(stage) == {"late": SOON, "behind": LATER}


async def _finish(stage: Stage, how: str) -> None:
    session = await stage.open()
    if how in {"done", "failed", "cancelled"}:
        await stage.move()
        (lease,) = await stage.start(session)
        await stage.finish(session, ending(lease, how))  # type: ignore[arg-type]  # one of its kinds
    elif how == "cancelled while it waits":
        await stage.cancel("a")
    elif how == "cancelled while it runs":
        await stage.move()
        await stage.start(session)
        await stage.cancel("a")
    elif how == "poison":
        found: tuple[PoisonFound, ...] = ()
        for _ in range(SUSPECT_DEATHS + POISON_SUSPECT_DEATHS):
            dier = await stage.open("dier")
            await stage.queue.refresh_streams()
            for intake in ("stream", "stream:high:speech"):
                await stage.move(intake)
            await stage.start(dier)
            found = (await stage.kill(dier)).poison
        (poisoned,) = found
        verdict = Verdict(
            poisoned.request_id, poisoned.generation, poisoned.lane, poisoned.entry, tail("a"), lost=False
        )
        assert await upkeep.condemn(stage.queue, [verdict]) == [True]
    else:
        await producing.flush(stage.queue, hard=how == "flushed hard", force=True)


@pytest.mark.parametrize(
    "how",
    [
        "done",
        "failed",
        "cancelled",
        "cancelled while it waits",
        "cancelled while it runs",
        "poison",
        "flushed",
        "flushed hard",
    ],
)
async def test_it_goes_with_its_job(stage: Stage, how: str) -> None:
    """Whichever way a job ends; that of another one stays, unless all are flushed."""
    await stage.submit(pressing("a"))
    await stage.submit(pressing("b", LATER, intake="stream:low:speech"))
    await _finish(stage, how)
    assert await deadlines(stage) == ({} if how.startswith("flushed") else {"b": LATER})


async def test_a_refused_submit_changes_no_deadline(stage: Stage) -> None:
    """A duplicate, a conflict, a key that is busy: what is active keeps its own, and a stranger gets none."""
    await stage.submit(pressing("a", conflict_key="k"))
    again, other = pressing("a", LATER), pressing("a", LATER, content="b")
    busy = pressing("c", LATER, conflict_key="k")
    assert await stage.codes(again, other, busy) == ["duplicate_request", "conflict", "key_busy"]
    assert await deadlines(stage) == {"a": SOON}


async def test_the_same_id_twice_in_a_batch_has_the_first_ones(stage: Stage) -> None:
    """The second is a duplicate."""
    assert await stage.codes(pressing("a"), pressing("a", LATER)) == ["queued", "duplicate_request"]
    assert await deadlines(stage) == {"a": SOON}


async def test_a_job_begun_anew_has_its_new_deadline_or_none(stage: Stage) -> None:
    """`--replace` of one that has ended, and `retry` of one that has failed."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a", deadline_ms=SOON)
    await stage.finish(session, ending(lease, "failed"))
    fence = (await stage.record("a"))["fence"]
    again = pressing("a", LATER, expected_fence=str(fence))
    assert await stage.codes(again, mode="again") == ["queued"]
    assert await deadlines(stage) == {"a": LATER}
    await stage.move()
    (lease,) = await stage.start(session)
    await stage.finish(session, ending(lease))
    assert await stage.codes(submission("a", content="b"), mode="replace") == ["queued"]
    assert await deadlines(stage) == {}


async def test_an_entry_added_by_hand_brings_its_deadline(stage: Stage) -> None:
    """Adopted it is a job like any other; turned away it leaves nothing."""
    await stage.lead()
    entries = [await stage.by_hand({"job": "x"}) for _ in range(3)]
    jobs = [pressing("a"), pressing("a", LATER), submission("b")]
    codes = await conducting.adopt(
        stage.queue,
        [Adoption("stream", entry, f"foreign:stream:{entry}", job) for entry, job in zip(entries, jobs, strict=True)],
    )
    assert codes == ["queued", "duplicate_request", "queued"]
    assert await deadlines(stage) == {"a": SOON}


async def test_without_any_deadline_the_key_is_not_there(stage: Stage) -> None:
    """What nobody uses costs nothing: no key, and no work at the end of a job."""
    session = await stage.open()
    leases = await stage.lease(session, "a", "b")
    await stage.finish(session, *(ending(lease) for lease in leases))
    assert await stage.queue.client.exists(stage.queue.keys.of("deadlines")) == 0
    assert await stage.length(METAL) == 0
