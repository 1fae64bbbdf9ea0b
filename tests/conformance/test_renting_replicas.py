"""Where a server has replicas, nothing is rented of which only this one server knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.redisqueue import instances
from lib.redisqueue.connection import connect
from lib.redisqueue.instances import Intended, RentRefused
from lib.redisqueue.queue import Queue
from tests.conformance.renting import USD, Renting
from tests.conformance.stage import Stage
from tests.support.servers import RealServer, ValkeyServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[RealServer, RealServer]]:
    """A server and its replica."""
    # By default a master waits five seconds for further replicas before it sends the first one its data.
    with ValkeyServer(tmp_path / "master", options=("--repl-diskless-sync-delay", "0")) as master:
        options = ("--replicaof", "127.0.0.1", str(master.port))
        with ValkeyServer(tmp_path / "replica", options=options) as replica:
            yield master, replica


@pytest.fixture
async def renting(pair: tuple[RealServer, RealServer], prefix: str) -> AsyncIterator[Renting]:
    """A watcher on the server, when its replica is there."""
    master, replica = pair
    queue = Queue.over(connect(master.url), master.url, prefix)
    await queue.refresh_streams()
    await wait_until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"))
    try:
        yield await Renting(Stage(queue, "pair")).opened()
    finally:
        await queue.client.aclose()


async def test_an_intent_is_on_a_replica_before_anything_is_paid(
    renting: Renting, pair: tuple[RealServer, RealServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there when the answer comes, also the second time; a replica that hangs means no rent, nothing reserved."""
    _, replica = pair
    key = renting.stage.queue.keys.of("instances")
    for _ in range(2):
        first = await renting.ask()
        assert isinstance(first, Intended)
        assert b"|" + first.fence.encode() + b"|intended|" in replica.command("HGET", key, "aaaa0001")
    monkeypatch.setattr(instances, "REPLICA_WAIT_MS", 50)
    replica.pause()
    assert await renting.ask() == RentRefused("replicas")
    assert await renting.ask("aaaa0002") == RentRefused("replicas")
    replica.resume()
    assert await renting.rows() == {}
    assert await renting.money() == (0, 0)
    assert await instances.bills(renting.stage.queue) == []
    assert isinstance(await renting.ask("aaaa0003", reserve=USD), Intended)
