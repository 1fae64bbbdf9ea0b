"""What "accepted" is worth: each level is checked against the server before anything is queued."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from job_runner.service.durability import Durability, agreed_durability
from job_runner.service.submit import enqueue
from lib.errors import RefusedError, SettingsError, WrongKeyError
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing, reader
from lib.redisqueue.submissions import submission_of
from lib.settings import Settings
from tests.support.hand import open_test_queue
from tests.support.servers import RealServer, Redis7Server, ValkeyServer
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

JOB = normalize_job_spec({"request_id": "a", "task": "debug"})


def _settings(url: str, prefix: str, durability: str) -> Settings:
    plain = Settings.load({"REDIS_URL": url, "JOBS_PREFIX": prefix, "HOME": "/tmp"})  # noqa: S108 - nothing is written
    return replace(plain, jobs_durability=durability)


@pytest.fixture(params=[ValkeyServer, Redis7Server])
def master(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealServer]:
    """A server that a test may give replicas."""
    # By default a master waits five seconds for further replicas before it sends the first one its data.
    with request.param(tmp_path / "master", options=("--repl-diskless-sync-delay", "0")) as server:
        yield server


@pytest.fixture
def replica(master: RealServer, tmp_path: Path) -> Iterator[RealServer]:
    """A replica of it."""
    options = ("--replicaof", "127.0.0.1", str(master.port))
    with type(master)(tmp_path / "replica", options=options) as server:
        yield server


async def test_memory_asks_nothing(valkey_url: str, prefix: str) -> None:
    """The default holds on any server."""
    async with open_test_queue(valkey_url, prefix) as queue:
        agreed = await agreed_durability(queue, _settings(valkey_url, prefix, "memory"))
        assert agreed == Durability("memory")


async def test_fsynced_needs_always(valkey_url: str, prefix: str, tmp_path: Path) -> None:
    """`everysec` is refused by name; `always` is believed."""
    async with open_test_queue(valkey_url, prefix) as queue:
        with pytest.raises(SettingsError, match="this one has appendfsync everysec; nothing was queued"):
            await enqueue(queue, _settings(valkey_url, prefix, "fsynced"), [JOB])
        assert (await reader.results(queue, ["a"]))[0].status == "not_found"
    with ValkeyServer(tmp_path / "always", fsync="always") as server:
        async with open_test_queue(server.url, prefix) as queue:
            done = await enqueue(queue, _settings(server.url, prefix, "fsynced"), [JOB])
            assert done.durability_text == "fsynced"
            server.restart(kill=True)
        async with open_test_queue(server.url, prefix) as queue:
            assert (await reader.results(queue, ["a"]))[0].status == "queued"


async def test_fsynced_needs_an_append_only_file(prefix: str, tmp_path: Path) -> None:
    """`appendfsync always` without the file is nothing."""
    options = ("--appendonly", "no", "--appendfsync", "always")
    with ValkeyServer(tmp_path / "none", options=options) as server:
        async with open_test_queue(server.url, prefix) as queue:
            with pytest.raises(SettingsError, match="this one has no append-only file"):
                await agreed_durability(queue, _settings(server.url, prefix, "fsynced"))


async def test_replicated_is_refused_without_replicas(valkey_url: str, prefix: str) -> None:
    """Before anything is queued."""
    async with open_test_queue(valkey_url, prefix) as queue:
        with pytest.raises(RefusedError, match="the server has 0 replicas; nothing was queued"):
            await enqueue(queue, _settings(valkey_url, prefix, "replicated:1"), [JOB])
        assert (await reader.results(queue, ["a"]))[0].status == "not_found"


async def test_replicated_says_how_many(master: RealServer, replica: RealServer, prefix: str) -> None:
    """The jobs are on the replica when the answer comes, and the answer names the number that was reached."""
    settings = _settings(master.url, prefix, "replicated:1")
    async with open_test_queue(master.url, prefix) as queue:
        await wait_until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"))
        done = await enqueue(queue, settings, [JOB])
    assert (done.reached, done.durability_text, done.short_of_replicas) == (1, "replicated(1)", False)
    master.kill()
    async with open_test_queue(replica.url, prefix) as copy:
        assert (await reader.results(copy, ["a"]))[0].status == "queued"


async def test_a_replica_that_hangs_is_said(
    master: RealServer, replica: RealServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepted, but not as durable as asked: the answer says so, and asking again confirms it later."""
    monkeypatch.setattr("job_runner.service.submit.WAIT_MS", 200)
    settings = _settings(master.url, prefix, "replicated:1")
    async with open_test_queue(master.url, prefix) as queue:
        await wait_until(lambda: b"master_link_status:up" in replica.command("INFO", "replication"))
        replica.pause()
        short = await enqueue(queue, settings, [JOB])
        assert (short.rows[0].status, short.reached, short.short_of_replicas) == ("queued", 0, True)
        assert short.durability_text == "replicated(0)"
        replica.resume()
        monkeypatch.setattr("job_runner.service.submit.WAIT_MS", 5000)
        again = await enqueue(queue, settings, [JOB])
        assert (again.rows[0].status, again.durability_text) == ("duplicate_request", "replicated(1)")


async def test_a_refused_submit_leaves_no_connection(own_valkey: RealServer, prefix: str) -> None:
    """The connection that WAIT needs is closed also when the submit on it is refused."""
    async with open_test_queue(own_valkey.url, prefix) as queue:
        await queue.client.set(queue.keys.of("index"), "no hash")
        before = own_valkey.command("CLIENT", "LIST").count(b"\nid=")
        job = submission_of(JOB, BUILT_IN)
        # Held until the end, or the garbage collector would close it: the traceback keeps the frame.
        with pytest.raises(WrongKeyError) as caught:
            await producing.submit_replicated(queue, [job], mode="new", replicas=1, timeout_ms=10)
        await wait_until(lambda: own_valkey.command("CLIENT", "LIST").count(b"\nid=") == before)
        assert caught.traceback
