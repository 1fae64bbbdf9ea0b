"""Replies that the server sent and the watcher never got: what they said is found out and done, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.redisqueue.scripts import load
from tests.chaos.yard import RECOVERY_SECONDS
from tests.support.proxy import AfterCatch, FaultProxy, ReplyTrap
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos

# Long enough that a trap is set and a job added within one blocked read; L follows from it.
SLOW = {"WATCHER_POLL_INTERVAL": "4", "WATCHER_SESSION_RENEW_EVERY": "1", "WATCHER_SESSION_TTL": "12"}


@pytest.fixture
async def proxy(yard: Yard) -> AsyncIterator[FaultProxy]:
    """A proxy before the yard's server."""
    async with FaultProxy(yard.server.port) as running:
        yield running


def _sha(script: str) -> bytes:
    return load(script).sha.encode()


async def _warm(yard: Yard, proxy: FaultProxy) -> None:
    """A watcher behind the proxy that has run a job and published it, so that the server knows every script."""
    await yard.started("watcher", url=proxy.url, slots=1, **SLOW)
    await yard.submit(yard.gated("warm", output_name="out/warm", payload={"output": "warm"}))
    await yard.all_done("warm")
    await yard.published("out/warm", "warm", by=yard.watchers[0])


@pytest.mark.parametrize("then", ["reset", "silence"])
async def test_a_blocked_read_whose_reply_is_lost_costs_nothing(
    yard: Yard, proxy: FaultProxy, then: AfterCatch
) -> None:
    """Faults row 7: delivered and never seen; the watcher compares with its own list and runs it, once."""
    await _warm(yard, proxy)
    trap = proxy.trap_reply(b"XREADGROUP", then=then)
    await wait_until(lambda: _armed(proxy, trap), 20, what="a blocked read behind the trap")
    await yard.submit(yard.gated("job"))
    await yard.all_done("job", deadline_seconds=RECOVERY_SECONDS + 12)
    assert trap.caught.is_set()
    assert yard.runs("job") == 1


def _armed(proxy: FaultProxy, trap: ReplyTrap) -> bool:
    return any(link.trap is trap for link in proxy._links)


@pytest.mark.parametrize("script", ["start", "commit", "publish", "move", "renew"])
async def test_a_script_whose_reply_is_lost_is_harmless(yard: Yard, proxy: FaultProxy, script: str) -> None:
    """Faults row 7: applied and never heard of; the job is done, run once, recorded once, and published."""
    await _warm(yard, proxy)
    session = await yard.session("watcher")
    trap = proxy.trap_reply(_sha(script))
    await yard.submit(yard.gated("job", output_name="out/job", payload={"output": "sound"}))
    await yard.all_done("job", deadline_seconds=RECOVERY_SECONDS + 12)
    await wait_until(trap.caught.is_set, 20)
    await yard.published("out/job", "sound", by=yard.watchers[0])
    assert yard.runs("job") == 1
    assert await yard.history("done") == ["warm", "job"]
    assert await yard.session("watcher") == session


async def test_replies_lost_again_and_again_do_not_double_a_job(yard: Yard, proxy: FaultProxy) -> None:
    """Every third connection breaks at the next start or commit for a while; each job runs once all the same."""
    await _warm(yard, proxy)
    ids = [f"job-{i:02}" for i in range(12)]
    traps = [proxy.trap_reply(_sha(script), skip=skip) for skip in (1, 3, 5) for script in ("start", "commit")]
    await yard.submit(*(yard.gated(each) for each in ids))
    await yard.all_done(*ids)
    assert any(trap.caught.is_set() for trap in traps)
    assert [yard.runs(each) for each in ids] == [1] * len(ids)


async def test_a_reply_held_until_the_session_is_gone_changes_nothing(yard: Yard, proxy: FaultProxy) -> None:
    """Faults row 19, the barrier: a commit that was applied before the reap is the record; nobody runs it again."""
    await yard.started("watcher", url=proxy.url, slots=1)
    await yard.submit(yard.gated("warm"))
    await yard.all_done("warm")
    await yard.submit(yard.gated("job", gate="end"))
    await yard.runs_reach("job", 1)
    old = await yard.session("watcher")
    trap = proxy.trap_reply(_sha("commit"), then="hold")
    yard.open_gate("end")
    await wait_until(trap.caught.is_set, 20)
    record = await yard.record("job")
    proxy.blackhole()
    await yard.started("other", slots=1, host="elsewhere")
    await yard.reaped(old)
    trap.release()
    proxy.restore()
    assert await yard.opened(yard.watchers[0]) != old
    assert await yard.record("job") == record
    assert yard.runs("job") == 1


async def test_a_commit_that_arrives_after_the_reap_is_refused(yard: Yard, proxy: FaultProxy) -> None:
    """Faults row 19, the other order: the job runs elsewhere by then, so the late ending is nobody's."""
    await yard.started("watcher", url=proxy.url, slots=1)
    payload = {"output": "sound", "gate_a_run": True}
    await yard.submit(yard.gated("job", gate="end", output_name="out/job", payload=payload))
    await yard.runs_reach("job", 1)
    old = await yard.session("watcher")
    other = await yard.started("other", slots=1)
    proxy.blackhole()
    # The first run ends now, and its commit is on its way for as long as the cable is cut.
    yard.open_gate("end-1")
    await yard.reaped(old)
    await yard.runs_reach("job", 2, RECOVERY_SECONDS)
    taken = await yard.leased("job")
    proxy.restore()
    assert await yard.opened(yard.watchers[0]) != old
    assert await yard.records() == {}
    assert await yard.row("job") == taken
    yard.open_gate("end-2")
    assert str((await yard.record("job"))["fence"]) == taken.fence
    assert yard.runs("job") == 2
    assert await yard.history("done") == ["job"]
    await yard.published("out/job", "sound", by=other)
