"""Receivers of callbacks on this machine: small real HTTP servers that record what they were sent and answer as told.

Called by the tests of callbacks, those of whole watchers too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lib.jobqueue.outbox import Callback

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator

SECRET = "only for the tests, and long enough"  # noqa: S105 - it protects nothing
NAME = "hooks.example.org"


@dataclass(frozen=True)
class Request:
    """One request as it came; header names in small letters."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def record(self) -> dict[str, Any]:
        """Its body."""
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """Answers with `answers` in turn, then with `usual`; 0 means never to answer, while `open` is not set."""

    usual: int = 200
    answers: deque[int] = field(default_factory=deque)
    headers: str = ""
    requests: list[Request] = field(default_factory=list)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0
    port: int = 0

    @property
    def place(self) -> str:
        """Its address, as CALLBACK_ALLOWED_HOSTS has it."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str = "/done") -> str:
        """A URL of it by its address."""
        return f"http://{self.place}{path}"

    def records(self) -> list[str]:
        """The request_ids that it was told of, in order."""
        return [request.record["request_id"] for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.connections += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            method, path, _ = first.split(" ")
            self.requests.append(Request(method, path, headers, body))
            status = self.answers.popleft() if self.answers else self.usual
            if not status:
                await self.open.wait()
                status = 200
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n{self.headers}\r\nok".encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.at_once -= 1
            writer.close()


@contextlib.asynccontextmanager
async def receiving(
    receiver: Receiver | None = None, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Receiver]:
    """A receiver that listens for the length of a block."""
    made = receiver or Receiver()
    server = await asyncio.start_server(made.serve, host, port, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        made.open.set()
        server.close()
        await server.wait_closed()


def callback(url: str, *, request_id: str = "a", tries: int = 0, **more: Any) -> Callback:
    """A callback as it is taken from the queue."""
    record = json.dumps({"schema_version": 1, "request_id": request_id, "callback_data": {"n": [1, {}, "ü"]}, **more})
    host = url.partition("://")[2].partition("/")[0]
    return Callback(f"1-1 {tries} {host}", request_id, "7", "9", "done", url, record.encode())


class FlippingResolver:
    """Names other addresses each time it is asked, as a rebinding DNS server does; the last ones for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = deque(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[str]:
        """The next answer."""
        assert port
        self.asked.append(host)
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
