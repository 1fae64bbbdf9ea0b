"""The session: a promise to the server that is renewed, and a promise to stop by itself that is measured here."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from job_watcher.in_hand import InHand
from job_watcher.session import Offer, Session, SessionTimes
from lib.errors import NameTakenError, SessionLostError, UnreachableError
from lib.redisqueue import sessions, upkeep
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.job_watcher.watching import Gate
from tests.support.hand_clock import HandClock
from tests.support.proxy import FaultProxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand
    from tests.support.servers import RealServer

LIFE, MARGIN = 20.0, 2.0


def session_of(queue: Queue, clock: HandClock, in_hand: InHand | None = None, run: str = "run") -> Session:
    """A session with L = 20 s on a clock that the test moves."""
    offer = Offer(frozenset({"any", "speech"}), {"metal": 2}, "1.2.3")
    return Session(queue, "desk", run, SessionTimes(LIFE, 3.0, MARGIN), offer, in_hand or InHand(), clock)


def is_fresh(session: Session) -> bool:
    """Asked anew each time, which a type checker does not believe of a property."""
    return session.fresh


async def test_fresh_until_a_margin_before_the_end_of_the_session(stand: Stand) -> None:
    """Promise 5: at L minus the margin it starts nothing more."""
    clock = HandClock()
    session = session_of(stand.queue, clock)
    assert not is_fresh(session), "never opened"
    await session.open("")
    assert is_fresh(session)
    await clock.move(LIFE - MARGIN - 0.001)
    assert is_fresh(session)
    await clock.move(0.001)
    assert not is_fresh(session)
    await session.renew()
    assert is_fresh(session)


async def test_fresh_counts_from_before_the_renewal_was_sent(stand: Stand, valkey: RealServer) -> None:
    """A reply that was long on its way renews nothing beyond what the server counted from."""
    clock = HandClock()
    async with FaultProxy(valkey.port) as proxy:
        queue = Queue.over(connect(proxy.url), proxy.url, stand.queue.keys.prefix)
        session = session_of(queue, clock)
        await session.open("")
        trap = proxy.trap_reply(b"desk:run", then="hold")
        renewal = asyncio.create_task(session.renew())
        await trap.caught.wait()
        await clock.move(LIFE - MARGIN)
        trap.release()
        await renewal
        assert not is_fresh(session), "counted from the reply"
        await queue.client.aclose()


async def test_a_machine_that_slept_knows_it(stand: Stand) -> None:
    """The clock jumps by the time of the suspend: nothing is started before a renewal has succeeded."""
    clock = HandClock()
    session = session_of(stand.queue, clock)
    await session.open("")
    await clock.move(8 * 3600)
    assert not is_fresh(session)
    await session.renew()
    assert is_fresh(session)


async def test_a_failed_renewal_renews_nothing(stand: Stand, valkey: RealServer) -> None:
    """The server away: the freshness runs out as if nobody had tried."""
    clock = HandClock()
    async with FaultProxy(valkey.port) as proxy:
        queue = Queue.over(connect(proxy.url), proxy.url, stand.queue.keys.prefix)
        session = session_of(queue, clock)
        await session.open("")
        await proxy.refuse()
        await clock.move(LIFE - MARGIN)
        with pytest.raises(UnreachableError):
            await session.renew()
        assert not is_fresh(session)
        await proxy.listen()
        await session.renew()
        assert is_fresh(session)
        await queue.client.aclose()


async def test_a_renewal_past_the_expiry_holds_as_long_as_nobody_reaped(stand: Stand) -> None:
    """Alive means member: lateness alone ends no session."""
    session = session_of(stand.queue, HandClock())
    await session.open("")
    key = stand.queue.keys.of("sessions")
    await stand.queue.client.zadd(key, {session.id: 1})
    await session.renew()
    score = await stand.queue.client.zscore(key, session.id)
    assert score is not None
    assert score > 1_000_000


async def test_a_reaped_session_is_lost_and_never_returns(stand: Stand) -> None:
    """The sweep ended it: the renewal says so and does not put it back."""
    session = session_of(stand.queue, HandClock())
    await session.open("")
    await stand.queue.client.zadd(stand.queue.keys.of("sessions"), {session.id: 1})
    swept = await upkeep.sweep(stand.queue, interval_ms=400, life_ms=2000, force=True)
    assert swept.ended == (session.id,)
    with pytest.raises(SessionLostError, match=session.id):
        await session.renew()
    assert not await stand.member(session.id)


async def test_the_heartbeat_says_what_is_offered_and_seen_by_the_server(stand: Stand) -> None:
    """The roster is made of it: capabilities, slots, and the server's own time."""
    session = session_of(stand.queue, HandClock())
    await session.open("")
    (live,) = await sessions.roster(stand.queue)
    assert (live.name, live.session) == ("desk", session.id)
    assert live.capabilities == {"any", "speech"}
    assert live.slots == {"metal": 2}
    assert abs(live.last_seen_ms - await sessions.server_time_ms(stand.queue)) < 5_000
    session.offer.slots = {}
    await session.renew()
    assert (await sessions.roster(stand.queue))[0].slots == {}
    raw = await stand.queue.client.hget(stand.queue.keys.of("heartbeat"), "desk")
    assert raw is not None
    beat = json.loads(raw)
    assert {"host", "pid", "version", "running"} <= set(beat)


async def test_opening_ends_exactly_the_session_that_this_watcher_had(stand: Stand) -> None:
    """Another watcher's session of another name stays; a name that is alive elsewhere is refused."""
    first = session_of(stand.queue, HandClock(), run="1")
    await first.open("")
    with pytest.raises(NameTakenError, match=first.id):
        await session_of(stand.queue, HandClock(), run="2").open("")
    with pytest.raises(NameTakenError, match=first.id):
        await session_of(stand.queue, HandClock(), run="2").open("desk:0")
    third = session_of(stand.queue, HandClock(), run="3")
    await third.open(first.id)
    assert not await stand.member(first.id)
    assert await stand.member(third.id)
    await third.close()
    assert not await stand.member(third.id)
    assert await sessions.roster(stand.queue) == []


async def test_bodies_whose_fences_no_longer_stand_are_stopped(stand: Stand) -> None:
    """The renewal carries the fences in hand: a job that was cancelled without a word is stopped, its neighbour not."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate, METAL_CONCURRENCY="2").start()
    await stand.debug("a", "b")
    await wait_until(lambda: len(gate.running) == 2)
    watcher.life.control.after = "99999999999999-0"
    assert await stand.cancel("a") == "cancelled"
    await stand.queue.client.delete(stand.queue.keys.of("control"))
    await wait_until(lambda: gate.stopped == ["a"], 3, what="the body of a is stopped")
    assert [lease.request_id for lease in gate.running.values()] == ["b"]
    gate.open.set()
    assert (await stand.ended("b"))[0]["status"] == "done"
    assert (await stand.ended("a"))[0]["status"] == "cancelled"


async def test_nothing_is_started_while_the_session_is_not_fresh(stand: Stand) -> None:
    """Promise 5 where it counts: the lane stays closed until a renewal has succeeded."""
    gate = Gate()
    watcher = await stand.watcher(execution=gate).start()
    await stand.debug("a")
    await wait_until(lambda: gate.running)
    session = watcher.life.session
    renew = session.renew

    async def unheard(*, news: bool = False) -> None:
        raise UnreachableError(f"cut off, {news}")

    session.renew = unheard  # type: ignore[method-assign]  # the network is cut for renewals only
    session._renewed_at = float("-inf")
    gate.open.set()
    await stand.ended("a")
    await stand.debug("b")
    swept = await stand.queue.client.hget(stand.queue.keys.of("sweep"), "at")

    async def two_intervals_later() -> bool:
        now = await stand.queue.client.hget(stand.queue.keys.of("sweep"), "at")
        return int(now or 0) - int(swept or 0) >= 800

    await wait_until(two_intervals_later)
    assert gate.ids() == ["a"]
    session.renew = renew  # type: ignore[method-assign]  # and back
    await stand.ended("b")
