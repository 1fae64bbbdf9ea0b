"""Clients for the server of a URL, wherever it is: one host, behind Sentinels, in a Cluster, over TLS or a socket.

A write whose reply was lost must not be sent again by the client library (a retried XADD gave three entries), so
its retries are off; every script is safe to repeat by the caller instead. A blocking read has a client of its own
whose socket timeout outlasts the block. `wires` makes the connections, `answers` translates what goes wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from redis.asyncio import Redis
from redis.asyncio.connection import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from lib.errors import SettingsError, UnreachableError
from lib.redisqueue.answers import as_text, edge
from lib.redisqueue.finding import ByAddress, BySentinels
from lib.redisqueue.sentinels import tls_arguments
from lib.redisqueue.wires import FoundConnection, FoundTlsConnection, SocketConnection
from lib.server_url import parse_server_url, without_secrets

if TYPE_CHECKING:
    from lib.server_url import ServerUrl

__all__ = ["Client", "as_text", "connect", "edge", "stream_entries"]

Client = Redis

CONNECT_TIMEOUT_SECONDS: Final = 5.0
COMMAND_TIMEOUT_SECONDS: Final = 5.0
"""Longer than any script of ours runs; with a renewal's interval well within a session's life, so that a half-open
socket is noticed while the session stands."""

BLOCK_MARGIN_SECONDS: Final = 2.0
"""How much longer than its BLOCK a blocking read may take before its connection counts as dead."""

_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def connect(url: str, *, block_seconds: float | None = None, prefix: str | None = None) -> Client:
    """A client for commands, or, with `block_seconds`, one for reads that block that long.

    `prefix` is the queue's: on a Cluster its commands go to the node that has it.

    Raises:
        UnreachableError: the URL is none.
        SettingsError: a file that it names is not there.

    """
    try:
        parts = parse_server_url(url)
    except ValueError as exc:
        raise UnreachableError(f"not a Redis URL: {without_secrets(url)!r}", hint=f"write {exc}") from exc
    common: dict[str, Any] = {
        "protocol": 3,
        "db": parts.db,
        "username": parts.username,
        "password": parts.password,
        "decode_responses": False,
        "socket_timeout": COMMAND_TIMEOUT_SECONDS if block_seconds is None else block_seconds + BLOCK_MARGIN_SECONDS,
        "socket_connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "retry": Retry(NoBackoff(), 0),
        # Each would be a round trip more at every connect, and a right more for the user.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }
    return Redis.from_pool(_pool(parts, without_secrets(url), prefix, common))


def _pool(parts: ServerUrl, shown: str, prefix: str | None, common: dict[str, Any]) -> ConnectionPool:
    if parts.kind == "socket":
        return ConnectionPool(SocketConnection, path=parts.path, **common)
    for name in _FILES:
        if name in parts.options and not Path(parts.options[name]).is_file():
            raise SettingsError(
                f"REDIS_URL: {name}={parts.options[name]}: no such file", hint="write the path of a PEM file"
            )
    finder = BySentinels(parts, shown) if parts.kind == "sentinel" else ByAddress(parts, prefix)
    kind = FoundTlsConnection if parts.tls else FoundConnection
    tls = {name: value for name, value in tls_arguments(parts).items() if name != "ssl"}
    return ConnectionPool(kind, finder=finder, socket_keepalive=True, **tls, **common)


def stream_entries(reply: Any) -> list[tuple[str, list[Any]]]:
    """(key, entries) of a read of streams, whose shape differs between RESP2, RESP3 and redis-py's versions."""
    pairs = reply.items() if isinstance(reply, dict) else (reply or ())
    found: list[tuple[str, list[Any]]] = []
    for key, parts in pairs:
        flat = [item for part in parts for item in (part if part and isinstance(part[0], list | tuple) else [part])]
        if flat:
            found.append((as_text(key), flat))
    return found
