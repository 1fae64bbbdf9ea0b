"""Hosts for the tests of this folder: real sshd processes on loopback, killed with all that they started."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from job_watcher.hosts.batches import BatchRunner
from job_watcher.hosts.connection import Host, connect
from lib.voice_synth.library import VoiceLibrary
from tests.job_watcher.hosts.batching import Jobs
from tests.job_watcher.hosts.local_host import LocalHost, Nursery
from tests.job_watcher.hosts.sshd import Sshd, end_all
from tests.support.servers import ServerMissingError
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


def _sshd(directory: Path) -> Sshd:
    server = Sshd(directory)
    try:
        return server.start()
    except ServerMissingError as exc:
        if os.environ.get("CI") == "true":
            pytest.fail(str(exc))
        pytest.skip(str(exc))


def _end(server: Sshd) -> None:
    server.stop()
    end_all(f"HOME={server.home}")


@pytest.fixture(scope="session")
def shared_sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One for all tests that do it no harm."""
    server = _sshd(tmp_path_factory.mktemp("sshd"))
    yield server
    _end(server)


@pytest.fixture
def own_sshd(tmp_path: Path) -> Iterator[Sshd]:
    """One for one test, which may stop it, pause it or change its key."""
    server = _sshd(tmp_path / "sshd")
    yield server
    _end(server)


@pytest.fixture
async def host(shared_sshd: Sshd) -> AsyncIterator[Host]:
    """A connection to the shared one."""
    found = await connect(shared_sshd.address, shared_sshd.keys, None, 10)
    yield found
    await found.aclose()


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """One for all tests of batches."""
    made = Nursery()
    yield made
    made.close()


@pytest.fixture
def local_host(nursery: Nursery, tmp_path: Path) -> LocalHost:
    """A host with nothing wrong, without ssh."""
    return LocalHost(tmp_path / "host", nursery)


@pytest.fixture
async def jobs(local_host: LocalHost, tmp_path: Path) -> AsyncIterator[Jobs]:
    """A runner of at most four jobs a batch."""
    (tmp_path / "work").mkdir()
    runner = BatchRunner(local_host, VoiceLibrary(tmp_path / "voices"), most_jobs=4)
    yield Jobs(runner, local_host, tmp_path / "work")
    await runner.aclose()
    await wait_until(lambda: not local_host.living, what="the end of every worker")
