"""The conductor: one leads, it is woken and never polls, and it moves whatever the policy orders."""

from __future__ import annotations

import functools
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.job_watcher.watching import Gate
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from job_watcher.conductor import Conductor
    from tests.job_watcher.watching import Stand, Watcher

SLOW: dict[str, Any] = {
    "WATCHER_SESSION_TTL": "3600",
    "WATCHER_POLL_INTERVAL": "600",
    "WATCHER_SESSION_RENEW_EVERY": "300",
}
"""S of ten minutes: what happens sooner was not found by an interval."""


def leaders(*watchers: Watcher) -> list[Watcher]:
    """Who believes to lead."""
    return [each for each in watchers if each.life.conductor.leads]


async def test_one_leads_and_another_when_its_session_has_ended(stand: Stand) -> None:
    """The lead is free with the leader's session, and taken again within L + S."""
    one, two = await stand.watcher("one").start(), await stand.watcher("two").start()
    await wait_until(lambda: leaders(one, two))
    (leader,) = leaders(one, two)
    (other,) = {one, two} - {leader}
    await leader.kill()
    await wait_until(lambda: other.life.conductor.leads, 6, what="the other leads")
    assert not await stand.member(leader.session)
    await stand.debug("a")
    await stand.ended("a")


async def test_a_leader_that_was_replaced_stops_moving(stand: Stand) -> None:
    """NotLeader from the queue: it says no more orders, and asks for the lead like anyone."""
    one = await stand.watcher("one").start()
    await wait_until(lambda: one.life.conductor.leads)
    two = stand.watcher("two")
    await two.life.open()
    await stand.queue.client.hset(stand.queue.keys.of("lock"), mapping={"session": two.session, "epoch": "99"})
    await stand.debug("a")
    await wait_until(lambda: not one.life.conductor.leads)
    row = await stand.row("a")
    assert row is not None
    assert row.stream == "stream:normal:any"
    await two.life.session.close()
    await wait_until(lambda: one.life.conductor.leads, 5)
    await stand.ended("a")


async def test_it_wakes_on_a_submit_and_on_freed_room(stand: Stand) -> None:
    """With an S of ten minutes, ten jobs through room for two are done at once."""
    await stand.watcher(**SLOW).start()
    ids = [f"job-{i}" for i in range(10)]
    await stand.debug(*ids)
    await stand.ended(*ids, seconds=10)


async def test_what_it_is_told_is_checked_by_the_queue(stand: Stand) -> None:
    """Counts that are false, or none at all, move nothing and hide nothing: the next job goes its way."""
    watcher = await stand.watcher(**SLOW).start()
    await stand.debug("first")
    await stand.ended("first")
    wake, conductor = stand.queue.keys.of("wake"), watcher.life.conductor
    for count in ("5", "-5", "many"):
        said: dict[Any, Any] = {"why": "intake", "stream:normal:any": count, "lane:metal:any": count, "junk": "1"}
        entry: Any = await stand.queue.client.xadd(wake, said)
        await wait_until(functools.partial(_has_heard, conductor, entry.decode()))
    await stand.debug("second")
    await stand.ended("second", seconds=10)


def _has_heard(conductor: Conductor, entry: str) -> bool:
    return conductor._position.wake == entry


async def test_a_word_about_new_jobs_is_moved_upon_without_a_look(stand: Stand) -> None:
    """One round trip between a submit and its lane: the first call of the round carries the order."""
    watcher = await stand.watcher(**SLOW).start()
    await stand.debug("first")
    await stand.ended("first")
    conductor = watcher.life.conductor
    await wait_until(lambda: conductor._seen is not None and not any(conductor._seen.held.values()))
    conductor._heard.update({"stream:normal:any": 2})
    assert [(order.intake, order.count) for order in conductor._by_hearsay().orders] == [("stream:normal:any", 2)]
    assert not conductor._heard
    assert conductor._by_hearsay().orders == ()


async def test_it_wakes_on_an_entry_added_by_hand(stand: Stand) -> None:
    """A plain XADD tells nobody but the inlet itself: the leader reads it."""
    watcher = await stand.watcher(**SLOW).start()
    await wait_until(lambda: watcher.life.conductor.leads)
    await stand.debug("before")
    await stand.ended("before")
    job = json.dumps({"request_id": "raw", "task": "debug", "payload": {}})
    await stand.queue.client.xadd(stand.queue.keys.stream("stream"), {"job": job})
    await stand.ended("raw", seconds=10)


async def test_it_wakes_when_a_delayed_job_is_due(stand: Stand) -> None:
    """It runs at its time, not before and not at the next interval."""
    await stand.watcher(**SLOW).start()
    due = datetime.now(UTC) + timedelta(seconds=1.2)
    await stand.debug("later", run_after=due.isoformat())
    await stand.debug("now")
    await stand.ended("now")
    assert await stand.record("later") is None
    (record,) = await stand.ended("later", seconds=10)
    assert datetime.fromisoformat(record["started_at"]) >= due - timedelta(milliseconds=5)


async def test_it_wakes_when_a_watcher_comes(stand: Stand) -> None:
    """A new watcher's slots are filled at once, though the leader's own are taken."""
    first, second = Gate(), Gate()
    leader = await stand.watcher("leader", execution=first, METAL_QUEUE_MAX="1", **SLOW).start()
    await stand.debug("a", "b")
    await wait_until(lambda: first.running)
    assert leader.life.conductor.leads
    await stand.watcher("new", execution=second, METAL_QUEUE_MAX="1", **SLOW).start()
    await wait_until(lambda: second.running, 10)
    first.open.set()
    second.open.set()
    await stand.ended("a", "b")


async def test_it_stops_counting_on_a_watcher_that_has_gone(stand: Stand) -> None:
    """Room is that of live slots: with the second watcher gone, no job is moved for it."""
    gate, idle = Gate(), Gate()
    leader = await stand.watcher("leader", execution=gate, METAL_QUEUE_MAX="1", **SLOW).start()
    await wait_until(lambda: leader.life.conductor.leads)
    other = await stand.watcher("other", execution=idle, METAL_QUEUE_MAX="1", **SLOW).start()
    await wait_until(lambda: len(leader.life.conductor._watchers) == 2)
    await other.finish()
    await wait_until(lambda: len(leader.life.conductor._watchers) == 1)
    await stand.debug("a", "b")
    await wait_until(lambda: gate.running or idle.running)
    await stand.debug("c")
    await wait_until(lambda: not leader.life.conductor._look)
    lanes = [await stand.length(lane) for lane in ("lane:metal:any", "lane:metal:speech")]
    assert sum(lanes) == 1
    gate.open.set()
    await stand.ended("a", "b", "c")


async def test_high_goes_before_normal_before_low(stand: Stand) -> None:
    """The order of the bodies when there is one slot and room for one."""
    gate = Gate()
    gate.open.set()
    for each in ("low", "normal", "high"):
        await stand.debug(f"{each}-1", f"{each}-2", priority=each)
    await stand.watcher(execution=gate, METAL_QUEUE_MAX="1").start()
    await stand.ended(*(f"{each}-{i}" for each in ("low", "normal", "high") for i in (1, 2)))
    assert gate.ids() == [f"{each}-{i}" for each in ("high", "normal", "low") for i in (1, 2)]


async def test_two_backlogs_take_turns(stand: Stand) -> None:
    """With room for one job at a time neither backlog waits for the other to be empty."""
    gate = Gate()
    gate.open.set()
    await stand.debug(*(f"a{i}" for i in range(6)), backlog="aa")
    await stand.debug(*(f"b{i}" for i in range(6)), backlog="bb")
    made = await stand.watcher(execution=gate, METAL_QUEUE_MAX="1").start()
    await stand.ended(*(f"{each}{i}" for each in "ab" for i in range(6)))
    assert made.life.conductor.moved == 12
    order = "".join(each[0] for each in gate.ids())
    assert order in {"ab" * 6, "ba" * 6}


async def test_an_idle_watcher_does_not_poll(own_stand: Stand) -> None:
    """Idle, the server sees a handful of calls an interval, those of the renewal and the sweep among them."""
    watcher = await own_stand.watcher(
        WATCHER_POLL_INTERVAL="1", WATCHER_SESSION_TTL="20", WATCHER_SESSION_RENEW_EVERY="1"
    ).start()
    await own_stand.debug("a")
    await own_stand.ended("a")
    await wait_until(lambda: watcher.life.conductor.leads)
    before, began = await own_stand.all_calls(), watcher.clock.elapsed()
    await wait_until(lambda: watcher.clock.elapsed() - began >= 4)
    after = await own_stand.all_calls()
    intervals = watcher.clock.elapsed() - began

    def rate(command: str) -> float:
        return (after.get(command, 0) - before.get(command, 0)) / intervals

    # Each duty comes round once an interval: survey, renewal, sweep and expiry by script; one blocking read each of
    # the lane's, the conductor's and the control's.
    assert rate("evalsha") + rate("eval") < 8
    assert rate("xread") < 4
    assert rate("xreadgroup") < 3
    assert rate("smembers") < 8
    assert rate("xpending") < 4


async def test_what_cannot_be_read_stops_no_job(stand: Stand) -> None:
    """Somebody wrote over what jobs take, and into the pools: what was known holds on, and jobs run."""
    stand.damaged("keys of another kind")
    client, key = stand.queue.client, stand.queue.keys.of
    await client.hset(key("quota"), "closed k:m", "soon")
    await client.set(key("measures"), "nothing that is measured")
    watcher = await stand.watcher().start()
    await stand.debug("a")
    await stand.ended("a")
    conductor = watcher.life.conductor
    assert conductor._unread
    assert ("cloud", "text_model") in conductor.knowledge.by_class, "the built-in estimate, until one can be read"
    await client.delete(key("measures"))
    await stand.debug("b")
    await stand.ended("b")
    await wait_until(lambda: not conductor._unread)
