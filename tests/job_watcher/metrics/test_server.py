"""The small HTTP server: answers what it is asked, and survives whoever asks badly."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from job_watcher.metrics import server as module
from job_watcher.metrics.server import CLIENTS, HEAD_BYTES, MetricsServer, Page
from lib.errors import InvalidInputError
from tests.job_watcher.metrics.asking import get, send
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def _broken(_: str) -> Page:
    raise ZeroDivisionError("a page")


@pytest.fixture
async def served() -> AsyncIterator[MetricsServer]:
    """A server with one page that is well, one that shows what the client accepts, one large and one broken."""
    made = MetricsServer(
        {
            "/well": lambda _: Page(HTTPStatus.OK, "text/plain", b"hello\n"),
            "/accepted": lambda accept: Page.document({"accept": accept}),
            "/large": lambda _: Page(HTTPStatus.OK, "text/plain", b"x" * 50_000_000),
            "/broken": _broken,
        }
    )
    yield made
    await made.aclose()


@pytest.fixture
async def url(served: MetricsServer) -> str:
    """Where it listens."""
    return await served.listen("127.0.0.1", 0)


async def test_a_page_is_answered_and_the_connection_closed(url: str) -> None:
    """With its type and its length; a query behind the path is ignored."""
    answer = await get(url, "/well?x=1")
    assert (answer.status, answer.body) == (200, "hello\n")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-length"] == "6"
    assert answer.headers["connection"] == "close"


async def test_head_is_a_get_without_its_body(url: str) -> None:
    """The length is that of the body that a GET would bring."""
    answer = await get(url, "/well", method="HEAD")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, "", "6")


async def test_what_the_client_accepts_reaches_the_page(url: str) -> None:
    """Whatever the case of the header's name."""
    raw = await send(url, b"GET /accepted HTTP/1.1\r\naCCept:  a/b \r\n\r\n")
    assert json.loads(raw.partition(b"\r\n\r\n")[2]) == {"accept": "a/b"}


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /nowhere HTTP/1.1", 404),
        ("GET //well HTTP/1.1", 404),
        ("POST /well HTTP/1.1", 405),
        ("GET /well", 400),
        ("GET /well SPDY/3", 400),
        ("\x00\xff\x00", 400),
        ("GET /broken HTTP/1.1", 500),
    ],
)
async def test_a_bad_request_gets_its_status(url: str, request_line: str, status: int) -> None:
    """And the next one is answered as ever; what a page fails of is in the log, not in the answer."""
    raw = await send(url, f"{request_line}\r\n\r\n".encode("latin-1"))
    assert int(raw.split()[1]) == status
    assert b"ZeroDivision" not in raw
    assert (await get(url, "/well")).status == 200


async def test_a_flood_is_cut_off(url: str) -> None:
    """A head that does not end is read up to a limit and no further."""
    assert await send(url, b"GET /" + b"x" * (2 * HEAD_BYTES)) == b""
    assert (await get(url, "/well")).status == 200


async def test_clients_that_hang_are_cut_off_and_bounded(
    served: MetricsServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slowloris: who sends nothing keeps nobody out, gets its time and no more, and never more than so many are in."""
    monkeypatch.setattr(module, "REQUEST_SECONDS", 2.0)
    slow = [asyncio.create_task(send(url, b"GET /we")) for _ in range(2 * CLIENTS)]
    await wait_until(lambda: len(served._silent) == CLIENTS)
    assert len(served._clients) == CLIENTS
    assert (await get(url, "/well")).status == 200
    for answer in await asyncio.gather(*slow, return_exceptions=True):
        assert answer == b"" or isinstance(answer, ConnectionError)  # a reset says the same
    assert served._clients == set()
    assert not served._silent


async def test_a_client_that_does_not_read_is_cut_off(
    served: MetricsServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for much and takes nothing: its answer is dropped."""
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]), limit=1024)
    writer.write(b"GET /large HTTP/1.1\r\n\r\n")
    await writer.drain()
    assert await reader.readexactly(8) == b"HTTP/1.1"
    await wait_until(lambda: not served._clients, what="the end of the client that does not read")
    writer.close()
    assert (await get(url, "/well")).status == 200


async def test_a_port_that_is_taken_is_a_clear_error(url: str) -> None:
    """It names the address and the flag."""
    port = int(url.rpartition(":")[2])
    with pytest.raises(
        InvalidInputError, match=f"--metrics-port: 127.0.0.1:{port} .* another program has it"
    ) as caught:
        await MetricsServer({}).listen("127.0.0.1", port)
    assert caught.value.exit_code == 2
    assert caught.value.hint is not None


@pytest.mark.parametrize("host", ["192.0.2.1", "no host of that name"])
async def test_an_address_that_is_not_of_this_machine_is_a_clear_error(host: str) -> None:
    """Not a traceback."""
    with pytest.raises(InvalidInputError, match="cannot be listened on"):
        await MetricsServer({}).listen(host, 0)


async def test_closing_ends_clients_that_are_still_there(caplog: pytest.LogCaptureFixture) -> None:
    """A stop waits for nobody who looks, and logs no error; closing what never listened is nothing."""
    served = MetricsServer({})
    url = await served.listen("127.0.0.1", 0)
    hanging = asyncio.create_task(send(url, b"GET"))
    await wait_until(lambda: served._clients)
    await served.aclose()
    assert await hanging == b""
    await MetricsServer({}).aclose()
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
