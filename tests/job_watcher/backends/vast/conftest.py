"""Real hosts by ssh, and watchers that may use them as their own machines."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.backends.registry import make_backends
from job_watcher.hosts.keys import HostKeys
from lib import wiring
from lib.clock import SystemClock
from tests.fakes.hosts import Host
from tests.fakes.vast_server import FakeVast
from tests.job_watcher.backends.vast.crews import Crew

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from job_watcher.backends.base import Backend
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings
    from tests.job_watcher.watching import Stand, Watcher


@dataclass
class OwnHost:
    """A host that lets in the key of a file."""

    host: Host
    key: Path

    @property
    def settings(self) -> dict[str, str]:
        """Of a watcher that uses it."""
        name = f"{self.host.user}@127.0.0.1:{self.host.port}"
        return {"SSH_HOSTS": name, "VAST_SSH_KEY": str(self.key)}


@pytest.fixture
def own_host(tmp_path: Path) -> Iterator[OwnHost]:
    """One that is up."""
    keys = HostKeys.make()
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_bytes(keys.private)
    host = Host(tmp_path / "host")
    host.allow(keys.public)
    host.start()
    yield OwnHost(host, file)
    host.remove()


class Renters:
    """Watchers that rent, on one stand."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._queues: list[Queue] = []

    def watcher(self, name: str, **settings: Any) -> Watcher:
        """With the backend `vast` alone."""
        return self.stand.watcher(name, backends=self._backends, state=name, **settings)

    def _backends(self, settings: Settings) -> tuple[Backend, ...]:
        queue = wiring.open_queue(settings)
        self._queues.append(queue)
        return make_backends(["vast"], wiring.tasks(settings), settings, queue, SystemClock())

    async def aclose(self) -> None:
        """Close their queues, once the watchers are gone."""
        for queue in self._queues:
            await queue.client.aclose()


@pytest.fixture
async def renters(stand: Stand) -> AsyncIterator[Renters]:
    """None yet."""
    made = Renters(stand)
    yield made
    await stand.aclose()
    await made.aclose()


@pytest.fixture(scope="module")
def shared_fake() -> Iterator[FakeVast]:
    """One market without hosts: what is rented loads for ever."""
    importlib.import_module("vastai")
    with FakeVast() as market:
        yield market


@pytest.fixture
def fake(shared_fake: FakeVast) -> Iterator[FakeVast]:
    """Nothing is rented or scripted."""
    yield shared_fake
    shared_fake.forget()
    for each in shared_fake.living:
        shared_fake.act("end", each.id)


@pytest.fixture
async def crew(stand: Stand, fake: FakeVast) -> AsyncIterator[Crew]:
    """Nobody yet."""
    made = Crew(stand, fake)
    yield made
    await made.aclose()
