"""A watcher's life: a name is one, a member is alive, a removed session never returns."""

from __future__ import annotations

import json

import pytest

from lib.errors import NameTakenError, SessionLostError
from lib.redisqueue import sessions
from lib.redisqueue.connection import as_text
from tests.conformance.stage import LIFE_MS, Stage, ending


async def renewed(stage: Stage, session: str, *held: object) -> tuple[bool, tuple[str, ...]]:
    """Renew a session of watcher `w`."""
    answer = await sessions.renew(
        stage.queue,
        session,
        name="w",
        life_ms=LIFE_MS,
        heartbeat=b'"slots":2}',
        held=held,  # type: ignore[arg-type]  # leases, made by the test
    )
    return answer.alive, answer.lost


async def expiry(stage: Stage, session: str) -> float | None:
    """When a session ends, by the server's clock."""
    score = await stage.queue.client.zscore(stage.queue.keys.of("sessions"), session)
    return None if score is None else float(score)


async def test_an_open_session_is_a_member_with_a_heartbeat(stage: Stage) -> None:
    """Alive for L from the server's time; the heartbeat says when it was last seen."""
    before = await stage.now_ms()
    session = await stage.open()
    end = await expiry(stage, session)
    assert end is not None
    assert before + LIFE_MS <= end <= await stage.now_ms() + LIFE_MS
    beat = json.loads(as_text(await stage.queue.client.hget(stage.queue.keys.of("heartbeat"), "w") or b""))
    assert beat["slots"] == 1
    assert before <= beat["last_seen_ms"] <= end


async def test_a_name_that_lives_elsewhere_is_refused(stage: Stage) -> None:
    """Faults row 7c: two hosts under one name; the second is told where the first is."""
    session = await stage.open()
    with pytest.raises(NameTakenError, match=session):
        await stage.open()
    assert await stage.open("w2") == "w2:1"


async def test_a_restart_ends_exactly_its_own_former_session(stage: Stage) -> None:
    """Promise 6: the same watcher again takes over at once, and the old leases go back."""
    first = await stage.open()
    other = await stage.open("other")
    await stage.lease(first, "a")
    second = await stage.open(previous=first)
    assert set((await stage.check()).sessions) == {second, other, stage.leader}
    assert (await stage.sweep()).put_back == 1


async def test_an_open_whose_reply_was_lost_may_be_repeated(stage: Stage) -> None:
    """The session it opened itself is none other."""
    for _ in range(2):
        await sessions.open_session(stage.queue, "w:1", name="w", previous="", life_ms=1000, heartbeat=b'"slots":1}')
    assert await expiry(stage, "w:1") is not None


async def test_a_renewal_extends_even_past_the_expiry(stage: Stage) -> None:
    """Only a reap ends a session: while it is a member it may come back, its leases untouched."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.lapse(session)
    assert await renewed(stage, session, lease) == (True, ())
    end = await expiry(stage, session)
    assert end is not None
    assert end > await stage.now_ms()
    assert await stage.finish(session, ending(lease)) == ["ok"]


async def test_a_reaped_session_never_returns(stage: Stage) -> None:
    """Its renewal says so and makes no member of it."""
    session = await stage.open()
    await stage.kill(session)
    assert await renewed(stage, session) == (False, ())
    assert await expiry(stage, session) is None
    with pytest.raises(SessionLostError):
        await sessions.lead(stage.queue, session)


async def test_a_renewal_names_the_leases_that_no_longer_stand(stage: Stage) -> None:
    """Cancelled, superseded, finished: all are told; what stands is not."""
    session = await stage.open()
    one, two, three, four = await stage.lease(session, "a", "b", "c", "d")
    await stage.cancel("a")
    await stage.finish(session, ending(three))
    alive, lost = await renewed(stage, session, one, two._replace(fence="1"), three, four)
    assert (alive, lost) == (True, (one.fence, "1", three.fence))


async def test_closing_ends_a_session_once(stage: Stage) -> None:
    """A drain: the second close finds no member, and the heartbeat is gone."""
    session = await stage.open()
    assert await sessions.close_session(stage.queue, session, name="w")
    assert not await sessions.close_session(stage.queue, session, name="w")
    assert await stage.queue.client.hgetall(stage.queue.keys.of("heartbeat")) == {}


async def test_a_late_close_does_not_wipe_the_successors_heartbeat(stage: Stage) -> None:
    """A session that was already ended has nothing to tidy."""
    first = await stage.open()
    await stage.open(previous=first)
    assert not await sessions.close_session(stage.queue, first, name="w")
    assert b"w" in await stage.queue.client.hgetall(stage.queue.keys.of("heartbeat"))


async def test_lanes_get_their_group_from_the_first_entry_on(stage: Stage) -> None:
    """Never from `$`: what waited before the group existed is delivered."""
    lane = "lane:metal:any"
    await stage.queue.client.xadd(stage.queue.keys.stream(lane), {"x": "y"})
    await sessions.ensure_lanes(stage.queue, [lane])
    await sessions.ensure_lanes(stage.queue, [lane])
    (group,) = await stage.queue.client.xinfo_groups(stage.queue.keys.stream(lane))
    assert as_text(group["last-delivered-id"]) == "0-0"
    stage.damaged("an entry was put into a lane by hand")


async def test_names_that_somebody_put_into_the_books_stop_nobody(stage: Stage) -> None:
    """Foreign members of the sets of streams and a damaged heartbeat are passed over; work goes on."""
    client, keys = stage.queue.client, stage.queue.keys
    await client.sadd(keys.of("lanes"), b"\xff", "lane:x", "lane:metal:any:more")
    await client.sadd(keys.of("intakes"), "stream:q", b"\xfe", "backlog:UP:normal:any")
    await client.hset(keys.of("heartbeat"), "x", "{")
    await client.hset(keys.of("heartbeat"), "y", '{"session":1}')
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    assert await stage.finish(session, ending(lease)) == ["ok"]
    assert {watcher.name for watcher in await sessions.roster(stage.queue)} <= {"w", "leader"}
    await client.srem(keys.of("lanes"), b"\xff", "lane:x", "lane:metal:any:more")
    await client.srem(keys.of("intakes"), "stream:q", b"\xfe", "backlog:UP:normal:any")
