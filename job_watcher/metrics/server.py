"""A very small HTTP server for whoever watches the watcher: three pages, read-only, one request a connection.

It runs in the watcher's own event loop. The threaded server that comes with the Prometheus library was the other
choice: it starts a thread for every client without a limit of number or time, so a few clients that never finish
their request would fill the process, and it would go on answering while the loop that it speaks for stands still.
Here a stalled loop answers nobody, which is the truth. Clients are few and slow ones are cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from lib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Handler = Callable[[str], "Page"]
    """Makes a page for a client that accepts this; it must not block."""


HEAD_BYTES: Final = 8192
"""A scraper's request with its headers has some 300."""

REQUEST_SECONDS: Final = 5.0
"""For the whole request, and again for taking the answer."""

CLIENTS: Final = 16
"""At once; a scraper, a healthcheck and a few people. One more takes the place of whoever has sent nothing longest."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer."""

    status: HTTPStatus
    content_type: str
    body: bytes

    @classmethod
    def document(cls, document: Mapping[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Page:
        """A JSON document."""
        return cls(status, "application/json", json.dumps(document).encode() + b"\n")


class MetricsServer:
    """Serves `pages`, a handler by path. Made by `listen`."""

    def __init__(self, pages: Mapping[str, Handler]) -> None:
        self._pages = pages
        self._clients: set[asyncio.Task[Any]] = set()
        self._silent: dict[asyncio.Task[Any], None] = {}
        """Those whose request is not there yet, the longest waiting first."""
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> str:
        """Begin to answer; the address as a URL without a path. Port 0 takes a free one.

        Raises:
            InvalidInputError: the address cannot be had.

        """
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=HEAD_BYTES)
        except (OSError, OverflowError) as exc:
            raise InvalidInputError(
                f"--metrics-port: {host}:{port} cannot be listened on: {_why(exc)}",
                hint="choose another --metrics-port, or an address of this machine for --metrics-host",
            ) from exc
        bound = self._server.sockets[0].getsockname()
        shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
        return f"http://{shown}:{bound[1]}"

    async def aclose(self) -> None:
        """Stop listening and cut off whoever is still there."""
        if self._server is None:
            return
        self._server.close()
        clients = list(self._clients)
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or not self._has_room():
            writer.transport.abort()
            return
        self._clients.add(task)
        self._silent[task] = None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            del self._silent[task]
            page, body = self._answer(head)
            writer.write(_written(page, body))
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
            # A client that hangs, floods or leaves is its own business.
            logger.debug("metrics: a client was cut off: {}", type(exc).__name__)
        except asyncio.CancelledError:
            # Only this class cancels. Passed on, asyncio would log the end of its own task as an error.
            logger.debug("metrics: a client was cut off: another takes its place, or the watcher ends")
        finally:
            self._clients.discard(task)
            self._silent.pop(task, None)
            with contextlib.suppress(OSError):
                writer.transport.abort()

    def _has_room(self) -> bool:
        """Whether one more may come; a healthcheck must get through beside clients that only hold their connections."""
        if len(self._clients) < CLIENTS:
            return True
        if not self._silent:
            return False
        longest = next(iter(self._silent))
        del self._silent[longest]
        self._clients.discard(longest)
        longest.cancel()
        return True

    def _answer(self, head: bytes) -> tuple[Page, bool]:
        """The page for a request, and whether its body is wanted."""
        first, _, rest = head.decode("latin-1").partition("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):  # noqa: PLR2004 - method, target, version
            return _refusal(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request"), True
        method, target, _ = parts
        if method not in {"GET", "HEAD"}:
            return _refusal(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD"), True
        make = self._pages.get(target.partition("?")[0])
        if make is None:
            return _refusal(HTTPStatus.NOT_FOUND, f"there are {', '.join(self._pages)}"), method == "GET"
        try:
            return make(_header(rest, "accept")), method == "GET"
        except Exception:  # noqa: BLE001 - a page that cannot be made must not end the watcher; it is logged whole
            logger.opt(exception=True).error("metrics: {} could not be made", target.partition("?")[0])
            return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "see the watcher's log"), method == "GET"


def _header(headers: str, name: str) -> str:
    for line in headers.split("\r\n"):
        given, _, value = line.partition(":")
        if given.strip().lower() == name:
            return value.strip()
    return ""


def _refusal(status: HTTPStatus, why: str) -> Page:
    return Page.document({"schema_version": 1, "error": status.phrase, "reason": why}, status)


def _written(page: Page, body: bool) -> bytes:  # noqa: FBT001 - private, and the name says it
    head = (
        f"HTTP/1.1 {page.status.value} {page.status.phrase}\r\n"
        f"Content-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("latin-1") + (page.body if body else b"")


def _why(error: OSError | OverflowError) -> str:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return "another program has it"
    return getattr(error, "strerror", None) or str(error)
