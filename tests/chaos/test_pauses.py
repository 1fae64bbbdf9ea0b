"""Watchers that are stopped and go on later, or that are slow: what they held is somebody else's, or still theirs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.jobqueue.protocol import Ending, Lease, Progress, Retry
from lib.redisqueue import leasing
from tests.chaos.yard import RECOVERY_SECONDS
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from tests.chaos.yard import Yard
    from tests.conformance import truth

pytestmark = pytest.mark.chaos


async def test_a_watcher_that_slept_past_its_life_discards_and_begins_anew(yard: Yard) -> None:
    """Faults row 4: its commit is refused, it opens another session and works on; the job is recorded once."""
    sleeper = await yard.started("sleeper", slots=1)
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    old = await yard.session("sleeper")
    other = await yard.started("other", slots=1)
    sleeper.pause()
    await yard.reaped(old)
    await yard.runs_reach("job", 2, RECOVERY_SECONDS)
    taken = await yard.leased("job")
    # Both bodies may end now: the sleeper wakes up with a finished job in its hand.
    yard.open_gate("end")
    sleeper.resume()
    record = await yard.record("job")
    assert str(record["fence"]) == taken.fence
    assert await yard.opened(sleeper) != old
    other.kill()
    await yard.submit(yard.gated("later"))
    await yard.all_done("job", "later")
    assert (yard.runs("job"), yard.runs("later")) == (2, 1)
    assert sorted(await yard.history("done")) == ["job", "later"]


async def test_a_paused_watcher_does_not_commit_what_it_had_finished(yard: Yard) -> None:
    """Faults row 4: woken before anybody else has ended the job, its ending is refused all the same."""
    sleeper = await yard.started("sleeper", slots=1)
    payload = {"output": "bytes", "gate_a_run": True}
    await yard.submit(yard.gated("job", gate="end", payload=payload, output_name="out/job"))
    await yard.runs_reach("job", 1)
    old = await yard.session("sleeper")
    other = await yard.started("other", slots=1)
    sleeper.pause()
    await yard.runs_reach("job", 2, RECOVERY_SECONDS)
    taken = await yard.leased("job")
    # The sleeper's body may end, the other one's not yet.
    yard.open_gate("end-1")
    sleeper.resume()
    assert await yard.opened(sleeper) != old
    assert await yard.records() == {}
    yard.open_gate("end-2")
    record = await yard.record("job")
    assert (record["status"], str(record["fence"])) == ("done", taken.fence)
    assert await yard.history("done") == ["job"]
    await yard.published("out/job", "bytes", by=other)


async def test_an_old_fence_opens_no_door(yard: Yard) -> None:
    """Faults row 5: under a dead session and its fence, and under the living one and the old fence, all is refused."""
    sleeper = await yard.started("sleeper", slots=1)
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    old = await yard.leased("job")
    other = await yard.started("other", slots=1)
    sleeper.pause()
    await yard.runs_reach("job", 2, RECOVERY_SECONDS)
    now = await yard.leased("job")
    for session in (old.session, now.session):
        await _try_everything(yard, old, session)
        assert await yard.row("job") == now
    assert await yard.records() == {}
    assert await yard.queue.client.hget(yard.queue.keys.of("progress"), "job") is None
    yard.open_gate("end")
    assert str((await yard.record("job"))["fence"]) == now.fence
    sleeper.kill()
    other.kill()


async def _try_everything(yard: Yard, old: truth.Row, session: str) -> None:
    """Every script that speaks about a lease, with a fence that no longer stands."""
    lease = Lease(
        "job", old.generation, old.fence, old.stream, old.entry, 0, 0, 0, "stream:high:any", b'{"request_id":"job"}'
    )
    ending = Ending("job", old.fence, "done", b'"job":{}}')
    assert [each.code for each in await leasing.commit(yard.queue, session, [ending])] == ["refused"]
    for kind in ("attempt", "crash", "free"):
        assert await leasing.retry(yard.queue, session, [Retry(lease, kind, 0)]) == [False]
    assert await leasing.hand_back(yard.queue, session, [lease]) == [False]
    assert await leasing.hand_back_entries(yard.queue, old.session, [(old.stream, old.entry)]) in ([], [False])
    await leasing.report_progress(yard.queue, session, [Progress("job", old.fence, b'{"percent":99}')])


async def test_children_that_take_every_core_do_not_cost_the_session(yard: Yard) -> None:
    """Faults row 6: bodies compute for longer than L, the lease stays, and nothing runs twice."""
    ids = [f"job-{i}" for i in range(3)]
    watcher = await yard.started("watcher", slots=3)
    rival = await yard.started("rival", slots=1)
    session = await yard.session("watcher")
    rival.pause()
    await yard.submit(*(yard.gated(each, gate="end", child=True, payload={"spin": True}) for each in ids))
    for each in ids:
        await yard.runs_reach(each, 1)
    rival.resume()
    await yard.pass_a_life()
    yard.open_gate("end")
    await yard.all_done(*ids)
    assert [yard.runs(each) for each in ids] == [1, 1, 1]
    assert await yard.session("watcher") == session
    assert watcher.running


async def test_a_job_fed_to_a_stopped_reader_runs_elsewhere(yard: Yard) -> None:
    """Faults row 7b: the server still feeds a stopped client that waits; the next sweep takes that back."""
    other = await yard.started("other", slots=1)
    await yard.submit(yard.gated("occupies", gate="free"))
    await yard.runs_reach("occupies", 1)
    # The only free slot is the sleeper's, and its blocked read outlasts the time that a submit takes.
    slow = {"WATCHER_POLL_INTERVAL": "2", "WATCHER_SESSION_TTL": "6"}
    sleeper = await yard.started("sleeper", slots=1, **slow)
    await wait_until(lambda: _fresh_read(yard), 30, what="a read that has just begun to wait")
    sleeper.pause()
    old = await yard.session("sleeper")
    await yard.submit(yard.gated("job"))
    await wait_until(lambda: _pending_of(yard, old), 10, what="an entry fed to the stopped reader")
    await yard.reaped(old)
    yard.open_gate("free")
    await yard.all_done("job", "occupies", deadline_seconds=RECOVERY_SECONDS)
    assert (yard.runs("job"), yard.runs("occupies")) == (1, 1)
    assert other.running


async def _fresh_read(yard: Yard) -> bool:
    clients = await yard.queue.client.client_list()
    return any(each["cmd"] == "xreadgroup" and "b" in each["flags"] and each["idle"] == "0" for each in clients)


async def _pending_of(yard: Yard, session: str) -> bool:
    lane = yard.queue.keys.stream("lane:metal:any")
    page = await yard.queue.client.xpending_range(lane, "watchers", min="-", max="+", count=10)
    return any(each["consumer"] == session.encode() for each in page)


async def test_a_second_watcher_of_one_name_is_refused_and_told_where_the_first_is(yard: Yard) -> None:
    """Faults row 7c: two hosts, one name: exit 1, and the message names the first one's host and process."""
    first = await yard.started("desk", host="here")
    session = await yard.session("desk")
    beat = await yard.heartbeat("desk")
    second = yard.watcher("desk", host="there")
    second.start()
    assert await second.ended() == 1
    assert f"session {session}" in second.log
    assert str(beat["host"]) in second.log
    assert str(beat["pid"]) in second.log
    assert "--consumer-name" in second.log
    assert await yard.members() == {session}
    await yard.submit(yard.gated("job"))
    await yard.all_done("job")
    assert first.running


async def test_a_second_watcher_of_one_name_on_one_host_is_refused(yard: Yard) -> None:
    """The same by the locked file, before the server is asked; the first one's session is untouched."""
    first = await yard.started("desk")
    session = await yard.session("desk")
    second = yard.watcher("desk")
    second.start()
    assert await second.ended() == 1
    assert session in second.log
    assert await yard.members() == {session}
    assert first.running
