"""Which commands the queue sends, by whom, and whether this user may send them.

`docs/how-to/redis-acl.md` shows the same lists as ready lines, and a test keeps them equal; another compares them with
the Lua files. To find out, each command is queued in a MULTI that is then discarded: the server checks the rights
when it queues, so nothing is ever done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from redis import exceptions as redis_errors

from lib.errors import SettingsError
from lib.redisqueue.answers import RIGHTS_PAGE, edge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.asyncio.connection import AbstractConnection

    from lib.redisqueue.queue import Queue

Role = Literal["reader", "producer", "watcher"]
ROLES: Final[tuple[Role, ...]] = ("reader", "producer", "watcher")

_KEY: Final = "jobs:rights"
"""Under the queue's prefix; never written."""

_READER: Final[dict[str, str]] = {
    "eval": "return(1) 0",
    "evalsha": "0 0",
    "exists": "KEY",
    "get": "KEY",
    "hexists": "KEY f",
    "hget": "KEY f",
    "hgetall": "KEY",
    "hlen": "KEY",
    "hmget": "KEY f",
    "hscan": "KEY 0",
    "info": "",
    "smembers": "KEY",
    "time": "",
    "type": "KEY",
    "xinfo|consumers": "KEY g",
    "xinfo|groups": "KEY",
    "xlen": "KEY",
    "xpending": "KEY g",
    "xrange": "KEY - +",
    "xread": "STREAMS KEY 0",
    "xrevrange": "KEY + -",
    "zcard": "KEY",
    "zcount": "KEY 0 1",
    "zlexcount": "KEY - +",
    "zrange": "KEY 0 1",
    "zrangebylex": "KEY - +",
    "zrangebyscore": "KEY 0 1",
    "zscan": "KEY 0",
    "zscore": "KEY m",
}
_PRODUCER: Final[dict[str, str]] = {
    "hdel": "KEY f",
    "hincrby": "KEY f 1",
    "hset": "KEY f v",
    "sadd": "KEY m",
    "set": "KEY v",
    "wait": "1 1",
    "xack": "KEY g 1-1",
    "xadd": "KEY * f v",
    "xdel": "KEY 1-1",
    "zadd": "KEY 1 m",
    "zrem": "KEY m",
}
_WATCHER: Final[dict[str, str]] = {
    "del": "KEY",
    "srem": "KEY m",
    "unlink": "KEY",
    "xclaim": "KEY g c 0 1-1",
    "xgroup|create": "KEY g 0",
    "xgroup|delconsumer": "KEY g c",
    "xreadgroup": "GROUP g c STREAMS KEY >",
    "zremrangebyscore": "KEY 0 1",
}
COMMANDS: Final[Mapping[Role, Mapping[str, str]]] = {
    "reader": _READER,
    "producer": {**_READER, **_PRODUCER},
    "watcher": {**_READER, **_PRODUCER, **_WATCHER},
}
"""Command, with its subcommand, to arguments that it takes."""

_NAMED: Final = 6
"""So many missing commands are named; more are counted."""

ENVELOPE: Final = ("multi", "exec", "discard")
"""Needed by every role, around the others."""


async def missing_rights(queue: Queue, role: Role) -> dict[str, str]:
    """Command -> what the server says, for each that this user may not send or not to the queue's keys."""
    tried = COMMANDS[role]
    pool = queue.client.connection_pool
    async with edge(queue.url):
        # Not by the client, which would read each QUEUED as the command's own reply.
        wire = await pool.get_connection()  # type: ignore[no-untyped-call]  # redis-py
        try:
            await wire.send_command("MULTI")
            try:
                await wire.read_response()
            except redis_errors.NoPermissionError as exc:
                # Without it, what follows would be done.
                return {"multi": str(exc)}
            samples = [*(_sample(queue, name, words) for name, words in tried.items()), ["DISCARD"]]
            await wire.send_packed_command(wire.pack_commands(samples))
            answers = {name: await _refusal(wire) for name in (*tried, "discard")}
        finally:
            # An ended connection takes its MULTI with it.
            await wire.disconnect(nowait=True)
            await pool.release(wire)
    return {name: answer for name, answer in answers.items() if answer}


async def require_rights(queue: Queue, role: Role) -> None:
    """Ask before the first step: a script that is refused half-way is not rolled back.

    Raises:
        SettingsError: names what is missing.

    """
    lacking = await missing_rights(queue, role)
    if lacking:
        raise SettingsError(
            f"Redis refuses this user: {told(lacking, queue)}", hint=f"give it the line in {RIGHTS_PAGE}"
        )


def told(lacking: Mapping[str, str], queue: Queue) -> str:
    """What is missing, as one would grant it, and the server's first word about it."""
    named = ", ".join(f"+{name}" for name in sorted(lacking)[:_NAMED])
    more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
    return f"it lacks {named}{more} on {queue.keys.prefix}:* ({next(iter(lacking.values()))})"


async def _refusal(wire: AbstractConnection) -> str:
    """Why the server will not let this user; empty when it will."""
    try:
        await wire.read_response()
    except redis_errors.NoPermissionError as exc:
        return str(exc)
    except redis_errors.ResponseError:
        # A full server, or a replica: it would refuse to do it, not this user.
        return ""
    return ""


def _sample(queue: Queue, name: str, words: str) -> Sequence[str]:
    key = f"{queue.keys.prefix}:{_KEY}"
    return [*name.upper().split("|"), *(key if word == "KEY" else word for word in words.split())]
