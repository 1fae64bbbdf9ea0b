"""What Sentinels say about a service: where its master is, and how safe a failover would be.

All are asked at once, and the answer with the highest configuration epoch counts: one that was cut off still names
the former master. Nothing is kept between two questions.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from lib.errors import UnreachableError

if TYPE_CHECKING:
    from lib.server_url import Host, ServerUrl

ANSWER_SECONDS: Final = 1.0
"""How long a Sentinel may take, to connect and to answer; asked all at once, so a dead one costs this much."""


@dataclass(frozen=True, slots=True)
class Service:
    """What is known of one service; counts of Sentinels are those of the URL."""

    master: Host
    epoch: int
    down: bool
    replicas: int
    quorum: int
    sentinels: int
    """How many watch it, as they themselves know."""
    answered: int
    asked: int


async def ask_sentinels(url: ServerUrl, shown: str) -> Service:
    """Ask every Sentinel of the URL.

    Raises:
        UnreachableError: none answers, or none knows the service.

    """
    replies = await asyncio.gather(*(_ask(url, host) for host in url.hosts))
    known = [reply for reply in replies if isinstance(reply, dict)]
    if not known:
        said = "; ".join(f"{host}:{port}: {reply}" for (host, port), reply in zip(url.hosts, replies, strict=True))
        raise UnreachableError(
            f"no Sentinel of {shown} knows a master of {url.service!r}: {said}",
            hint="start them, or mend hosts, service and sentinel_password in REDIS_URL",
        )
    best = max(known, key=lambda reply: int(reply["config-epoch"]))
    return Service(
        master=(str(best["ip"]), int(best["port"])),
        epoch=int(best["config-epoch"]),
        down="down" in str(best["flags"]),
        replicas=int(best["num-slaves"]),
        quorum=int(best["quorum"]),
        sentinels=int(best["num-other-sentinels"]) + 1,
        answered=len(known),
        asked=len(url.hosts),
    )


async def _ask(url: ServerUrl, host: Host) -> dict[str, Any] | str:
    """The fields of SENTINEL MASTER, or why there are none."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return await _master_fields(url, host)
    except TimeoutError:
        return "silent"
    except (redis_errors.RedisError, OSError) as exc:
        return str(exc) or type(exc).__name__


async def _master_fields(url: ServerUrl, host: Host) -> dict[str, Any]:
    client = Redis(
        host=host[0],
        port=host[1],
        username=url.options.get("sentinel_username"),
        password=url.options.get("sentinel_password"),
        protocol=2,
        decode_responses=True,
        socket_timeout=ANSWER_SECONDS,
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,
        **tls_arguments(url),
    )
    try:
        flat: Any = await client.execute_command("SENTINEL", "MASTER", url.service)  # type: ignore[no-untyped-call]  # redis-py
    finally:
        await client.aclose()
    return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


def tls_arguments(url: ServerUrl) -> dict[str, Any]:
    """What redis-py's client needs for the TLS of this URL; empty without."""
    if not url.tls:
        return {}
    files = {name: value for name, value in url.options.items() if name.startswith("ssl_")}
    return {**files, "ssl": True, "ssl_check_hostname": url.check_hostname}
