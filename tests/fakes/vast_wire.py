"""The HTTP of the fake market: a loop in a thread of its own, so that other processes and blocking clients reach it.

It reads requests and sends what it is told to, or breaks the connection. It knows nothing of markets. Called by
`tests.fakes.vast_server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

T = TypeVar("T")

_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; `body` is its JSON, {} without one."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent: JSON, or plain text where `body` is a string. `cut`: after half of it the connection breaks."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False

    def data(self) -> bytes:
        """All of it, as it goes over the wire."""
        text = isinstance(self.body, str)
        body = self.body.encode() if text else json.dumps(self.body).encode()
        kind = "application/json"
        if text:
            kind = "text/html; charset=utf-8" if self.body.startswith("<") else "text/plain; charset=utf-8"
        head = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close", **self.headers}
        lines = [f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}", *(f"{k}: {v}" for k, v in head.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Wire:
    """Listens on loopback. `answer` gives the reply to each request, or None to break its connection."""

    def __init__(self, answer: Callable[[Asked], Awaitable[Reply | None]], port: int, name: str) -> None:
        self._answer = answer
        self._asked_port = port
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = port

    def start(self) -> None:
        """Answer from now on."""
        ready = threading.Event()
        failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, args=(ready, failed), name=self._name, daemon=True)
        self._thread.start()
        ready.wait(_PATIENCE_SECONDS)
        if failed:
            raise failed[0]

    @property
    def running(self) -> bool:
        """Whether it answers."""
        return self._loop is not None

    def call(self, doing: Coroutine[Any, Any, T]) -> T:
        """Do this in its loop, from another thread, and wait for it."""
        if self._loop is None:
            doing.close()
            raise RuntimeError(f"{self._name} is not started")
        return asyncio.run_coroutine_threadsafe(doing, self._loop).result(_PATIENCE_SECONDS)

    def close(self) -> None:
        """Listen no more, and break every connection, those that hang too. Repeatable."""
        loop, self._loop = self._loop, None
        if loop is not None and self._thread is not None:
            loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(_PATIENCE_SECONDS)

    def _run(self, ready: threading.Event, failed: list[BaseException]) -> None:
        try:
            asyncio.run(self._serve(ready))
        except BaseException as exc:
            failed.append(exc)
            ready.set()
            raise

    async def _serve(self, ready: threading.Event) -> None:
        self._closing = asyncio.Event()
        server = await asyncio.start_server(self._take, "127.0.0.1", self._asked_port, backlog=512)
        self.port = server.sockets[0].getsockname()[1]
        self._loop = asyncio.get_running_loop()
        ready.set()
        await self._closing.wait()
        server.close()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # In a task of its own: what was begun for a request is done though its client is gone.
        task = asyncio.get_running_loop().create_task(self._handle(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answered(self, asked: Asked) -> Reply | None:
        """The reply; a mistake of the fake is one that says so, on stderr too, for the test that hits it."""
        try:
            return await self._answer(asked)
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is told
            sys.stderr.write(traceback.format_exc())
            return Reply(500, f"the fake has failed: {exc!r}")

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked = await _read(reader)
            reply = await self._answered(asked)
            if reply is None:
                writer.transport.abort()
                return
            data = reply.data()
            writer.write(data[: len(data) - len(data) // 4] if reply.cut else data)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return  # a client that is gone is no news
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
    }
    data = await reader.readexactly(int(headers.get("content-length") or 0))
    url = urlsplit(target)
    try:
        body = json.loads(data or b"{}")
    except ValueError:
        body = {"_not_json": data.decode("latin-1")}
    return Asked(method, url.path, dict(parse_qsl(url.query, keep_blank_values=True)), headers, body)
