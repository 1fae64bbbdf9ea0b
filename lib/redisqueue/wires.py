"""Connections that find their server anew each time they are made, and notice that it is the right one no more.

redis-py's own pool for Sentinels asks one Sentinel after the other, sees only READONLY, and knows no Cluster; these
few lines over its connection class serve all three. They send nothing twice.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.connection import HiredisRespSerializer

from lib.errors import UnreachableError
from lib.redisqueue.answers import as_text, has_moved_on

if TYPE_CHECKING:
    from lib.redisqueue.finding import Finder

_PACKER: Final = HiredisRespSerializer()

HOPS_MAX: Final = 3
"""From the host of the URL to the owner of a slot is one hop; a Cluster that is being changed may need another."""


class _Swift(AbstractConnection):
    """What redis-py does in its blocking connections only, or at some length."""

    def pack_command(self, *args: Any) -> list[bytes]:
        """The bytes of a command, packed in C: a batch has thousands of words."""
        packed: list[bytes] = _PACKER.pack(*args)
        return packed

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        """Send.

        redis-py bounds the time of it by `asyncio.wait_for`: a task for every command, and in Python 3.11 one that now
        and then swallows a cancellation, so that Ctrl-C ended nothing.
        """
        if self._writer is None or not isinstance(command, list):
            await super().send_packed_command(command, check_health)
            return
        self._writer.writelines(command)
        if self._writer.transport.get_write_buffer_size():
            await self._all_sent(self._writer)

    async def _all_sent(self, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self.socket_timeout):
                await writer.drain()
        except BaseException as exc:
            # Half a command may have left: nothing more can be said on this connection.
            await self.disconnect(nowait=True)
            if isinstance(exc, TimeoutError):
                raise redis_errors.TimeoutError("Timeout writing to socket") from None
            if isinstance(exc, OSError):
                raise redis_errors.ConnectionError(f"Error while writing to socket: {exc}") from exc
            raise


class SocketConnection(_Swift, UnixDomainSocketConnection):
    """A connection over a socket of this machine."""


class FoundConnection(_Swift, Connection):
    """A connection to wherever its finder says."""

    def __init__(self, *, finder: Finder, **more: Any) -> None:
        super().__init__(**more)
        self._finder = finder
        self._generation = -1
        self._greeting: dict[Any, Any] = {}

    @property
    def mode(self) -> str:
        """`standalone`, `cluster` or `sentinel`, as the server greeted; empty when it did not say."""
        return as_text(self._greeting.get(b"mode", b""))

    @property
    def role(self) -> str:
        """`master` or `replica`, as the server greeted."""
        return as_text(self._greeting.get(b"role", b""))

    async def connect(self) -> None:
        """Also leaves a server that is the right one no more, as another connection has found out."""
        if self.is_connected and self._generation != self._finder.generation:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[no-untyped-call]  # redis-py

    async def connect_check_health(self, *args: Any, **kwargs: Any) -> None:
        """Connect to the right server; every way of redis-py to a new socket comes by here."""
        if self.is_connected:
            return
        for _ in range(HOPS_MAX):
            self._generation = self._finder.generation
            self.host, self.port = await self._finder.address()
            self._greeting = {}
            try:
                await super().connect_check_health(*args, **kwargs)
            except (redis_errors.ConnectionError, redis_errors.TimeoutError):
                self._finder.lost()
                raise
            if await self._is_right():
                return
        self._finder.lost()
        raise UnreachableError("the Cluster names another node for the queue's slot each time", hint="try again")

    async def _is_right(self) -> bool:
        right = False
        try:
            right = await self._finder.is_here(self)
        finally:
            if not right:
                await self.disconnect(nowait=True)
        return right

    async def ask(self, *words: str) -> Any:
        """One command and its reply, while nobody else uses this connection."""
        await self.send_command(*words, check_health=False)
        return await self.read_response()

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        """As redis-py's; keeps the greeting, and hears that the server has changed."""
        try:
            response = await super().read_response(*args, **kwargs)
        except redis_errors.TimeoutError:
            # Half-open, perhaps, and so would be the others that wait in this pool: they are made anew.
            self._finder.lost()
            raise
        except redis_errors.ResponseError as exc:
            if has_moved_on(exc):
                self._finder.lost()
            raise
        if not self._greeting and isinstance(response, dict):
            self._greeting = response
        return response


class FoundTlsConnection(FoundConnection, SSLConnection):
    """The same over TLS."""
