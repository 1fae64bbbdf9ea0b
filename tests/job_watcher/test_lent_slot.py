"""An idle reader lends a slot to its leader: only while it waits, never the last one, and nothing is lost of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lib.jobqueue.moves import Move
from lib.redisqueue import conducting, leasing, sessions
from tests.job_watcher.watching import ANY, Gate
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from job_watcher.lane import LaneReader
    from lib.jobqueue.moves import OwnSlot
    from lib.jobqueue.protocol import Started
    from tests.job_watcher.watching import Stand, Watcher

LONG: dict[str, Any] = {
    "WATCHER_SESSION_TTL": "3600",
    "WATCHER_POLL_INTERVAL": "60",
    "WATCHER_SESSION_RENEW_EVERY": "300",
}
"""The reader looks after its pending entries when it has reason to, and no session lapses."""


@asynccontextmanager
async def reader(stand: Stand, slots: int, gate: Gate | None = None) -> AsyncIterator[tuple[Watcher, LaneReader]]:
    """A watcher of which nothing goes on but that its reader waits for a job."""
    watcher = stand.watcher(execution=gate or Gate(), METAL_CONCURRENCY=str(slots), **LONG)
    await watcher.life.open()
    lane = watcher.life.lanes.readers["metal"]
    await lane.run_once()
    waits = asyncio.create_task(lane.run_once())
    await wait_until(lambda: lane._idle, what="an idle reader")
    try:
        yield watcher, lane
    finally:
        waits.cancel()
        await asyncio.gather(waits, return_exceptions=True)
        await watcher.life.in_hand.stop_all()
        await watcher.life.session.close()
        await watcher.life._reads_lanes["metal"].aclose()


async def fill(stand: Stand, watcher: Watcher, slot: OwnSlot | None) -> Started:
    """Queue one job, `a`, and move it as this watcher's conductor does."""
    await stand.debug("a")
    await watcher.queue.refresh_streams()
    epoch = (await sessions.lead(watcher.queue, watcher.session)).epoch
    order = Move("stream:normal:any", ANY, 1, 100, (ANY,), 100)
    return (await conducting.move(watcher.queue, watcher.session, epoch, [order], slot)).started


async def test_one_slot_at_a_time_and_never_the_last(stand: Stand) -> None:
    """What the reader waits for may come while the slot is lent: there is room for that too."""
    async with reader(stand, 2) as (_, lane):
        async with lane.lent_slot() as first, lane.lent_slot() as second:
            assert first.slot is not None
            assert second.slot is None
        async with lane.lent_slot() as again:
            assert again.slot is not None


async def test_with_one_slot_nothing_is_lent(stand: Stand) -> None:
    """The blocked read has it."""
    async with reader(stand, 1) as (_, lane), lane.lent_slot() as lent:
        assert lent.slot is None


async def test_a_reader_that_does_not_wait_lends_nothing(stand: Stand) -> None:
    """Busy with a call of its own, it may be about to fill that slot."""
    watcher = stand.watcher(METAL_CONCURRENCY="2", **LONG)
    await watcher.life.open()
    async with watcher.life.lanes.readers["metal"].lent_slot() as lent:
        assert lent.slot is None
    await watcher.life.session.close()


async def test_what_fills_the_slot_runs(stand: Stand) -> None:
    """The body begins before the block is left."""
    gate = Gate()
    async with reader(stand, 2, gate) as (watcher, lane):
        async with lane.lent_slot() as lent:
            lent.started = await fill(stand, watcher, lent.slot)
        assert gate.ids() == ["a"]
        assert (watcher.life.in_hand.in_slots, lane._lent) == (1, 0)


async def test_beside_a_suspect_no_other_is_taken(stand: Stand) -> None:
    """One suspect a watcher: its death would count against the other."""
    async with reader(stand, 3) as (watcher, lane):
        async with lane.lent_slot() as lent:
            assert lent.slot is not None
            assert lent.slot.suspects == 1
            (lease,) = (await fill(stand, watcher, lent.slot)).leases
        watcher.life.in_hand.add(lease._replace(deaths=2))
        async with lane.lent_slot() as beside:
            assert beside.slot is not None
            assert beside.slot.suspects == 0


async def test_a_lease_that_was_lost_on_its_way_is_found(stand: Stand) -> None:
    """The server has leased and the reply never came: the reader compares, and starts the job all the same."""
    gate = Gate()
    async with reader(stand, 2, gate) as (watcher, lane):
        with pytest.raises(ConnectionResetError):
            await _filled_in_vain(stand, watcher)
        assert gate.ids() == []
        # It compares first, and then has nothing more to take.
        lane._more = True
        await lane.run_once()
        await wait_until(lambda: gate.ids() == ["a"])


async def _filled_in_vain(stand: Stand, watcher: Watcher) -> None:
    async with watcher.life.lanes.readers["metal"].lent_slot() as lent:
        await fill(stand, watcher, lent.slot)
        raise ConnectionResetError


async def test_what_is_on_its_way_is_not_started_twice(stand: Stand) -> None:
    """Pending on the server and not in hand yet: the reader that looks just then leaves it alone."""
    gate = Gate()
    async with reader(stand, 2, gate) as (watcher, lane):
        async with lane.lent_slot() as lent:
            lent.started = await fill(stand, watcher, lent.slot)
            lane._doubt = lane._more = True
            await lane.run_once()
            assert lane._doubt
        lane._more = True
        await lane.run_once()
        assert gate.ids() == ["a"]
        assert not lane._doubt


async def test_what_fills_a_slot_while_it_stops_goes_back(stand: Stand) -> None:
    """A watcher that was told to stop begins nothing: the job waits in intake again, at no cost."""
    gate = Gate()
    async with reader(stand, 2, gate) as (watcher, lane):
        async with lane.lent_slot() as lent:
            lane.close()
            lent.started = await fill(stand, watcher, lent.slot)
            assert lent.started.leases
        assert await leasing.pending_entries(stand.queue, watcher.session, [ANY]) == []
        row = await stand.row("a")
        assert row is not None
        assert (row.state, row.attempt, row.deaths) == ("Q", 0, 0)
    assert gate.ids() == []
