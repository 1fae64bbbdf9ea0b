"""What only a real server does: fill up, lose its disk, lose replies, and be left in mid-command."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import TimeoutError as RedisTimeoutError

from lib.errors import ServerFullError, UnreachableError
from lib.jobqueue.moves import Move
from lib.redisqueue import conducting, leasing, producing, sessions
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.conformance.stage import LIFE_MS, METAL, Stage, ending, submission
from tests.support.proxy import FaultProxy
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.servers import RealServer


@pytest.fixture(params=["own_valkey", "own_redis7"])
async def own_stage(request: pytest.FixtureRequest, prefix: str) -> AsyncIterator[Stage]:
    """A queue on a server that this test may fill or break."""
    server: RealServer = request.getfixturevalue(request.param)
    queue = Queue.over(connect(server.url), server.url, prefix)
    await queue.refresh_streams()
    stage = Stage(queue, request.param)
    yield stage
    await stage.check()
    await queue.client.aclose()


@pytest.fixture
async def proxied(real_stage: Stage) -> AsyncIterator[tuple[Stage, FaultProxy]]:
    """The same queue seen through a proxy that can lose replies; and the proxy."""
    port = int(real_stage.queue.url.rpartition(":")[2].partition("/")[0])
    async with FaultProxy(port) as proxy:
        client = connect(proxy.url)
        seen = Queue.over(client, proxy.url, real_stage.queue.keys.prefix)
        await seen.refresh_streams()
        yield Stage(seen, real_stage.server), proxy
        await client.aclose()


async def test_at_maxmemory_nothing_new_is_accepted_and_what_runs_can_end(own_stage: Stage) -> None:
    """Faults row 13: submit says so and leaves nothing half; commit, renewal, retry and cancel complete."""
    stage = own_stage
    session = await stage.open()
    one, two = await stage.lease(session, "a", "b")
    await stage.submit(submission("c"))
    await stage.queue.client.config_set("maxmemory", "1")
    with pytest.raises(ServerFullError):
        await stage.submit(submission("d", intake="stream:low:any"))
    renewed = await sessions.renew(
        stage.queue, session, name="w", life_ms=LIFE_MS, heartbeat=b'"slots":1}', held=[one, two]
    )
    assert (renewed.alive, renewed.lost) == (True, ())
    assert await stage.finish(session, ending(one, publish=True, ttl_ms=60_000)) == ["ok"]
    assert await leasing.hand_back(stage.queue, session, [two]) == [True]
    assert await stage.cancel("c") == "cancelled"
    order = Move("stream:high:speech", METAL, 9, 9, (METAL,), 9)
    assert (await conducting.move(stage.queue, stage.leader, stage.epoch, [order])).counts == (1,)
    assert len(await stage.start(session)) == 1
    assert (await stage.sweep()).ran
    # A watcher that starts now must be able to drain what fills the memory.
    assert await sessions.close_session(stage.queue, stage.leader, name="leader")
    heir = await stage.open("heir")
    await sessions.ensure_lanes(stage.queue, [METAL, "lane:metal:any"])
    assert (await sessions.lead(stage.queue, heir)).mine
    await stage.queue.client.config_set("maxmemory", "0")
    assert await stage.codes(submission("d")) == ["queued"]


async def test_a_disk_that_cannot_be_written_is_a_server_that_does_not_answer_for_now(
    own_valkey: RealServer, prefix: str
) -> None:
    """Faults row 14, MISCONF: it passes, so it is unreachable, never a failed job; nothing was written."""
    queue = Queue.over(connect(own_valkey.url), own_valkey.url, prefix)
    stage = Stage(queue, "own_valkey")
    await stage.submit(submission("a"))
    await queue.client.config_set("save", "3600 1")
    # Its directory is gone, so a snapshot fails; what is open, the append-only file, goes on.
    shutil.rmtree(own_valkey.directory)
    await queue.client.bgsave()

    async def snapshot_failed() -> bool:
        return bool((await queue.client.info("persistence"))["rdb_last_bgsave_status"] == "err")

    await wait_until(snapshot_failed)
    with pytest.raises(UnreachableError, match="MISCONF"):
        await stage.submit(submission("b"))
    await queue.client.config_set("save", "")
    assert await stage.codes(submission("a"), submission("b")) == ["duplicate_request", "queued"]
    await queue.client.aclose()


async def test_a_submit_whose_reply_is_lost_is_one_job(proxied: tuple[Stage, FaultProxy]) -> None:
    """Faults row 1: the script was applied, the caller repeats it, and there is one job."""
    stage, proxy = proxied
    await stage.submit(submission("warm"))
    trap = proxy.trap_reply(b"hash-a")
    with pytest.raises(UnreachableError):
        await stage.submit(submission("a"))
    assert trap.caught.is_set()
    assert await stage.codes(submission("a")) == ["duplicate_request"]
    assert (await stage.check()).counters["accepted"] == 2


async def test_a_start_whose_reply_is_lost_is_found_in_the_own_list(proxied: tuple[Stage, FaultProxy]) -> None:
    """Faults row 7: leased and never seen; the own pending entries are started again with a new fence."""
    stage, proxy = proxied
    session = await stage.open()
    await stage.submit(submission("a"), submission("b"))
    await stage.move(count=1)
    await stage.start(session)
    await stage.move()
    proxy.trap_reply(b"EVALSHA")
    with pytest.raises(UnreachableError):
        await stage.start(session)
    unseen = await stage.active("b")
    entries = await leasing.pending_entries(stage.queue, session, [METAL])
    assert (METAL, unseen.entry) in entries
    started = await leasing.start(stage.queue, session, [METAL], entries=[(METAL, unseen.entry)], again=True)
    (lease,) = started.leases
    assert int(lease.fence) > int(unseen.fence)
    assert await stage.finish(session, ending(lease)) == ["ok"]


async def test_a_blocked_read_whose_reply_is_lost_is_found_in_the_own_list(proxied: tuple[Stage, FaultProxy]) -> None:
    """Faults row 7: delivered, never leased, never seen; no death is counted for it."""
    stage, proxy = proxied
    session = await stage.open()
    await stage.submit(submission("a"))
    await stage.move()
    proxy.trap_reply(b"XREADGROUP")
    with pytest.raises(UnreachableError):
        await leasing.wait_for_entries(stage.queue, stage.queue.client, session, [METAL], block_ms=50)
    entries = await leasing.pending_entries(stage.queue, session, [METAL])
    (lease,) = (await leasing.start(stage.queue, session, [METAL], entries=entries, again=True)).leases
    assert (lease.request_id, lease.deaths) == ("a", 0)


async def test_a_commit_whose_reply_is_lost_is_one_record(proxied: tuple[Stage, FaultProxy]) -> None:
    """Faults row 1 at the other end: sent again, it answers `already`."""
    stage, proxy = proxied
    session = await stage.open()
    one, two = await stage.lease(session, "a", "b")
    await stage.finish(session, ending(one))
    proxy.trap_reply(b"EVALSHA")
    with pytest.raises(UnreachableError):
        await stage.finish(session, ending(two))
    assert await stage.finish(session, ending(two)) == ["already"]


async def test_a_command_cancelled_in_mid_flight_leaves_no_reply_for_the_next(
    proxied: tuple[Stage, FaultProxy],
) -> None:
    """Faults row 22: that connection is dropped; whatever is asked next gets its own answer."""
    stage, proxy = proxied
    await stage.submit(submission("warm"))
    for number in range(5):
        trap = proxy.trap_reply(f"hash-{number}".encode(), then="hold")
        task = asyncio.create_task(stage.submit(submission(f"j{number}", content=str(number))))
        await asyncio.wait_for(trap.caught.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        trap.release()
        assert await stage.queue.client.echo(f"mine {number}") == f"mine {number}".encode()
        assert await stage.codes(submission("warm")) == ["duplicate_request"]
    assert await stage.codes(*(submission(f"j{i}", content=str(i)) for i in range(5))) == ["duplicate_request"] * 5


async def test_a_batch_over_a_reset_connection_is_whole_or_absent(proxied: tuple[Stage, FaultProxy]) -> None:
    """Promise 1: cut anywhere, a second run completes it."""
    stage, proxy = proxied
    jobs = [submission(f"j{i}", content="x" * 2000) for i in range(600)]
    await stage.submit(submission("warm"))
    proxy.trap_reply(b"EVALSHA", skip=1)
    with pytest.raises(UnreachableError):
        await producing.submit(stage.queue, jobs)
    codes = await stage.codes(*jobs)
    assert set(codes) == {"duplicate_request", "queued"} or set(codes) == {"duplicate_request"}
    assert (await stage.check()).counters["accepted"] == 601


async def test_no_command_swallows_a_cancellation(real_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """`asyncio.wait_for` of Python 3.11 now and then does, and Ctrl-C would end nothing: it bounds no command."""
    await real_stage.submit(submission("warm"))

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a command is bounded by asyncio.wait_for")

    with monkeypatch.context() as patched:
        patched.setattr(asyncio, "wait_for", forbidden)
        await real_stage.submit(submission("a"))


@pytest.mark.parametrize("ends", ["timeout", "cancel"])
async def test_a_command_that_cannot_leave_is_given_up(proxied: tuple[Stage, FaultProxy], ends: str) -> None:
    """Faults row 22: nobody reads the other end; half of it may have left, so its connection is never used again."""
    stage, proxy = proxied
    client = stage.queue.client
    await client.echo("warm")
    (connection,) = client.connection_pool._available_connections
    connection.socket_timeout = 0.3 if ends == "timeout" else 60
    proxy.blackhole()
    echo: Any = client.echo("x" * 32_000_000)
    sending = asyncio.create_task(echo)
    if ends == "cancel":
        await wait_until(lambda: connection._writer and connection._writer.transport.get_write_buffer_size())
        sending.cancel()
    with pytest.raises(RedisTimeoutError if ends == "timeout" else asyncio.CancelledError):
        await sending
    proxy.restore()
    assert not connection.is_connected
    assert await client.echo("mine") == b"mine"
