"""The server goes away for longer than a session lives and comes back: nobody alive is robbed, the dead are found."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from lib.redisqueue import upkeep
from tests.chaos.yard import RECOVERY_SECONDS, YARD_LIFE_SECONDS, YARD_SWEEP_SECONDS
from tests.support.proxy import FaultProxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos

LONG_LIFE = "20"
"""By default, so that it outlives the time that a reply is waited for."""

RESUMES_SECONDS = 10.0


@pytest.fixture
async def proxy(yard: Yard) -> AsyncIterator[FaultProxy]:
    """A proxy before the yard's server; watchers that go through it can be cut off."""
    async with FaultProxy(yard.server.port) as running:
        yield running


@asynccontextmanager
async def _killed(yard: Yard, _proxy: FaultProxy) -> AsyncIterator[None]:
    yard.server.kill()
    yield
    yard.server.start()


@asynccontextmanager
async def _paused(yard: Yard, _proxy: FaultProxy) -> AsyncIterator[None]:
    yard.server.pause()
    yield
    yard.server.resume()


@asynccontextmanager
async def _cut_off(_yard: Yard, proxy: FaultProxy) -> AsyncIterator[None]:
    proxy.blackhole()
    yield
    proxy.restore()


@pytest.mark.parametrize("outage", [_killed, _paused, _cut_off])
async def test_an_outage_longer_than_a_life_robs_nobody(
    yard: Yard, proxy: FaultProxy, outage: Callable[[Yard, FaultProxy], AbstractAsyncContextManager[None]]
) -> None:
    """Faults row 9: no mass reclaim on return, nothing lost, nothing run twice; who died meanwhile is reaped."""
    ids = [f"job-{i}" for i in range(4)]
    living = [await yard.started(name, url=proxy.url, host=name) for name in ("one", "two")]
    await yard.submit(*(yard.gated(each, gate="end") for each in ids))
    for each in ids:
        await yard.runs_reach(each, 1)
    dying = await yard.started("dying", url=proxy.url, host="three")
    await yard.submit(yard.gated("orphan", gate="end"), *(yard.gated(f"waiting-{i}", gate="end") for i in range(5)))
    await yard.runs_reach("orphan", 1)
    before = {each.name: await yard.session(each.name) for each in living}
    dead = await yard.session("dying")
    dying.kill()
    async with outage(yard, proxy):
        await yard.pass_a_life()
        # The worst order: on return a sweep comes before anybody alive could renew.
        for watcher in living:
            watcher.pause()
    await yard.answers()
    swept = await upkeep.sweep(
        yard.queue, interval_ms=int(YARD_SWEEP_SECONDS * 1000), life_ms=int(YARD_LIFE_SECONDS * 1000)
    )
    assert (swept.ran, swept.ended) == (True, ())
    for watcher in living:
        watcher.resume()
    await yard.reaped(dead)
    assert set(before.values()) <= await yard.members()
    for each in ids:
        row = await yard.leased(each)
        assert row.session in before.values()
    yard.open_gate("end")
    await yard.all_done(*ids, "orphan", *(f"waiting-{i}" for i in range(5)), deadline_seconds=RECOVERY_SECONDS + 10)
    assert {each.name: await yard.session(each.name) for each in living} == before
    assert [yard.runs(each) for each in ids] == [1, 1, 1, 1]
    assert yard.runs("orphan") == 2
    assert len(await yard.history("done")) == 10


async def test_connections_that_are_reset_again_and_again_cost_nothing(yard: Yard, proxy: FaultProxy) -> None:
    """Faults row 8: every connection breaks, five times in mid-work: all done, each run once, by the same session."""
    ids = [f"job-{i:02}" for i in range(30)]
    await yard.started("one", url=proxy.url, slots=3)
    session = await yard.session("one")
    await yard.submit(*(yard.gated(each) for each in ids))
    for turn in range(1, 6):
        await wait_until(lambda turn=turn: sum(map(yard.runs, ids)) >= 5 * turn, 60)  # type: ignore[misc]  # bound early
        proxy.reset()
    await yard.all_done(*ids)
    assert {each: yard.runs(each) for each in ids} == dict.fromkeys(ids, 1)
    assert await yard.session("one") == session


async def test_a_watcher_waits_for_a_server_that_is_not_there_yet(yard: Yard) -> None:
    """Started before its server, it says so once and begins when the server is there."""
    await yard.submit(yard.gated("job"))
    yard.server.stop()
    watcher = yard.watcher("early")
    watcher.start()
    await wait_until(lambda: "waiting for it" in watcher.log, 30)
    yard.server.start()
    await yard.answers()
    await yard.all_done("job")
    assert watcher.log.count("waiting for it") == 1


async def test_a_server_that_flaps_neither_loses_nor_doubles(yard: Yard) -> None:
    """Killed and started again and again while jobs run: all done, each once where its watcher lived."""
    ids = [f"job-{i:02}" for i in range(30)]
    await yard.started("one", slots=3)
    await yard.submit(*({**yard.gated(each), "priority": "normal"} for each in ids))
    for round_ in range(3):
        wanted = 5 * (round_ + 1)
        await wait_until(lambda wanted=wanted: sum(map(yard.runs, ids)) >= wanted, 60)  # type: ignore[misc]  # bound early
        yard.server.restart()
    await yard.answers()
    await yard.all_done(*ids)
    assert {each: yard.runs(each) for each in ids} == dict.fromkeys(ids, 1)


async def test_half_open_connections_are_given_up_and_work_goes_on(yard: Yard, proxy: FaultProxy) -> None:
    """Faults row 8: whatever stood carries nothing any more and nobody is told: new jobs run within ten seconds.

    What runs meanwhile is kept where its session is, and ends once.
    """
    await yard.started("one", url=proxy.url, slots=2, WATCHER_SESSION_TTL=LONG_LIFE)
    session = await yard.session("one")
    await yard.submit(yard.gated("runs", gate="end"))
    await yard.runs_reach("runs", 1)
    await yard.leased("runs")
    proxy.forget()
    await yard.submit(yard.gated("new"))
    await yard.all_done("new", deadline_seconds=RESUMES_SECONDS)
    yard.open_gate("end")
    await yard.all_done("runs", deadline_seconds=RESUMES_SECONDS)
    assert (yard.runs("runs"), yard.runs("new")) == (1, 1)
    assert await yard.session("one") == session
