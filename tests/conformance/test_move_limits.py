"""The limit of jobs a minute: kept in the step that moves, by the server's time, whoever leads and however often.

Time is moved by hand: what was moved so long ago is written so into the window.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import NotLeaderError
from lib.jobqueue.moves import Move, Moved, RateLimits
from lib.redisqueue import conducting, leasing, sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.conformance.stage import CLOUD, METAL, Stage, submission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.servers import RealServer

WINDOW_MS = 600_000
SLACK_MS = 60_000
"""More than a test takes, so that its own time changes nothing."""


def paid(count: int, *, lane: str = CLOUD, rated: bool = True) -> Move:
    """An order of so many jobs with room to spare."""
    return Move("stream", lane, count, 1000, (lane,), 1000, rated)


async def carry_out(stage: Stage, *orders: Move, jobs: int = 3, window_ms: int = WINDOW_MS) -> Moved:
    """Carry out orders as the leader, at most `jobs` rated ones in the window."""
    if not stage.epoch:
        await stage.lead()
    await sessions.ensure_lanes(stage.queue, [METAL, CLOUD])
    limits = RateLimits(jobs, window_ms)
    return await conducting.move(stage.queue, stage.leader, stage.epoch, orders, limits=limits)


async def pass_by(stage: Stage, milliseconds: int) -> None:
    """So much time goes by for the window; a negative one is a step back of the server's clock."""
    key = stage.queue.keys.of("moves")
    members: list[Any] = await stage.queue.client.zrange(key, 0, -1)
    for member in members:
        await stage.queue.client.zincrby(key, -milliseconds, member)


async def filled(stage: Stage, count: int = 9) -> None:
    """A backlog of so many jobs."""
    await stage.submit(*(submission(f"j{i}") for i in range(count)))


async def test_the_limit_holds_whatever_the_order_asks(stage: Stage) -> None:
    """Nine wait, three may go; the survey says what is left and when the next one may."""
    await filled(stage)
    moved = await carry_out(stage, paid(1))
    assert (moved.counts, moved.survey.rate.left, moved.survey.rate.next_ms) == ((1,), 2, None)
    moved = await carry_out(stage, paid(9))
    assert (moved.counts, moved.survey.rate.left) == ((2,), 0)
    assert moved.survey.rate.next_ms is not None
    assert WINDOW_MS - SLACK_MS < moved.survey.rate.next_ms <= WINDOW_MS + 1
    assert (await carry_out(stage, paid(9))).counts == (0,)
    assert await stage.length(CLOUD) == 3


async def test_two_orders_of_one_call_share_the_limit(stage: Stage) -> None:
    """Two lanes of what is paid for, or two backlogs: one window for all of them."""
    await filled(stage, 3)
    await stage.submit(*(submission(f"k{i}", intake="stream:low:speech") for i in range(3)))
    moved = await carry_out(stage, paid(2), replace(paid(9), intake="stream:low:speech"))
    assert moved.counts == (2, 1)


async def test_what_is_free_does_not_count(stage: Stage) -> None:
    """Jobs for metal neither use the limit nor are held by it."""
    await filled(stage)
    moved = await carry_out(stage, paid(4, lane=METAL, rated=False))
    assert (moved.counts, moved.survey.rate.left) == ((4,), 3)
    moved = await carry_out(stage, paid(9), paid(1, lane=METAL, rated=False))
    assert (moved.counts, moved.survey.rate.left) == ((3, 1), 0)
    assert (await carry_out(stage, paid(9, lane=METAL, rated=False))).counts == (1,)


async def test_the_same_job_counts_each_time(stage: Stage) -> None:
    """Handed back and moved again it is two jobs of the limit: each time it may have begun a call."""
    await filled(stage, 1)
    session, intake = await stage.open(), "stream"
    for _ in range(3):
        assert (await carry_out(stage, replace(paid(1), intake=intake))).counts == (1,)
        await leasing.hand_back(stage.queue, session, await stage.start(session, lane=CLOUD))
        intake = "stream:high:speech"
    assert (await carry_out(stage, replace(paid(1), intake=intake))).counts == (0,)


async def test_next_ms_is_when_the_next_one_may_go(stage: Stage) -> None:
    """Not sooner, and then one and no more: the oldest of the window leaves first."""
    await filled(stage)
    await carry_out(stage, paid(1))
    await pass_by(stage, 200_000)
    await carry_out(stage, paid(2))
    next_ms = (await carry_out(stage)).survey.rate.next_ms
    assert next_ms is not None
    assert 400_000 - SLACK_MS < next_ms <= 400_001
    await pass_by(stage, next_ms - SLACK_MS)
    assert (await carry_out(stage, paid(9))).counts == (0,)
    await pass_by(stage, SLACK_MS)
    moved = await carry_out(stage, paid(9))
    assert (moved.counts, moved.survey.rate.left) == ((1,), 0)


async def test_a_limit_that_was_lowered_waits_for_as_many_as_are_over(stage: Stage) -> None:
    """Three went while three were allowed; with one, `next_ms` is when the youngest of them leaves."""
    await filled(stage)
    for _ in range(3):
        await carry_out(stage, paid(1))
        await pass_by(stage, 100_000)
    rate = (await carry_out(stage, paid(9), jobs=1)).survey.rate
    assert rate.left == 0
    assert rate.next_ms is not None
    assert 500_000 - SLACK_MS < rate.next_ms <= 500_001
    await pass_by(stage, rate.next_ms)
    assert (await carry_out(stage, paid(9), jobs=1)).counts == (1,)


async def test_the_window_survives_its_leader(stage: Stage) -> None:
    """It is the queue's: whoever leads next finds it used."""
    await filled(stage)
    await carry_out(stage, paid(3))
    await stage.kill(stage.leader)
    await stage.lead()
    moved = await carry_out(stage, paid(9))
    assert (moved.counts, moved.survey.rate.left) == ((0,), 0)


async def test_after_a_step_back_of_the_clock_what_was_moved_later_was_moved_now(stage: Stage) -> None:
    """The limit holds at once, and for one window and no longer: nobody waits for the hour that was lost."""
    await filled(stage)
    await carry_out(stage, paid(3))
    await pass_by(stage, -3_600_000)
    moved = await carry_out(stage, paid(9))
    assert moved.counts == (0,)
    assert moved.survey.rate.next_ms is not None
    assert WINDOW_MS - SLACK_MS < moved.survey.rate.next_ms <= WINDOW_MS + 1
    await pass_by(stage, moved.survey.rate.next_ms)
    assert (await carry_out(stage, paid(9))).counts == (3,)


async def test_who_leads_no_more_moves_nothing_and_uses_nothing(stage: Stage) -> None:
    """Two leaders, one of them of the past: its order costs neither a job nor the limit."""
    await filled(stage)
    await carry_out(stage)
    old = stage.leader, stage.epoch
    await stage.kill(stage.leader)
    await stage.lead()
    with pytest.raises(NotLeaderError):
        await conducting.move(stage.queue, *old, [paid(3)], limits=RateLimits(3, WINDOW_MS))
    assert (await carry_out(stage)).survey.rate.left == 3
    assert await stage.length(CLOUD) == 0


async def test_the_survey_says_the_servers_time(stage: Stage) -> None:
    """What deadlines are held against; never the clock of this machine."""
    before = await stage.now_ms()
    now = (await carry_out(stage)).survey.now_ms
    assert before <= now <= await stage.now_ms()


NEARLY_MS = WINDOW_MS - SLACK_MS + 1
moves = st.tuples(st.just("move"), st.integers(1, 4))
events = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([NEARLY_MS, SLACK_MS, WINDOW_MS // 2, WINDOW_MS])),
    st.tuples(st.just("back"), st.sampled_from([1, SLACK_MS, WINDOW_MS - 1, 2 * WINDOW_MS])),
    st.tuples(st.just("free"), st.integers(1, 3)),
    st.tuples(st.just("leader"), st.just(0)),
)
steps = st.lists(st.tuples(moves, events, moves), min_size=1, max_size=5)


@settings(max_examples=30, deadline=None)
@given(steps=steps, jobs=st.integers(1, 4))
def test_never_more_than_the_limit_in_any_window(
    valkey: RealServer, steps: list[tuple[tuple[str, int], ...]], jobs: int
) -> None:
    """Whatever is asked, whoever leads and however the clock steps back: no window of the true time has more."""
    moved = asyncio.run(_play(valkey.url, list(chain.from_iterable(steps)), jobs))
    for i in range(len(moved) - jobs):
        assert moved[i + jobs] - moved[i] >= WINDOW_MS


async def _play(url: str, steps: Sequence[tuple[str, int]], jobs: int) -> list[int]:
    """The true times, in ms, at which rated jobs were moved."""
    queue = Queue.over(connect(url), url, f"p{uuid.uuid4().hex[:12]}")
    stage = Stage(queue, "valkey")
    await filled(stage, 60)
    times: list[int] = []
    # True time minus the server's: what has passed by hand, and what a step back has made of it.
    ahead = 0
    for kind, amount in steps:
        if kind == "leader":
            if stage.leader:
                await stage.kill(stage.leader)
            await stage.lead()
        elif kind in {"pass", "back"}:
            # Time that passes makes entries older, a step back makes them younger; true time only passes.
            await pass_by(stage, amount if kind == "pass" else -amount)
            ahead += amount if kind == "pass" else 0
        else:
            order = paid(amount) if kind == "move" else paid(amount, lane=METAL, rated=False)
            done = await carry_out(stage, order, jobs=jobs)
            if kind == "move":
                times += [done.survey.now_ms + ahead] * done.counts[0]
    async for key in queue.client.scan_iter(match=f"{queue.keys.prefix}:*"):
        await queue.client.unlink(key)
    await queue.client.aclose()
    return times
