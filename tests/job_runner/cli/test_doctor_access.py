"""`job-runner doctor` on servers that are not the plain one: Sentinels, a full memory, a user who lacks rights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.servers import RealServer, ValkeyServer
from tests.support.topologies import SERVICE, Watched, watched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.job_runner.conftest import JobRunner


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Nobody harms it."""
    with watched(tmp_path_factory.mktemp("watched")) as running:
        yield running


def _check(runner: JobRunner, name: str, url: str) -> dict[str, str]:
    (found,) = [
        each for each in runner("doctor", "--json", "--redis-url", url).document["checks"] if each["name"] == name
    ]
    return dict(found)


def test_sentinels_are_counted(runner: JobRunner, group: Watched) -> None:
    """Who answers, who watches, the quorum and the replicas; one that is named and silent is a note."""
    found = _check(runner, "sentinel", group.url)
    assert found["state"] == "ok"
    assert found["found"] == (
        f"{SERVICE} is 127.0.0.1:{group.first.port}; 3 of 3 Sentinels answer, 3 watch it, quorum 2, 1 replica"
    )
    short = _check(runner, "sentinel", f"redis+sentinel://127.0.0.1:1,{group.hosts}/{SERVICE}")
    assert (short["state"], short["mend"]) == ("note", "start the others, or take them out of REDIS_URL")


def test_a_replica_is_no_place_for_a_queue(runner: JobRunner, group: Watched) -> None:
    """A plain URL to it is wrong."""
    assert _check(runner, "role", group.second.url)["mend"] == "set REDIS_URL to its master"


@pytest.fixture
def small(tmp_path: Path) -> Iterator[RealServer]:
    """A server whose memory is nearly full."""
    with ValkeyServer(tmp_path / "small", options=("--maxmemory", "1mb")) as server:
        yield server


def test_a_full_memory_is_said_before_it_refuses(runner: JobRunner, small: RealServer) -> None:
    """The share that is used, and what to do."""
    found = _check(runner, "memory", small.url)
    assert found["state"] in {"note", "wrong"}
    assert "of maxmemory (1 MiB) is used" in found["found"]


def test_a_user_who_lacks_rights(runner: JobRunner, small: RealServer, prefix: str) -> None:
    """Named with the page; what INFO and CONFIG do not tell is a note, and nothing fails."""
    small.command(
        "ACL", "SETUSER", "poor", "reset", "on", ">pw", f"~{prefix}:*", "+@all", "-info", "-config", "-xclaim", "-get"
    )
    url = small.url.replace("redis://", "redis://poor:pw@")
    document = runner("doctor", "--json", "--redis-url", url).document
    states = {each["name"]: (each["state"], each["found"]) for each in document["checks"]}
    assert states["rights"][0] == "wrong"
    assert "user poor: it lacks +get, +info, +xclaim on" in states["rights"][1]
    assert states["version"] == ("note", "the server does not tell")
    assert states["persistence"][0] == states["eviction"][0] == "note"
