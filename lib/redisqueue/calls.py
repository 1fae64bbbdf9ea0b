"""Calls of scripts over a connection: one alone, or many, each sent before the reply to the one before it has come.

Of many the server works on one while the next is packed here. One connection keeps them in order, except where the
server has just forgotten its scripts: then a call may be run before the one sent ahead of it. The replies are always in
the order of the calls. At most one call is ahead, so that little is in doubt when the connection breaks.
`lib.redisqueue.scripts` makes the calls.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError, ResponseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from redis.asyncio.connection import AbstractConnection

    from lib.redisqueue.connection import Client

Argument = str | bytes | int


@asynccontextmanager
async def borrowed(client: Client) -> AsyncIterator[AbstractConnection]:
    """A connection of a client for a conversation; after an error in it nothing more is read from it."""
    pool = client.connection_pool
    connection = client.connection or await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py
    try:
        yield connection
    except BaseException:
        # A reply may be under way that the next command would take for its own.
        await connection.disconnect(nowait=True)
        raise
    finally:
        if connection is not client.connection:
            await pool.release(connection)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a script; `words` are the number of keys, the keys and the arguments."""

    sha: str
    text: str
    words: list[Argument]


async def answered(connection: AbstractConnection, call: Call) -> Any:
    """The reply to one call, a server's error as a value: after it the connection is as good as before.

    By the connection itself: redis-py's way through its client takes a third longer.
    """
    try:
        await connection.send_command("EVALSHA", call.sha, *call.words)
        return await connection.read_response()
    except NoScriptError:
        pass
    except ResponseError as exc:
        return exc
    try:
        await connection.send_command("EVAL", call.text, *call.words)
        return await connection.read_response()
    except ResponseError as exc:
        return exc


class OneAhead:
    """The calls of one conversation; `prepare` makes one out of the arguments of `Scripts.call`."""

    def __init__(self, connection: AbstractConnection, prepare: Callable[..., Call]) -> None:
        self._connection = connection
        self._prepare = prepare
        self._sent: deque[Call] = deque()
        self._replies: deque[Any] = deque()

    async def call(self, name: str, /, **arguments: Any) -> list[Any]:
        """Send a call; the replies to earlier ones that came meanwhile, in order: nothing at first, then one."""
        call = self._prepare(name, **arguments)
        await self._connection.send_command("EVALSHA", call.sha, *call.words)
        self._sent.append(call)
        return await self._received(1)

    async def rest(self) -> list[Any]:
        """The replies that are still to come."""
        return await self._received(0)

    async def _received(self, ahead: int) -> list[Any]:
        while len(self._sent) > ahead:
            call = self._sent.popleft()
            try:
                self._replies.append(await self._connection.read_response())
            except NoScriptError:
                await self._send_whole(call)
        replies = [*self._replies]
        self._replies.clear()
        return replies

    async def _send_whole(self, call: Call) -> None:
        """The server does not know the script: this call is sent anew, and those behind it that met the same.

        One behind it has been run already where somebody else sent the script in between. Nobody may rely on the order
        of two calls for more than which comes first: each answer is true of the moment when its call was run.
        """
        calls: list[tuple[Call | None, Any]] = [(call, None)]
        while self._sent:
            behind = self._sent.popleft()
            try:
                # It may know it by now: somebody else has sent it.
                calls.append((None, await self._connection.read_response()))
            except NoScriptError:
                calls.append((behind, None))
        for unanswered, reply in calls:
            if unanswered is None:
                self._replies.append(reply)
                continue
            await self._connection.send_command("EVAL", unanswered.text, *unanswered.words)
            self._replies.append(await self._connection.read_response())
