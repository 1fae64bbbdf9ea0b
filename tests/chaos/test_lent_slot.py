"""A leader leases in the call that moves; its death between that call and the body loses nothing."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.chaos.yard import RECOVERY_SECONDS, SLACK_SECONDS, YARD_LIFE_SECONDS, YARD_SWEEP_SECONDS
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos


async def test_lone_jobs_are_leased_by_the_move(yard: Yard) -> None:
    """One trip to the server between a submit and its body: the lane's reader leases nothing by itself.

    It does so when it starts, and may twice more, as it lends nothing while it looks after its pending entries; at the
    fourth time this watcher would die.
    """
    watcher = await yard.started("leader", failpoint="start.before:4")
    yard.open_gate("open")
    for name in "abcde":
        await yard.submit(yard.gated(name, gate="open"))
        await yard.record(name)
    assert watcher.running


async def test_a_death_between_the_move_and_the_body_is_made_good(yard: Yard) -> None:
    """Faults row 3: leased and not begun, the job is back in intake within L + S, and another watcher runs it."""
    victim = await yard.started("victim", failpoint="move.leased")
    await yard.started("survivor", host="elsewhere")
    yard.open_gate("open")
    sent: list[str] = []

    async def dies() -> bool:
        # Now and then the reader is not idle at that moment, and leases the job itself: then it is done.
        if not sent or sent[-1] in await yard.records():
            sent.append(f"job-{len(sent)}")
            await yard.submit(yard.gated(sent[-1], gate="open"))
        return not victim.running

    await wait_until(dies, what="a lease by the move")
    assert await victim.ended() == -signal.SIGKILL
    died_ms = await yard.time_ms()
    held = await yard.row(sent[-1])
    assert held is not None
    assert (held.state, held.session.partition(":")[0]) == ("L", "victim")
    back = await wait_until(lambda: yard.queued_since(sent[-1], died_ms), RECOVERY_SECONDS, what="back in intake")
    assert back - died_ms <= (YARD_LIFE_SECONDS + YARD_SWEEP_SECONDS + SLACK_SECONDS) * 1000
    assert (await yard.record(sent[-1]))["attempt"] == 1
    assert yard.runs(sent[-1]) == 1
