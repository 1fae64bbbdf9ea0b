"""A TCP proxy that breaks connections on purpose, so that a test can lose exactly one reply.

It knows only bytes, not the Redis protocol: a command is found by bytes that it contains. Faults are set from
the test and hold until `restore()`. Called by tests of what happens when a network misbehaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AfterCatch = Literal["reset", "silence", "hold"]

_CHUNK_BYTES = 65536


@dataclass(eq=False)
class ReplyTrap:
    """Catches the reply to one command; `caught` is set once the server's reply arrived and was withheld."""

    marker: bytes | None
    skip: int
    then: AfterCatch
    caught: asyncio.Event = field(default_factory=asyncio.Event)
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let a held reply through."""
        self._released.set()

    async def until_released(self) -> None:
        """Wait for `release`."""
        await self._released.wait()

    def springs(self, recent: bytes) -> bool:
        """Whether the command just sent is the one; counts down `skip` for those that match before it."""
        if self.marker is not None and self.marker not in recent:
            return False
        self.skip -= 1
        return self.skip < 0


@dataclass(eq=False)
class _Link:
    """One client and its connection to the server."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    trap: ReplyTrap | None = None
    silent: bool = False
    forgotten: bool = False
    recent: bytes = b""

    def abort(self) -> None:
        """RST to both sides, as a router that lost its state would send."""
        for writer in (self.client, self.server):
            sock = writer.get_extra_info("socket")
            if sock is not None and sock.fileno() >= 0:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class FaultProxy:
    """Listens on a private port of 127.0.0.1 and forwards to `target_port`; use with `async with`."""

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.target_host = target_host
        self.target_port = target_port
        self.port = 0
        self.delay_seconds = 0.0
        self.connections_seen = 0
        self._open = asyncio.Event()
        self._open.set()
        self._links: set[_Link] = set()
        self._traps: list[ReplyTrap] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """For a client; database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def listen(self) -> None:
        """Accept connections, on the same port as before `refuse`."""
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Reset all connections and refuse new ones, as a server that is down."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    async def close(self) -> None:
        """End everything; the port is free afterwards."""
        await self.refuse()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def delay(self, seconds: float) -> None:
        """Hold each chunk of either direction for so long; order is kept."""
        self.delay_seconds = seconds

    def blackhole(self) -> None:
        """Accept and read nothing more from anyone: what is sent waits, as on a cut cable."""
        self._open.clear()

    def restore(self) -> None:
        """No delay and no blackhole; what waited is delivered. Traps stay."""
        self.delay_seconds = 0.0
        self._open.set()

    def reset(self) -> None:
        """Break every connection that stands now."""
        for link in tuple(self._links):
            link.abort()

    def forget(self) -> None:
        """Swallow all that any connection that stands now still sends, either way, and tell nobody; new ones work."""
        for link in self._links:
            link.forgotten = True

    def trap_reply(self, marker: bytes | None = None, *, skip: int = 0, then: AfterCatch = "reset") -> ReplyTrap:
        """Withhold the reply to the next command that contains `marker` (any when None), after `skip` such.

        The command reaches the server and is applied. Then the connection is reset, stays open in silence, or
        holds the reply until `release()`.
        """
        trap = ReplyTrap(marker, skip, then)
        self._traps.append(trap)
        return trap

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections_seen += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._open.wait()
            server_reader, server_writer = await asyncio.open_connection(self.target_host, self.target_port)
            link = _Link(writer, server_writer)
            self._links.add(link)
            try:
                await self._carry(link, reader, server_reader)
            finally:
                self._links.discard(link)
                server_writer.transport.abort()
        writer.transport.abort()

    async def _carry(self, link: _Link, from_client: asyncio.StreamReader, from_server: asyncio.StreamReader) -> None:
        """Both directions until either ends."""
        ways = {
            asyncio.ensure_future(self._requests(link, from_client)),
            asyncio.ensure_future(self._replies(link, from_server)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _chunks(self, link: _Link, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(_CHUNK_BYTES):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._open.wait()
                if not link.forgotten:
                    yield chunk

    async def _requests(self, link: _Link, reader: asyncio.StreamReader) -> None:
        async for chunk in self._chunks(link, reader):
            if link.trap is None:
                self._arm(link, chunk)
            link.server.write(chunk)
            await link.server.drain()

    def _arm(self, link: _Link, chunk: bytes) -> None:
        """Set a trap on the link if this chunk, with the end of the one before, completes its command."""
        longest = max((len(trap.marker or b"") for trap in self._traps), default=0)
        link.recent = link.recent[-max(longest - 1, 0) :] if longest > 1 else b""
        link.recent += chunk
        for trap in tuple(self._traps):
            if trap.springs(link.recent):
                self._traps.remove(trap)
                link.trap, link.recent = trap, b""
                return

    async def _replies(self, link: _Link, reader: asyncio.StreamReader) -> None:
        async for chunk in self._chunks(link, reader):
            if link.silent:
                continue
            if link.trap is not None:
                trap, link.trap = link.trap, None
                trap.caught.set()
                if trap.then == "reset":
                    link.abort()
                    return
                if trap.then == "silence":
                    link.silent = True
                    continue
                await trap.until_released()
            link.client.write(chunk)
            await link.client.drain()
