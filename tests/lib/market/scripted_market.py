"""A server on loopback that answers an adapter as a test says and remembers what it was asked, request by request.

It knows nothing of machines or money: each test scripts the answers of single calls, good ones and broken ones. The
market with instances, bills and hosts is `tests.fakes.vast_server`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

Fault = Literal["", "hang", "reset", "cut", "trickle"]
"""`hang` never answers, `reset` closes without one, `cut` in the middle of an answer, `trickle` never ends it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request. `query` is as it stood in the path, `body` the JSON, None where there was none."""

    method: str
    path: str
    query: str
    body: Any
    headers: dict[str, str]

    @property
    def call(self) -> str:
        """As `DELETE /api/v0/instances/7/`."""
        return f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the next such request gets; a text is sent as plain text, all else as JSON."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    fault: Fault = ""

    def encoded(self) -> bytes:
        """The whole answer."""
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        kind = "text/plain" if isinstance(self.body, str) else "application/json"
        lines = {"Content-Type": kind, "Content-Length": str(len(text.encode())), "Connection": "close", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        return f"HTTP/1.1 {self.status} Said\r\n{head}\r\n{text}".encode()


class ScriptedMarket:
    """Answers by `script`: by call, the answers one after the other, the last one again and again."""

    def __init__(self) -> None:
        self.script: dict[str, list[Answer]] = {}
        self.asked: list[Asked] = []
        self.on_asked: Callable[[Asked], None] = lambda _: None
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    def says(self, call: str, *answers: Any) -> None:
        """What a call gets: answers, or bodies of good ones."""
        self.script[call] = [each if isinstance(each, Answer) else Answer(each) for each in answers]

    def calls(self, start: str = "") -> list[str]:
        """What was asked so far, as method and path, of those that begin so."""
        return [each.call for each in self.asked if each.call.startswith(start)]

    @property
    def url(self) -> str:
        """Where it answers."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(await _read(reader), writer)
        finally:
            self._open.discard(task)
            writer.close()

    async def _answer(self, asked: Asked, writer: asyncio.StreamWriter) -> None:
        self.asked.append(asked)
        self.on_asked(asked)
        answers = self.script.get(asked.call) or [Answer("no such route", 404)]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        encoded = answer.encoded()
        if answer.fault == "hang":
            await asyncio.Event().wait()
        elif answer.fault == "reset":
            writer.transport.abort()
            return
        elif answer.fault == "cut":
            encoded = encoded[:-3]
        elif answer.fault == "trickle":
            writer.write(b"HTTP/1.1 200 Said\r\nContent-Length: 100000\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)  # a byte now and then is what this fault is
        writer.write(encoded)
        await writer.drain()


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    parts = urlsplit(target)
    return Asked(method, parts.path, parts.query, json.loads(body) if body else None, headers)
