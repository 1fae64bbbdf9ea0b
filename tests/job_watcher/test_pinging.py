"""Alive means a session that stands and a recent round trip, never a process."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from job_watcher.pinging import ping

if TYPE_CHECKING:
    from tests.job_watcher.watching import Stand


async def test_a_watcher_that_renews_is_alive(stand: Stand) -> None:
    """By name, and among all that ever ran here."""
    watcher = await stand.watcher("desk").start()
    for name in ("desk", None):
        (answer,) = await ping(watcher.settings, name)
        assert answer.alive
        assert answer.text.startswith("desk: alive, last round trip ")
    await watcher.finish()
    (answer,) = await ping(watcher.settings, "desk")
    assert (answer.alive, answer.text) == (False, "desk: no session")
    assert await ping(watcher.settings, None) == []


async def test_a_session_without_a_recent_round_trip_is_silent(stand: Stand) -> None:
    """Still a member, since nobody has reaped it, and not alive all the same."""
    watcher = stand.watcher("desk")
    await watcher.life.open()
    key = stand.queue.keys.of("heartbeat")
    raw = await stand.queue.client.hget(key, "desk")
    assert raw is not None
    beat = json.loads(raw)
    beat["last_seen_ms"] -= 60_000
    await stand.queue.client.hset(key, "desk", json.dumps(beat))
    (answer,) = await ping(watcher.settings, "desk")
    assert not answer.alive
    assert answer.text.startswith("desk: silent, last round trip 6")
    patient = replace(watcher.settings, watcher_session_ttl=3600.0)
    assert (await ping(patient, "desk"))[0].alive


async def test_of_several_each_is_answered(stand: Stand) -> None:
    """One line each; one that died is listed until its session is ended for it, one that ended in order is not."""
    one, two = await stand.watcher("one").start(), await stand.watcher("two").start()
    (one.settings.jobs_state_dir / "watchers" / "ghost.session").write_text("ghost:1")
    await stand.queue.client.hset(stand.queue.keys.of("heartbeat"), "ghost", '{"session": "ghost:1"}')
    states = {answer.name: answer.state for answer in await ping(one.settings, None)}
    assert states == {"ghost": "no session", "one": "alive", "two": "alive"}
    await two.finish()
    await stand.queue.client.hdel(stand.queue.keys.of("heartbeat"), "ghost")
    assert [answer.name for answer in await ping(one.settings, None)] == ["one"]
