"""A queue over TLS, on a real server: the right papers work, wrong ones are named with their mend."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.errors import SettingsError, UnreachableError
from lib.jobqueue.protocol import Submission
from lib.redisqueue import connection, producing
from lib.redisqueue.connection import connect, edge
from lib.redisqueue.queue import Queue
from tests.support.topologies import papers, tls_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.servers import RealServer
    from tests.support.topologies import Papers


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    """A CA and a certificate for 127.0.0.1."""
    return papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def server(redis7: RealServer, made: Papers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """The TLS port and the plain port of one server; skipped where there is no Redis 7.0, as `redis7` is."""
    assert redis7.port
    with tls_server(tmp_path_factory.mktemp("tls"), made) as (running, port):
        yield port, running.port


async def _ping(url: str) -> bool:
    client = connect(url)
    try:
        async with edge(url):
            return bool(await client.ping())
    finally:
        await client.aclose()


async def _mend(url: str) -> str:
    with pytest.raises(UnreachableError) as caught:
        await _ping(url)
    return str(caught.value.hint)


async def test_a_queue_over_tls(server: tuple[int, int], made: Papers, prefix: str) -> None:
    """Jobs are queued through it, the replies of blocking reads come through it."""
    url = f"rediss://127.0.0.1:{server[0]}/0?ssl_ca_certs={made.ca}"
    client, blocking = connect(url, prefix=prefix), connect(url, block_seconds=0.1, prefix=prefix)
    try:
        queue = Queue.over(client, url, prefix)
        assert [each.code for each in await producing.submit(queue, [Submission("a", "h", b"{}", "stream")])] == [
            "queued"
        ]
        assert await blocking.xread({queue.keys.stream("stream"): "0"}, block=50)
    finally:
        await client.aclose()
        await blocking.aclose()


async def test_a_ca_that_has_not_signed_it(server: tuple[int, int], made: Papers) -> None:
    """Another CA, or none: the mend is the option that names the right one."""
    for options in (f"?ssl_ca_certs={made.stranger}", ""):
        assert "ssl_ca_certs=/path/ca.pem" in await _mend(f"rediss://127.0.0.1:{server[0]}/0{options}")


async def test_a_certificate_for_another_host(server: tuple[int, int], made: Papers) -> None:
    """Refused, unless it was said not to look."""
    url = f"rediss://localhost:{server[0]}/0?ssl_ca_certs={made.ca}"
    assert await _mend(url) == "write the host that the certificate is for"
    assert await _ping(f"{url}&ssl_check_hostname=no")


async def test_plain_text_to_the_tls_port(server: tuple[int, int]) -> None:
    """The mend names rediss://."""
    assert "write rediss://" in await _mend(f"redis://127.0.0.1:{server[0]}/0")


async def test_tls_to_the_plain_port(server: tuple[int, int], made: Papers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a server says nothing at all; when the time for a connect is over, the mend names redis://."""
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT_SECONDS", 0.3)
    url = f"rediss://127.0.0.1:{server[1]}/0?ssl_ca_certs={made.ca}"
    assert "speaks no TLS, write redis://" in await _mend(url)


async def test_files_that_are_none(server: tuple[int, int], made: Papers, tmp_path: Path) -> None:
    """A missing file is a wrong setting; one without a certificate is named when it is read."""
    with pytest.raises(SettingsError, match=r"REDIS_URL: ssl_ca_certs=.*nowhere.pem: no such file"):
        connect(f"rediss://h?ssl_ca_certs={tmp_path}/nowhere.pem")
    assert "certificate in PEM form" in await _mend(f"rediss://127.0.0.1:{server[0]}/0?ssl_ca_certs={made.key}")


async def test_a_server_that_wants_a_certificate(redis7: RealServer, made: Papers, tmp_path: Path) -> None:
    """Without one the mend says how to give it; with one it answers."""
    assert redis7.port
    with tls_server(tmp_path / "strict", made, wants_certificate=True) as (_, port):
        url = f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={made.ca}"
        assert "ssl_certfile=" in await _mend(url)
        assert await _ping(f"{url}&ssl_certfile={made.certificate}&ssl_keyfile={made.key}")
