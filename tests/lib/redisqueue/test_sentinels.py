"""Sentinels: the master that most of them know, also while some are gone; what is wrong is named with its mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.errors import SettingsError, UnreachableError
from lib.redisqueue.connection import connect, edge
from lib.redisqueue.sentinels import ask_sentinels
from lib.server_url import parse_server_url
from tests.support.servers import free_port
from tests.support.topologies import SERVICE, Sentinel, Watched, watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.redisqueue.sentinels import Service
    from tests.support.servers import RealServer


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Nobody harms it."""
    with watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


async def _ask(url: str) -> Service:
    return await ask_sentinels(parse_server_url(url), url)


async def _ping(url: str) -> bool:
    client = connect(url)
    try:
        async with edge(url):
            return bool(await client.ping())
    finally:
        await client.aclose()


async def test_the_master_and_how_safe_it_is(group: Watched) -> None:
    """Everything that the doctor says of a service."""
    seen = await _ask(group.url)
    assert seen.master == ("127.0.0.1", group.first.port)
    assert (seen.down, seen.replicas, seen.quorum, seen.sentinels) == (False, 1, 2, 3)
    assert (seen.answered, seen.asked) == (3, 3)


async def test_sentinels_that_are_gone_or_silent_are_done_without(group: Watched) -> None:
    """One answer is enough; a paused one costs its second and no more."""
    group.sentinels[0].pause()
    try:
        hosts = f"127.0.0.1:{free_port()},{group.hosts}"
        seen = await _ask(f"redis+sentinel://{hosts}/{SERVICE}")
    finally:
        group.sentinels[0].resume()
    assert (seen.answered, seen.asked) == (2, 4)
    assert seen.master == ("127.0.0.1", group.first.port)


async def test_the_newest_word_counts(tmp_path: Path) -> None:
    """One that was cut off still names the former master: the highest configuration epoch wins, in any order."""
    former, present = free_port(), free_port()
    with (
        Sentinel(tmp_path / "cut-off", former, epoch=3) as behind,
        Sentinel(tmp_path / "there", present, epoch=5) as ahead,
    ):
        for hosts in ((behind, ahead), (ahead, behind)):
            places = ",".join(f"127.0.0.1:{each.port}" for each in hosts)
            seen = await _ask(f"redis+sentinel://{places}/{SERVICE}")
            assert (seen.master, seen.epoch) == (("127.0.0.1", present), 5)


async def test_a_service_that_nobody_knows(group: Watched) -> None:
    """What each Sentinel said is in the message."""
    url = f"redis+sentinel://{group.hosts}/other"
    with pytest.raises(UnreachableError, match=r"knows a master of 'other': .*No such master with that name") as caught:
        await _ping(url)
    assert "mend hosts, service" in str(caught.value.hint)


async def test_no_sentinel_at_all() -> None:
    """Each one's error is named."""
    with pytest.raises(UnreachableError, match=r"knows a master of 'queue': 127\.0\.0\.1:1: .*111"):
        await _ping("redis+sentinel://127.0.0.1:1/queue")


async def test_a_sentinel_taken_for_a_server(group: Watched) -> None:
    """A plain URL to a Sentinel is a mistake of the settings, and the mend is the right URL."""
    port = group.sentinels[0].port
    with pytest.raises(SettingsError, match=f"127.0.0.1:{port} is a Sentinel, not a server") as caught:
        await _ping(f"redis://127.0.0.1:{port}/0")
    assert caught.value.hint == f"write redis+sentinel://127.0.0.1:{port}/SERVICE"


async def test_a_master_that_is_none_is_not_used(own_valkey: RealServer, group: Watched) -> None:
    """The Sentinels name it, and it says that it is a replica: a failover is under way, nothing is sent to it."""
    group.sentinels[2].command("SENTINEL", "MONITOR", "odd", "127.0.0.1", str(own_valkey.port), "1")
    own_valkey.command("REPLICAOF", "127.0.0.1", str(group.first.port))
    with pytest.raises(UnreachableError, match="name a server that is no master yet"):
        await _ping(f"redis+sentinel://127.0.0.1:{group.sentinels[2].port}/odd")
    group.sentinels[2].command("SENTINEL", "REMOVE", "odd")
