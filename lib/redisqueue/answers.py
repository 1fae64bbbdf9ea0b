"""What a server's errors mean to us: the one place where redis-py's exceptions become those of `lib.errors`.

It knows no connection. `edge` is around every command that the rooms of the queue send.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from redis import exceptions as redis_errors

from lib.errors import (
    JobRunnerError,
    NotLeaderError,
    QueueError,
    ServerFullError,
    SessionLostError,
    SettingsError,
    UnreachableError,
    WrongKeyError,
)
from lib.server_url import without_secrets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

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
# redis-py takes the first word away where it has a class for it.
_PASSING_KINDS: Final = (
    redis_errors.ConnectionError,
    redis_errors.TimeoutError,
    redis_errors.ReadOnlyError,
    redis_errors.ClusterDownError,
    redis_errors.AskError,
    redis_errors.TryAgainError,
    OSError,
    TimeoutError,
)
_DEMOTED: Final = "instance state changed"
"""What a blocked read is told when its server becomes a replica; UNBLOCKED alone also means that a key is gone."""


class _WrongUrl(NamedTuple):
    """An answer that tells of a mistake in the URL: the class of the error, and a part of its text."""

    kind: type[redis_errors.RedisError]
    sign: str
    says: str
    hint: str


_WRONG_URLS: Final = (
    _WrongUrl(
        redis_errors.AuthenticationError,
        "",
        "refuses the user or the password",
        "write them into REDIS_URL: redis://USER:PASSWORD@HOST:PORT/DB, with % signs for what is not plain",
    ),
    _WrongUrl(
        redis_errors.ResponseError,
        "DB index is out of range",
        "has no database of that number",
        "end the URL in a smaller one, as redis://HOST:PORT/0; `CONFIG GET databases` says how many it has",
    ),
)

_MOVED_ON: Final = (redis_errors.ReadOnlyError, redis_errors.ClusterDownError, redis_errors.MovedError)

_TLS_HINTS: Final = (
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname", "write the host that the certificate is for"),
    ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP", "write the host that the certificate is for"),
    (
        "CERTIFICATE_VERIFY_FAILED",
        "name the file of the CA that signed it: rediss://HOST:PORT/DB?ssl_ca_certs=/path/ca.pem",
    ),
    ("WRONG_VERSION_NUMBER", "this port speaks no TLS: write redis://, or the server's TLS port"),
    ("RECORD_LAYER_FAILURE", "this port speaks no TLS: write redis://, or the server's TLS port"),
    ("NO_CERTIFICATE_OR_CRL_FOUND", "ssl_ca_certs is the path of a certificate in PEM form, of the CA"),
    ("PEM lib", "ssl_certfile and ssl_keyfile are paths of a certificate and of its key in PEM form"),
    ("ALERT_CERTIFICATE_REQUIRED", "it wants a certificate of yours: &ssl_certfile=/path&ssl_keyfile=/path"),
    ("ALERT_HANDSHAKE_FAILURE", "it wants a certificate of yours: &ssl_certfile=/path&ssl_keyfile=/path"),
)
_REFUSED_IN_SCRIPT: Final = ("ACL failure in script", "The user executing the script can't")
"""Valkey's words and Redis 7.0's."""

START_ONE: Final = "start one with `job-runner server start`, or set REDIS_URL"
RIGHTS_PAGE: Final = "docs/how-to/redis-acl.md"


def has_moved_on(error: redis_errors.RedisError) -> bool:
    """Whether the answer says that somebody else is the master by now."""
    return isinstance(error, _MOVED_ON) or _DEMOTED in str(error)


def translate(error: redis_errors.RedisError | OSError | TimeoutError, url: str) -> JobRunnerError:
    """Our error for one of redis-py's; the text of the server stays in the message."""
    text = str(error)
    code = text.partition(" ")[0]
    if code in _OURS:
        return _OURS[code](text.partition(" ")[2] or text)
    for wrong in _WRONG_URLS:
        # It does answer; to wait for it would wait for ever.
        if isinstance(error, wrong.kind) and wrong.sign in text:
            return SettingsError(f"Redis at {without_secrets(url)} {wrong.says}: {text}", hint=wrong.hint)
    if code in _PASSING or _DEMOTED in text or isinstance(error, _PASSING_KINDS):
        return UnreachableError(
            f"Redis at {without_secrets(url)} does not answer: {text or type(error).__name__}", hint=_hint(text, url)
        )
    if isinstance(error, redis_errors.OutOfMemoryError):
        return ServerFullError(text)
    if isinstance(error, redis_errors.NoPermissionError) or any(sign in text for sign in _REFUSED_IN_SCRIPT):
        return QueueError(
            f"Redis refuses: {text}", hint=f"give this user the rights in {RIGHTS_PAGE}; `job-runner doctor` names them"
        )
    return QueueError(f"Redis answered with an error: {text}")


def _hint(text: str, url: str) -> str:
    for sign, hint in _TLS_HINTS:
        if sign in text:
            return hint
    if "+sentinel://" in url:
        return "a failover takes some seconds; if it does not pass, ask a Sentinel: `SENTINEL MASTER <service>`"
    if url.startswith("rediss://") and "Timeout" in text:
        return f"if this port speaks no TLS, write redis://; else {START_ONE}"
    if url.startswith("rediss://") and "ssl_certfile" not in url and ("closed by server" in text or "reset" in text):
        # A server that wants a certificate may hang up before its alert is read.
        return f"it may want a certificate of yours: &ssl_certfile=/path&ssl_keyfile=/path; else {START_ONE}"
    if url.startswith("redis://") and ("closed by server" in text or "reset by peer" in text):
        return f"if this port wants TLS, write rediss://; else {START_ONE}"
    return START_ONE


@asynccontextmanager
async def edge(url: str) -> AsyncIterator[None]:
    """Turns what redis-py raises inside into our errors."""
    try:
        yield
    except (redis_errors.RedisError, OSError, TimeoutError) as exc:
        raise translate(exc, url) from exc


def as_text(value: bytes | str) -> str:
    """A reply's bytes as text; bytes that are no UTF-8 survive as surrogates."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")
