"""What an operator's hand or a restart does to keys, scripts and groups; and what the queue does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import WrongKeyError
from lib.jobqueue.protocol import Progress, Retry
from lib.redisqueue import conducting, leasing, producing, sessions, upkeep
from tests.conformance.stage import METAL, Stage, by_id, ending, submission
from tests.conformance.truth import text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lib.jobqueue.protocol import Lease


async def everything(stage: Stage) -> dict[str, Any]:
    """Every key under the prefix with its type and content."""
    client = stage.queue.client
    found = {}
    async for key in client.scan_iter(match=f"{stage.queue.keys.prefix}:*"):
        kind = text(await client.type(key))
        readers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "hash": client.hgetall,
            "set": client.smembers,
            "stream": client.xrange,
            "string": client.get,
            "zset": lambda name: client.zrange(name, 0, -1, withscores=True),
            "list": lambda name: client.lrange(name, 0, -1),
        }
        found[text(key)] = (kind, await readers[kind](key))
    return found


def transitions(stage: Stage, session: str, lease: Lease) -> dict[str, tuple[str, Callable[[], Awaitable[Any]]]]:
    """Every transition that writes, with a key that it touches late."""
    queue = stage.queue
    return {
        "submit": ("delayed", lambda: stage.submit(submission("new"))),
        "commit": ("history_done", lambda: stage.finish(session, ending(lease))),
        "commit, outbox": ("outbox", lambda: stage.finish(session, ending(lease, publish=True))),
        "retry": ("due", lambda: leasing.retry(queue, session, [Retry(lease, "free", 0)])),
        "hand back": ("progress", lambda: leasing.hand_back(queue, session, [lease])),
        "cancel": ("history_cancelled", lambda: stage.cancel("a")),
        "sweep": ("events", stage.sweep),
        "due": ("key_wait", lambda: conducting.queue_due(queue)),
        "expire": ("events", lambda: upkeep.expire(queue)),
        "move": ("events", stage.move),
        "progress": ("events", lambda: leasing.report_progress(queue, session, [Progress("a", lease.fence, b"{}")])),
        "start": ("rejected", lambda: stage.start(session)),
        "flush": ("control", lambda: producing.flush(queue, hard=True, force=True)),
        "renew": ("heartbeat", lambda: sessions.renew(queue, session, name="w", life_ms=1, heartbeat=b"}", held=[])),
    }


@pytest.mark.parametrize("kind", ["string", "list"])
@pytest.mark.parametrize(
    "name",
    [
        *("submit", "commit", "commit, outbox", "retry", "hand back", "cancel", "sweep", "due", "expire", "move"),
        *("progress", "start", "flush", "renew"),
    ],
)
async def test_a_key_of_another_type_stops_a_script_before_its_first_write(stage: Stage, name: str, kind: str) -> None:
    """Faults row 15: Lua is not rolled back, so nothing is written: no ack without a record."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.submit(submission("b"))
    key, call = transitions(stage, session, lease)[name]
    full = stage.queue.keys.of(key)
    await stage.queue.client.delete(full)
    await (stage.queue.client.set(full, "x") if kind == "string" else stage.queue.client.rpush(full, "x"))
    before = await everything(stage)
    with pytest.raises(WrongKeyError, match=full):
        await call()
    assert await everything(stage) == before
    await stage.queue.client.delete(full)
    stage.damaged("a key was removed by hand")


async def test_a_lane_of_another_type_stops_it_too(stage: Stage) -> None:
    """Streams come and go, but are checked like the fixed keys."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    key = stage.queue.keys.stream(METAL)
    await stage.queue.client.delete(key)
    await stage.queue.client.set(key, "x")
    with pytest.raises(WrongKeyError, match=key):
        await stage.finish(session, ending(lease))
    assert (await stage.active("a")).state == "L"
    await stage.queue.client.delete(key)
    stage.damaged("a lane was removed by hand")


async def test_scripts_survive_a_script_flush(stage: Stage) -> None:
    """Faults row 14, NOSCRIPT: each script is sent again, and runs once."""
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.queue.client.script_flush()
    assert await stage.finish(session, ending(lease)) == ["ok"]
    await stage.queue.client.script_flush()
    assert await stage.codes(submission("a"), submission("b")) == ["already_done", "queued"]


async def test_a_flushed_server_is_used_again(real_stage: Stage) -> None:
    """Faults row 12, all keys gone: groups are made again from 0, and new work runs.

    The keys of this prefix are deleted one by one where the server is shared; to the queue that is FLUSHALL.
    """
    stage = real_stage  # fakeredis answers a read of a missing lane with another error
    session = await stage.open()
    (lease,) = await stage.lease(session, "a")
    await stage.queue.client.delete(*(await everything(stage)))
    assert await stage.finish(session, ending(lease)) == ["refused"]
    stage.epoch = ""
    session = await stage.open("again")
    assert await leasing.wait_for_entries(stage.queue, stage.queue.client, session, [METAL], block_ms=1) == []
    await stage.submit(submission("a"))
    stage.leader, stage.epoch = session, (await sessions.lead(stage.queue, session)).epoch
    await conducting.move(stage.queue, session, stage.epoch, [])
    await stage.move()
    assert [found.request_id for found in await stage.start(session)] == ["a"]


async def test_a_start_on_a_lane_that_was_deleted_makes_its_group_again(real_stage: Stage) -> None:
    """Faults row 12, DEL of a lane: NOGROUP is mended inside the call, and no job elsewhere is harmed."""
    stage = real_stage  # fakeredis answers a read of a missing lane with another error
    session = await stage.open()
    await stage.lease(session, "a")
    await stage.queue.client.delete(stage.queue.keys.stream(METAL))
    assert await stage.start(session) == []
    await stage.submit(submission("b"))
    await stage.move()
    assert [lease.request_id for lease in await stage.start(session)] == ["b"]
    stage.damaged("the lane of job a was removed by hand; fsck finds it")


async def test_a_lost_group_delivers_again_and_the_living_keep_theirs(stage: Stage) -> None:
    """From 0, never from `$`: what waited is delivered; a running job is claimed back to its owner."""
    owner, other = await stage.open(), await stage.open("other")
    (kept,) = await stage.lease(owner, "a")
    await stage.submit(submission("b"))
    await stage.move()
    await stage.queue.client.xgroup_destroy(stage.queue.keys.stream(METAL), "watchers")
    leases = by_id(await stage.start(other))
    assert leases.keys() == {"b"}
    assert (await stage.pending())[kept.entry] == owner


async def test_a_start_that_reads_two_lanes_mends_the_one_without_a_group(stage: Stage) -> None:
    """One lane's lost group never stops what waits in another for longer than a sweep."""
    session = await stage.open()
    await sessions.ensure_lanes(stage.queue, [METAL, "lane:metal:any"])
    await stage.submit(submission("a"))
    await stage.move()
    await stage.queue.client.xgroup_destroy(stage.queue.keys.stream("lane:metal:any"), "watchers")
    started = await leasing.start(stage.queue, session, ["lane:metal:any", METAL], read=2)
    assert [lease.request_id for lease in started.leases] == ["a"]
    await stage.sweep()


async def test_an_unknown_row_of_the_index_is_left_alone(stage: Stage) -> None:
    """A row that nobody can read stops none of its neighbours."""
    await stage.submit(submission("a"), submission("b"))
    await stage.queue.client.hset(stage.queue.keys.of("index"), "a", "nonsense")
    assert (await stage.move()).counts == (1,)
    assert await stage.place("b") == f"Q {METAL}"
    stage.damaged("the row of job a was overwritten by hand")
    await stage.queue.client.hdel(stage.queue.keys.of("index"), "a")
