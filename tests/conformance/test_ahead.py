"""Leases that are held ahead: a watcher's death touches only the jobs whose body had begun (faults row 18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.jobqueue.moves import Move, OwnSlot
from lib.jobqueue.protocol import SUSPECT_DEATHS
from lib.redisqueue import conducting, leasing, sessions
from tests.conformance.stage import LIFE_MS, METAL, Stage, ending, submission

if TYPE_CHECKING:
    from lib.jobqueue.protocol import Lease

VAST = "lane:vast:speech"
MANY = [f"j{i:03d}" for i in range(128)]


async def ahead(stage: Stage, session: str, *request_ids: str, again: bool = False) -> list[Lease]:
    """Lease what waits, or these jobs, as a backend does that gathers."""
    if request_ids:
        await stage.submit(*(submission(request_id) for request_id in request_ids))
        await stage.move("stream", VAST)
    started = await leasing.start(stage.queue, session, [VAST], read=500, ahead=True, again=again)
    return list(started.leases)


async def deaths(stage: Stage) -> dict[str, int]:
    """Of all active jobs."""
    return {name: (await stage.active(name)).deaths for name in MANY}


async def test_a_death_counts_to_what_had_begun_and_to_nothing_else(real_stage: Stage) -> None:
    """A micro-batch of 128 dies twice with its watcher, with one begun each time: none of the others is a suspect."""
    stage = real_stage
    for life in range(SUSPECT_DEATHS):
        session = await stage.open()
        leases = await ahead(stage, session, *(MANY if life == 0 else ()))
        assert {lease.request_id for lease in leases} == set(MANY)
        begun = next(lease for lease in leases if lease.request_id == MANY[5])
        assert await leasing.begin(stage.queue, session, [begun]) == [True]
        swept = await stage.kill(session)
        assert swept.put_back == len(MANY)
        await stage.move("stream:high:speech", VAST)
    assert await deaths(stage) == {name: SUSPECT_DEATHS * (name == MANY[5]) for name in MANY}
    leases = await ahead(stage, await stage.open("other"))
    assert [lease.request_id for lease in leases if lease.suspect] == [MANY[5]]


async def test_what_is_not_held_ahead_counts_from_its_lease_on(stage: Stage) -> None:
    """Other backends begin a body with its lease: nothing is said, and nothing need be."""
    session = await stage.open()
    await stage.lease(session, "a")
    await stage.kill(session)
    assert (await stage.active("a")).deaths == 1


async def test_it_is_noted_for_whoever_holds_the_lease(stage: Stage) -> None:
    """Each in its own slot; repeatable; what is another's, or was given back, is left as it is."""
    session, other = await stage.open(), await stage.open("other")
    a, b = await ahead(stage, session, "a", "b")
    assert (await stage.active("a")).reason == "ahead"
    await leasing.hand_back(stage.queue, session, [b])
    for _ in range(2):
        assert await leasing.begin(stage.queue, session, [a, b]) == [True, False]
    assert await leasing.begin(stage.queue, other, [a]) == [False]
    assert [(await stage.active(name)).reason for name in "ab"] == ["", ""]
    assert await stage.place("b") == "Q stream:high:speech"
    assert await stage.finish(session, ending(a)) == ["ok"]


async def test_a_session_that_has_ended_notes_nothing(stage: Stage) -> None:
    """Its death is as it was when it died."""
    session = await stage.open()
    leases = await ahead(stage, session, "a")
    await sessions.close_session(stage.queue, session, name="w")
    assert await leasing.begin(stage.queue, session, leases) == [False]
    await stage.sweep()
    assert (await stage.active("a")).deaths == 0


@pytest.mark.parametrize("begins_first", [True, False])
async def test_a_kill_in_a_drain_counts_nothing_whenever_it_began(stage: Stage, *, begins_first: bool) -> None:
    """What the renewal of a stopping watcher wrote is not taken back by a body that begins after it."""
    session = await stage.open()
    leases = await ahead(stage, session, "a")
    steps = [leasing.begin(stage.queue, session, leases), _drains(stage, session, leases)]
    for step in steps if begins_first else reversed(steps):
        await step
    assert (await stage.active("a")).reason == "drain"
    await stage.kill(session)
    assert (await stage.active("a")).deaths == 0


async def _drains(stage: Stage, session: str, held: list[Lease]) -> None:
    beat = b'"slots":{}}'
    await sessions.renew(
        stage.queue, session, name="w", life_ms=LIFE_MS, heartbeat=beat, held=held, draining=True, news=False
    )


async def test_a_lost_reply_is_leased_anew_and_still_held_ahead(stage: Stage) -> None:
    """What was delivered and never seen begins as late as the others."""
    session = await stage.open()
    await ahead(stage, session, "a")
    entries = await leasing.pending_entries(stage.queue, session, [VAST])
    again = await leasing.start(stage.queue, session, [VAST], entries=entries, again=True, ahead=True)
    assert (await stage.active("a")).fence == again.leases[0].fence
    await stage.kill(session)
    assert (await stage.active("a")).deaths == 0


@pytest.mark.parametrize(("lends_ahead", "counted"), [(True, 0), (False, 1)])
async def test_a_slot_that_was_lent_says_how_it_is_held(stage: Stage, *, lends_ahead: bool, counted: int) -> None:
    """The leader's own watcher leases in the call that moves."""
    await stage.lead()
    await stage.submit(submission("a"))
    await sessions.ensure_lanes(stage.queue, [METAL, VAST])
    order = Move("stream", VAST, 1, 100, (VAST,), 100)
    slot = OwnSlot((VAST,), 1, ahead=lends_ahead)
    moved = await conducting.move(stage.queue, stage.leader, stage.epoch, [order], slot)
    assert len(moved.started.leases) == 1
    await stage.kill(stage.leader)
    assert (await stage.active("a")).deaths == counted
