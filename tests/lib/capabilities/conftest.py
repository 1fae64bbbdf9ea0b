"""Servers that text models meet here, beside the fakes: one that nobody can reach, and one that says little."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

NEVER = 30.0
"""Seconds: a deadline that no test meets."""


@dataclass
class Terse:
    """Answers a request whose first line has the key with its bytes, then says nothing and waits to be left.

    `open` is how many connections it has.
    """

    replies: dict[bytes, bytes] = field(default_factory=dict)
    open: int = 0
    seen: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.open += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while head := await reader.readuntil(b"\r\n\r\n"):
                    self.seen += 1
                    length = next(
                        (
                            int(line.split(b":")[1])
                            for line in head.lower().split(b"\r\n")
                            if b"content-length:" in line
                        ),
                        0,
                    )
                    await reader.readexactly(length)
                    writer.write(next((reply for key, reply in self.replies.items() if key in head), b""))
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture
async def terse() -> AsyncIterator[Terse]:
    """One for the test, which fills in what it says."""
    it = Terse()
    server = await asyncio.start_server(it.serve, "127.0.0.1", 0)
    it.port = server.sockets[0].getsockname()[1]
    yield it
    server.close()


@pytest.fixture
def unreachable() -> Iterator[str]:
    """The address of a host that lets nobody in: its queue is full, so that connecting takes for ever."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(3):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)  # noqa: FBT003 - the method has no name for it
            with contextlib.suppress(BlockingIOError):
                waiting.connect(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"
