"""What every test may ask for: real servers, a prefix of its own, and a closed network; and how the run is shared out.

A missing system server skips its tests on a laptop and fails them where CI=true, so that a green CI run has
really run them.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import socket
import sys
import uuid
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
from hypothesis import HealthCheck, settings

from tests.support.postgres import Postgres
from tests.support.servers import RealServer, Redis7Server, ServerMissingError, ValkeyServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


_IN_CI = os.environ.get("CI") == "true"
# Properties promise what is computed, never how fast, so no example has a deadline. In CI fewer are drawn.
settings.register_profile(
    "house", deadline=None, max_examples=30 if _IN_CI else 100, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("house")

# A run starts well over a thousand of our processes. Where none may keep its bytecode, as in many a container, each of
# them compiles the whole house and its packages again: four fifths of the time of a short command.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

LONGEST = (
    "tests/lib/redisqueue/test_stateful.py",
    "tests/chaos/test_machine_run.py",
    "tests/renting/",
    "tests/test_tutorial.py",
    "tests/chaos/test_200.py",
    "tests/chaos/",
    "tests/test_",
)
"""Where tests take seconds, the longest first; all others take milliseconds."""


def _rank(node: str) -> int:
    return next((rank for rank, start in enumerate(LONGEST) if node.startswith(start)), len(LONGEST))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Among several workers the long ones come first, lest one worker has a long one left when the others are done."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Who has nothing left takes from the others, where nothing else was asked for by `--dist`."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import (  # type: ignore[import-untyped]  # noqa: PLC0415 - ships no types; may be absent
        WorkStealingScheduling,
    )

    return WorkStealingScheduling(config, log)


def pytest_collection_finish() -> None:
    """Spare the collector of garbage what lives to the end of the run: hundreds of modules, thousands of tests.

    It would walk them all, a tenth of a second each time. What tests make is collected as ever.
    """
    gc.collect()
    gc.freeze()


def _start(server_class: type[RealServer], directory: Path) -> RealServer:
    try:
        return server_class(directory).start()
    except ServerMissingError as exc:
        _missing(exc)


def _missing(exc: ServerMissingError) -> NoReturn:
    if os.environ.get("CI") == "true":
        pytest.fail(str(exc))
    pytest.skip(str(exc))


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The bundled Valkey, one for all tests of this process; whoever harms it asks for `own_valkey`."""
    server = _start(ValkeyServer, tmp_path_factory.mktemp("valkey"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis7(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """The distribution's Redis 7.0, one for all tests of this process."""
    server = _start(Redis7Server, tmp_path_factory.mktemp("redis7"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL, one for all tests of this process; whoever stops it starts it again."""
    try:
        server = Postgres()
    except ServerMissingError as exc:
        _missing(exc)
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[RealServer]:
    """A Valkey for one test, which may kill, pause, flush or restart it."""
    server = _start(ValkeyServer, tmp_path / "valkey")
    yield server
    server.kill()


@pytest.fixture
def own_redis7(tmp_path: Path) -> Iterator[RealServer]:
    """A Redis 7.0 for one test."""
    server = _start(Redis7Server, tmp_path / "redis7")
    yield server
    server.kill()


@pytest.fixture
def valkey_url(valkey: RealServer) -> str:
    """Address of the shared Valkey."""
    return valkey.url


@pytest.fixture
def redis7_url(redis7: RealServer) -> str:
    """Address of the shared Redis 7.0."""
    return redis7.url


@pytest.fixture
def prefix() -> str:
    """A queue prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture(autouse=True)
def _closed_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection that leaves this machine: a test that needs the world is not a test."""
    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(original: Any) -> Any:
    def connect(self: socket.socket, address: Any) -> Any:
        if self.family in {socket.AF_INET, socket.AF_INET6} and not _is_loopback(str(address[0])):
            raise OSError(f"the network is closed in tests: {address}")
        return original(self, address)

    return connect


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
