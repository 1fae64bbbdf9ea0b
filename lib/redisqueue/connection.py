"""Connections to the server, and the one place where redis-py's errors become ours.

A write whose reply was lost must not be sent again by the client library (a retried XADD gave three entries), so
its retries are off; every script is safe to repeat by the caller instead. A blocking read has a client of its own
whose socket timeout outlasts the block.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from lib.errors import (
    JobRunnerError,
    NotLeaderError,
    QueueError,
    ServerFullError,
    SessionLostError,
    UnreachableError,
    WrongKeyError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Client = Redis

CONNECT_TIMEOUT_SECONDS: Final = 5.0
COMMAND_TIMEOUT_SECONDS: Final = 10.0
"""Longer than any script of ours runs; shorter than a session's life, so that a half-open socket is noticed."""

BLOCK_MARGIN_SECONDS: Final = 5.0
"""How much longer than its BLOCK a blocking read may take before its connection counts as dead."""

_OURS: Final[dict[str, type[JobRunnerError]]] = {
    "WRONGKEY": WrongKeyError,
    "NOLEADER": NotLeaderError,
    "NOSESSION": SessionLostError,
    "WRONGTYPE": WrongKeyError,
    "OOM": ServerFullError,
}
# What a server says while it loads, fails over or cannot write to its disk: it passes, so it is unreachable for now.
_PASSING: Final = (
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
)

_DEMOTED: Final = "instance state changed"
"""What a blocked read is told when its server becomes a replica; UNBLOCKED alone also means that a key is gone."""


def connect(url: str, *, block_seconds: float | None = None) -> Client:
    """A client for commands, or, with `block_seconds`, one for reads that block that long."""
    timeout = COMMAND_TIMEOUT_SECONDS if block_seconds is None else block_seconds + BLOCK_MARGIN_SECONDS
    try:
        return Redis.from_url(
            url,
            protocol=3,
            decode_responses=False,
            socket_timeout=timeout,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError as exc:
        raise UnreachableError(
            f"not a Redis URL: {hide_password(url)!r}",
            hint="write redis://HOST:PORT/DB, rediss:// for TLS, unix:// for a socket",
        ) from exc


def hide_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, separator, rest = url.partition("://")
    credentials, at, host = rest.rpartition("@")
    if not at:
        return url
    user = credentials.partition(":")[0]
    return f"{scheme}{separator}{user}:***@{host}"


def translate(error: redis_errors.RedisError | OSError | TimeoutError, url: str) -> JobRunnerError:
    """Our error for one of redis-py's; the text of the server stays in the message."""
    text = str(error)
    code = text.partition(" ")[0]
    if code in _OURS:
        return _OURS[code](text.partition(" ")[2] or text)
    passing = (
        code in _PASSING
        or _DEMOTED in text
        or isinstance(
            error, redis_errors.ConnectionError | redis_errors.TimeoutError | redis_errors.ReadOnlyError | OSError
        )
    )
    if passing or isinstance(error, TimeoutError):
        return UnreachableError(
            f"Redis at {hide_password(url)} does not answer: {text or type(error).__name__}",
            hint="start one with `job-runner server start`, or set REDIS_URL",
        )
    if isinstance(error, redis_errors.OutOfMemoryError):
        return ServerFullError(text)
    if isinstance(error, redis_errors.NoPermissionError):
        return QueueError(f"Redis refuses: {text}", hint="give this user the commands and keys of the queue")
    return QueueError(f"Redis answered with an error: {text}")


@asynccontextmanager
async def edge(url: str) -> AsyncIterator[None]:
    """Turns what redis-py raises inside into our errors."""
    try:
        yield
    except (redis_errors.RedisError, OSError, TimeoutError) as exc:
        raise translate(exc, url) from exc


@dataclass(frozen=True, slots=True)
class Features:
    """What the server is and can do: looked up, never assumed from a version."""

    software: str
    version: str
    cluster: bool
    run_id: str
    append_only: bool | None
    append_fsync: str | None
    eviction: str | None
    replicas: int


async def detect(client: Client, url: str) -> Features:
    """Asks INFO and CONFIG; a refused CONFIG leaves None, so that a managed server works too."""
    async with edge(url):
        info: dict[str, Any] = await client.info()
    config: dict[str, str] = {}
    for name in ("appendonly", "appendfsync", "maxmemory-policy"):
        try:
            config.update(_text(await client.config_get(name)))
        except redis_errors.ResponseError:
            continue
        except (redis_errors.RedisError, OSError, TimeoutError) as exc:
            raise translate(exc, url) from exc
    append_only = config.get("appendonly")
    return Features(
        software="valkey" if "valkey_version" in info else "redis",
        version=str(info.get("valkey_version", info.get("redis_version", "?"))),
        cluster=info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == 1,
        run_id=str(info.get("run_id", "")),
        append_only=None if append_only is None else append_only == "yes",
        append_fsync=config.get("appendfsync"),
        eviction=config.get("maxmemory-policy"),
        replicas=int(info.get("connected_slaves", 0)),
    )


def _text(reply: dict[Any, Any]) -> dict[str, str]:
    return {as_text(name): as_text(value) for name, value in reply.items()}


def as_text(value: bytes | str) -> str:
    """A reply's bytes as text; bytes that are no UTF-8 survive as surrogates."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def stream_entries(reply: Any) -> list[tuple[str, list[Any]]]:
    """(key, entries) of a read of streams, whose shape differs between RESP2, RESP3 and redis-py's versions."""
    pairs = reply.items() if isinstance(reply, dict) else (reply or ())
    found: list[tuple[str, list[Any]]] = []
    for key, parts in pairs:
        flat = [item for part in parts for item in (part if part and isinstance(part[0], list | tuple) else [part])]
        if flat:
            found.append((as_text(key), flat))
    return found
