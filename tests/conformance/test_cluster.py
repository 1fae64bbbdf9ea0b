"""A queue on a Redis Cluster: every script, blocking read and pipeline on the node that has its slot.

Two real nodes, asked by way of the wrong one. The whole queue is in one slot, or refused.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from redis.crc import key_slot

from lib.errors import SettingsError, UnreachableError
from lib.jobqueue.protocol import Retry
from lib.redisqueue import leasing, overview, producing, reader, upkeep
from lib.redisqueue.connection import connect
from lib.redisqueue.fsck import fsck
from lib.redisqueue.queue import Queue
from tests.conformance.stage import METAL, Stage, ending, submission
from tests.conformance.truth import read_truth
from tests.support.servers import RealServer, Redis7Server, ValkeyServer
from tests.support.topologies import Cluster, cluster
from tests.support.wait import wait_until
from tests.support.watchers import RUNNER, WATCHER, environment_of, run_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture(scope="module", params=[ValkeyServer, Redis7Server], ids=["valkey", "redis7"])
def nodes(
    request: pytest.FixtureRequest, redis7: RealServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Two nodes, each with half of the slots."""
    assert redis7.port
    with cluster(tmp_path_factory.mktemp("cluster"), kind=request.param) as running:
        yield running


@pytest.fixture
def braced(prefix: str) -> str:
    """A prefix in one slot."""
    return f"{{{prefix}}}"


def _owner(nodes: Cluster, prefix: str) -> RealServer:
    return nodes.owner(key_slot(f"{prefix}:jobs:req:index".encode()))


def _other(nodes: Cluster, owner: RealServer) -> RealServer:
    return next(node for node in nodes.nodes if node is not owner)


@pytest.fixture
async def stage(nodes: Cluster, braced: str) -> AsyncIterator[Stage]:
    """A queue whose URL names the node that does not have it; sound at the end."""
    url = _other(nodes, _owner(nodes, braced)).url
    queue = Queue.over(connect(url, prefix=braced), url, braced)
    await queue.refresh_streams()
    found = Stage(queue, "cluster")
    yield found
    await found.check()
    keys = (await read_truth(queue)).keys
    assert {key_slot(key.encode()) for key in keys} == {key_slot(f"{braced}:jobs:fence".encode())}
    await queue.client.unlink(*keys)
    await queue.client.aclose()


async def test_a_jobs_whole_way(stage: Stage) -> None:
    """Submitted, moved, read by a block, started, retried, due, committed, published, cancelled, flushed, fscked."""
    queue = stage.queue
    session = await stage.open()
    blocking = connect(queue.url, block_seconds=1, prefix=queue.keys.prefix)
    try:
        assert await stage.codes(submission("a"), submission("b"), submission("c")) == ["queued"] * 3
        assert await stage.codes(submission("a")) == ["duplicate_request"]
        await stage.move()
        entries = await leasing.wait_for_entries(queue, blocking, session, [METAL], block_ms=500)
    finally:
        await blocking.aclose()
    started = await leasing.start(queue, session, [METAL], entries=entries, read=5)
    a, b, _ = started.leases
    assert await leasing.retry(queue, session, [Retry(b, "attempt", 0)]) == [True]
    assert await stage.finish(session, ending(a, publish=True)) == ["ok"]
    assert await upkeep.publish(queue, await upkeep.read_outbox(queue)) == ["ok"]
    assert await stage.cancel("b") == "cancelled"
    assert [found.status for found in await reader.results(queue, ["a", "b", "c"])] == ["done", "cancelled", "leased"]
    assert (await stage.kill(session)).put_back == 1
    totals = (await overview.overview(queue, lease_idle_ms=1000))["totals"]
    assert (totals["done"], totals["cancelled"], totals["outstanding"]) == (1, 1, 1)
    assert await fsck(queue, repair=False) == []
    assert (await producing.flush(queue, hard=False, force=True)).jobs == 1


@pytest.mark.parametrize("nodes", [ValkeyServer], ids=["valkey"], indirect=True)
async def test_a_prefix_without_braces_is_refused_everywhere(nodes: Cluster, prefix: str, tmp_path: Path) -> None:
    """Watcher, enqueue, status and doctor name the mend; nothing was written."""
    environ = environment_of(nodes.nodes[0].url, prefix, tmp_path, {})
    (tmp_path / "jobs.yaml").write_text(json.dumps([{"task": "sleep", "request_id": "a", "payload": {"seconds": 0}}]))
    asked: list[tuple[tuple[str, str], tuple[str, ...]]] = [
        (WATCHER, ()),
        (RUNNER, ("enqueue", "jobs.yaml")),
        (RUNNER, ("status",)),
        (RUNNER, ("doctor",)),
    ]
    answers = await asyncio.gather(
        *(run_program(program, *words, environ=environ, cwd=tmp_path) for program, words in asked)
    )
    assert [code for code, _, _ in answers] == [2, 2, 2, 1], answers
    for _, out, err in answers:
        assert f"JOBS_PREFIX: '{prefix}' would spread the queue" in " ".join((out + err).split())
        assert f"JOBS_PREFIX='{{{prefix}}}'" in out + err
    assert all(b":0\r\n" in node.command("DBSIZE") for node in nodes.nodes)


@pytest.mark.parametrize("nodes", [ValkeyServer], ids=["valkey"], indirect=True)
async def test_the_programs_work_by_way_of_the_wrong_node(nodes: Cluster, braced: str, tmp_path: Path) -> None:
    """Enqueue, drain and report, each told of the node that does not have the queue."""
    owner = _owner(nodes, braced)
    environ = environment_of(_other(nodes, owner).url, braced, tmp_path, {})
    rows: list[dict[str, Any]] = [{"task": "sleep", "request_id": name, "payload": {"seconds": 0}} for name in "abc"]
    (tmp_path / "jobs.yaml").write_text(json.dumps(rows))
    shown = ""
    for program, words in (
        (RUNNER, ("enqueue", "jobs.yaml")),
        (WATCHER, ("--drain",)),
        (RUNNER, ("report", "jobs.yaml", "--json")),
    ):
        code, shown, err = await run_program(program, *words, environ=environ, cwd=tmp_path)
        assert code == 0, (words, err)
    assert json.loads(shown)["summary"]["done"] == 3
    client = connect(owner.url, prefix=braced)
    try:
        await client.unlink(*(await read_truth(Queue.over(client, owner.url, braced))).keys)
    finally:
        await client.aclose()


async def test_a_slot_that_moves_is_followed(nodes: Cluster, braced: str) -> None:
    """MOVED: the command was not done, the next one asks for the new owner; other connections leave with it."""
    slot = key_slot(f"{braced}:jobs:req:index".encode())
    owner = _owner(nodes, braced)
    url = owner.url
    stage = Stage(Queue.over(connect(url, prefix=braced), url, braced), "cluster")
    try:
        assert await stage.now_ms()
        nodes.move(slot, _other(nodes, owner))
        with pytest.raises(UnreachableError):
            await stage.codes(submission("a"))
        assert await stage.codes(submission("a")) == ["queued"]
        await stage.check()
        await producing.flush(stage.queue, hard=True, force=True)
        await stage.queue.client.unlink(*(await read_truth(stage.queue)).keys)
    finally:
        nodes.move(slot, owner)
        await stage.queue.client.aclose()


async def test_a_cluster_without_the_slot_is_named_and_waited_for(nodes: Cluster, braced: str) -> None:
    """Nobody has it: unreachable with the mend, and going on when somebody has."""
    slot = key_slot(f"{braced}:jobs:req:index".encode())
    owner = _owner(nodes, braced)
    client = connect(owner.url, prefix=braced)
    stage = Stage(Queue.over(client, owner.url, braced), "cluster")
    for node in nodes.nodes:
        node.command("CLUSTER", "DELSLOTS", str(slot))
    try:
        with pytest.raises(UnreachableError, match=f"no node for slot {slot}") as caught:
            await stage.codes(submission("a"))
        assert "redis-cli --cluster fix" in str(caught.value.hint)
    finally:
        owner.command("CLUSTER", "ADDSLOTS", str(slot))

    async def queued() -> bool:
        try:
            return bool(await stage.codes(submission("a")))
        except UnreachableError:
            return False

    await wait_until(queued, 30, what="a Cluster that is whole again")
    await stage.check()
    await client.unlink(*(await read_truth(stage.queue)).keys)
    await client.aclose()


async def test_the_check_of_the_server_refuses_it_too(nodes: Cluster, prefix: str) -> None:
    """Whoever made its client without a prefix is stopped by `check_server`."""
    client = connect(nodes.nodes[0].url)
    try:
        with pytest.raises(SettingsError, match="would spread the queue"):
            await Queue.over(client, nodes.nodes[0].url, prefix).check_server()
    finally:
        await client.aclose()
