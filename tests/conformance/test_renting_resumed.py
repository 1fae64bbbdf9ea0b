"""A watcher whose session was lost goes on with its machines, unless somebody else was quicker: one step decides."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from lib.redisqueue import instances, sessions
from tests.conformance.renting import Renting

if TYPE_CHECKING:
    from lib.market.instance import Instance
    from tests.conformance.stage import Stage


async def lost(stage: Stage) -> tuple[Renting, Instance]:
    """A watcher of which a machine works, and whose session has ended."""
    renting = await Renting(stage).opened()
    machine = await renting.advanced(await renting.rent(), state="draining", market_id="i-9")
    await stage.lapse(renting.session)
    await stage.sweep()
    return renting, machine


async def test_the_next_session_has_it_as_it_was(stage: Stage) -> None:
    """State, cost, fence and reservation; from then on its steps are the next session's alone."""
    renting, machine = await lost(stage)
    former, money = renting.session, await renting.money()
    await renting.opened()
    row = await instances.resume(stage.queue, renting.session, machine)
    assert row == replace(machine, owner=renting.session, version=machine.version + 1)
    assert await renting.money() == money
    assert await instances.resume(stage.queue, renting.session, machine) == row  # the answer was lost
    assert await instances.advance(stage.queue, former, machine, 5) is None
    assert await renting.advance(row, 5, state="idle") is not None


async def test_whoever_was_quicker_has_it(stage: Stage) -> None:
    """It was taken over to be ended: the watcher that comes back lets go of it."""
    renting, machine = await lost(stage)
    other = await Renting(stage).opened("other")
    taken = await instances.adopt(stage.queue, other.session, machine.intent)
    await renting.opened()
    assert await instances.resume(stage.queue, renting.session, machine) is None
    assert await renting.rows() == {machine.intent: taken}


async def test_what_was_gone_on_with_is_taken_over_by_nobody(stage: Stage) -> None:
    """Its owner lives."""
    renting, machine = await lost(stage)
    await renting.opened()
    assert await instances.resume(stage.queue, renting.session, machine) is not None
    other = await Renting(stage).opened("other")
    assert await instances.adopt(stage.queue, other.session, machine.intent) is None


async def test_they_race_and_one_of_them_has_it(real_stage: Stage) -> None:
    """Eight that would end it and the one that would go on with it, at the same moment: one owner, one fence."""
    renting, machine = await lost(real_stage)
    await renting.opened()
    others = [await Renting(real_stage).opened(f"w{i}") for i in range(8)]
    answers = await asyncio.gather(
        *(instances.adopt(real_stage.queue, each.session, machine.intent) for each in others[:4]),
        instances.resume(real_stage.queue, renting.session, machine),
        *(instances.adopt(real_stage.queue, each.session, machine.intent) for each in others[4:]),
    )
    (row,) = [answer for answer in answers if answer is not None]
    assert await renting.rows() == {machine.intent: row}


@pytest.mark.parametrize("behind", [0, 1])
async def test_a_step_whose_answer_was_lost_is_still_its_own(stage: Stage, behind: int) -> None:
    """The row may be one step further than its watcher knows, and no more."""
    renting = await Renting(stage).opened()
    known = await renting.advanced(await renting.rent(), state="draining", market_id="i-9")
    row = known
    for _ in range(behind + 1):
        row = await renting.advanced(row, 7)
    await stage.kill(renting.session)
    await renting.opened()
    answer = await instances.resume(stage.queue, renting.session, known)
    assert (answer is not None) == (behind == 0)


@pytest.mark.parametrize("state", ["loading", "destroying"])
async def test_only_what_works_is_gone_on_with(stage: Stage, state: str) -> None:
    """Of the others nobody knows how far they are: they are ended by their rows."""
    renting = await Renting(stage).opened()
    machine = await renting.advanced(await renting.rent(), state=state, market_id="i-9")
    await stage.kill(renting.session)
    await renting.opened()
    assert await instances.resume(stage.queue, renting.session, machine) is None


async def test_neither_while_the_former_session_stands_nor_without_a_new_one(stage: Stage) -> None:
    """Two lives of one watcher never have it both."""
    renting = await Renting(stage).opened()
    machine = await renting.advanced(await renting.rent(), state="idle", market_id="i-9")
    next_one = await stage.open("next")
    assert await instances.resume(stage.queue, next_one, machine) is None
    await stage.kill(renting.session)
    await sessions.close_session(stage.queue, next_one, name="next")
    assert await instances.resume(stage.queue, next_one, machine) is None
