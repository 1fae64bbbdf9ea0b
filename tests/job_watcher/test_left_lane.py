"""A lane that a reader has left: what was on its way into it goes back, and the reader waits in peace."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lib.errors import PausedError
from lib.jobqueue.moves import Move
from lib.redisqueue import conducting
from tests.job_watcher.test_availability import Moody, watcher
from tests.job_watcher.watching import ANY
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from lib.jobqueue import Capability
    from tests.job_watcher.watching import Stand

CAPABILITIES: frozenset[Capability] = frozenset({"any", "speech"})


async def test_a_job_that_came_into_a_lane_just_left_goes_back_to_its_intake(stand: Stand) -> None:
    """The blocked read still names the lane: a leader whose roster is a moment old may fill it. Nothing is stuck."""
    moody = Moody(capabilities=CAPABILITIES)
    made = watcher(stand, moody, WATCHER_POLL_INTERVAL="1", WATCHER_SESSION_TTL="6")
    await made.start()
    life, reader = made.life, made.life.lanes.readers["metal"]
    await wait_until(lambda: life.conductor.leads and reader._idle)
    moody.down = "gone"
    life.availability.pause("metal", PausedError("gone", capability="any"))
    await wait_until(lambda: ANY not in reader.lanes, what="a lane that was left")
    await stand.debug("a", priority="low")
    await made.queue.refresh_streams()
    order = Move("stream:low:any", ANY, 1, 5, (ANY,), 5)
    moved = await conducting.move(made.queue, life.session.id, life.conductor._epoch, [order])
    assert moved.counts == (1,)

    async def back() -> bool:
        row = await stand.row("a")
        return row is not None and row.state == "Q" and row.stream == "stream:high:any"

    await wait_until(back, 20, what="the job in its intake")
    assert not moody.ran
    moody.down = None
    moody.gate.set()
    await stand.ended("a", seconds=20)


async def test_a_reader_without_any_lane_waits_and_goes_on_when_it_has_one(stand: Stand) -> None:
    """A backend that can do nothing for a while reads nothing, and says no error."""
    moody = Moody(capabilities=frozenset({"any"}))
    made = watcher(
        stand, moody, WATCHER_POLL_INTERVAL="600", WATCHER_SESSION_TTL="3600", WATCHER_SESSION_RENEW_EVERY="9"
    )
    await made.life.open()
    reader = made.life.lanes.readers["metal"]
    await reader.leave([ANY])
    waits = asyncio.create_task(reader.run_once())
    await asyncio.sleep(0)
    reader.enter([ANY])
    await asyncio.wait_for(waits, 10)
    assert reader.lanes == (ANY,)
    await made.life.session.close()
