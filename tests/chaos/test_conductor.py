"""The conductor dies around a move, with a free backend, one that is paid for, and a limit a minute.

Whatever it had ordered was carried out wholly or not at all, whoever leads next sees the same window, and every job
is done once. The limits of all processes here are the same, as those of one queue are.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.chaos.yard import RECOVERY_SECONDS
from tests.conformance import truth
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard
    from tests.support.watchers import WatcherProcess

pytestmark = pytest.mark.chaos

METAL, CLOUD = "lane:metal:any", "lane:cloud:any"
LIMIT = 3
SETTINGS = {
    "CLOUD_TOKENS_PER_MIN": str(LIMIT),
    "METAL_QUEUE_MAX": "2",
    "CLOUD_CONCURRENCY": "3",
    "CLOUD_QUEUE_MAX": "5",
}


def process(yard: Yard, name: str, *, backends: str = "", failpoint: str = "") -> WatcherProcess:
    """A watcher of these backends, or one that only conducts, begun and not waited for."""
    made = yard.watcher(name, slots=1, **SETTINGS)
    made.command, made.flags = (("conduct",), ()) if not backends else ((), ("--backends", backends))
    made.start(failpoint=failpoint)
    return made


async def leader(yard: Yard) -> str:
    """The name of who leads; empty when nobody alive does."""
    session: Any = await yard.queue.client.hget(yard.queue.keys.of("lock"), "session")
    named = truth.text(session) if session else ""
    return named.partition(":")[0] if named in await yard.members() else ""


async def led_by(yard: Yard, *names: str, within: float = 60.0) -> None:
    """Wait until one of these leads."""

    async def so() -> bool:
        return await leader(yard) in names

    await wait_until(so, within, what=f"the lead of {names}")


async def window(yard: Yard) -> int:
    """How many jobs have used the limit; what this test takes is less than a minute."""
    return int(await yard.queue.client.zcard(yard.queue.keys.of("moves")))


async def held(yard: Yard) -> tuple[int, int]:
    """How many jobs are in the lanes of metal and of the cloud."""
    lanes = [await yard.queue.client.xlen(yard.queue.keys.stream(lane)) for lane in (METAL, CLOUD)]
    return lanes[0], lanes[1]


async def test_two_conductors_die_around_a_move_and_nothing_is_lost_doubled_or_too_much(yard: Yard) -> None:
    """Faults row 3b: the first dies before its first order, the next one right after; then a watcher leads."""
    first = process(yard, "first", failpoint="move.before")
    workers = process(yard, "metal", backends="metal"), process(yard, "cloud", backends="cloud")
    await led_by(yard, "first")
    second = process(yard, "second", failpoint="move.after")
    for each in (second, *workers):
        await yard.opened(each)
    ids = [f"job-{i}" for i in range(9)]
    await yard.submit(*(yard.gated(each, gate="end") for each in ids))
    assert await first.ended() == -signal.SIGKILL
    assert (await held(yard), await window(yard)) == ((0, 0), 0), "what died before its order has moved nothing"

    async def dealt() -> bool:
        return await held(yard) == (2, LIMIT)

    # By the second, which dies of it, or by a watcher that was quicker to lead.
    await wait_until(dealt, 2 * RECOVERY_SECONDS, what="all that the limits allow")
    assert await window(yard) == LIMIT, "each job of the cloud used one of the limit, in the step that moved it"
    yard.open_gate("end")

    async def second_had_its_turn() -> bool:
        return not second.running or await leader(yard) == "second"

    await wait_until(second_had_its_turn, RECOVERY_SECONDS, what="the second leads")
    await yard.submit(yard.gated("last"))
    assert await second.ended(RECOVERY_SECONDS) == -signal.SIGKILL
    await led_by(yard, "metal", "cloud", within=RECOVERY_SECONDS)
    records = await yard.all_done(*ids, "last")
    assert {each: yard.runs(each) for each in ids} == dict.fromkeys(ids, 1)
    assert sum(record["backend"] == "cloud" for record in records.values()) == LIMIT
    assert await window(yard) == LIMIT


async def test_a_leader_that_dies_with_what_it_has_just_moved_and_leased(yard: Yard) -> None:
    """Moved to the cloud and leased in one call, and its watcher is gone: another runs it; the limit counts both."""
    victim = process(yard, "victim", backends="metal,cloud", failpoint="move.leased")
    await yard.opened(victim)
    await led_by(yard, "victim")
    other = process(yard, "other", backends="metal,cloud")
    await yard.opened(other)
    await yard.submit(yard.gated("job", backend="cloud"))
    assert await victim.ended() == -signal.SIGKILL
    row = await yard.row("job")
    assert row is not None
    assert (row.state, row.stream, yard.runs("job")) == ("L", CLOUD, 0)
    record = (await yard.all_done("job", deadline_seconds=RECOVERY_SECONDS))["job"]
    assert (record["backend"], yard.runs("job"), await window(yard)) == ("cloud", 1, 2)
