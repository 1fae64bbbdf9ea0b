"""What a server is and can do: looked up, never assumed from a version. `Queue.check_server` and the doctor ask."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from redis import exceptions as redis_errors

from lib.redisqueue.answers import as_text, edge, translate

if TYPE_CHECKING:
    from lib.redisqueue.connection import Client

_CONFIG: Final = ("appendonly", "appendfsync", "maxmemory-policy")


@dataclass(frozen=True, slots=True)
class Features:
    """What a server says of itself; None where it does not tell."""

    software: str
    version: str
    cluster: bool
    run_id: str
    append_only: bool | None
    append_fsync: str | None
    eviction: str | None
    replicas: int
    role: str
    used_bytes: int
    max_bytes: int
    """Of memory; 0 without a limit."""


async def detect(client: Client, url: str, *, config: bool) -> Features:
    """Asks INFO, and CONFIG where `config`; what is refused stays unknown, so that a managed server works too.

    CONFIG GET is asked only where INFO does not do: a user with least rights may not, and each refusal is logged there.
    """
    async with edge(url):
        info = await _info(client)
    told = await _config(client, url) if config else {}
    return _features(info, told)


async def _info(client: Client) -> dict[str, Any]:
    try:
        info: dict[str, Any] = await client.info()
    except redis_errors.NoPermissionError:
        return {}
    return info


async def _config(client: Client, url: str) -> dict[str, str]:
    told: dict[str, str] = {}
    for name in _CONFIG:
        try:
            told.update(_text(await client.config_get(name)))
        except redis_errors.ResponseError:
            break
        except (redis_errors.RedisError, OSError, TimeoutError) as exc:
            raise translate(exc, url) from exc
    return told


def _features(info: dict[str, Any], config: dict[str, str]) -> Features:
    append_only = config.get("appendonly")
    if append_only is None and "aof_enabled" in info:
        append_only = "yes" if info["aof_enabled"] else "no"
    return Features(
        software="valkey" if "valkey_version" in info else "redis" if info else "unknown",
        version=str(info.get("valkey_version", info.get("redis_version", "?"))),
        cluster=info.get("redis_mode") == "cluster" or info.get("cluster_enabled") == 1,
        run_id=str(info.get("run_id", "")),
        append_only=None if append_only is None else append_only == "yes",
        append_fsync=config.get("appendfsync"),
        eviction=config.get("maxmemory-policy", info.get("maxmemory_policy")),
        replicas=int(info.get("connected_slaves", 0)),
        role=str(info.get("role", "master")),
        used_bytes=int(info.get("used_memory", 0)),
        max_bytes=int(info.get("maxmemory", 0)),
    )


def _text(reply: dict[Any, Any]) -> dict[str, str]:
    return {as_text(name): as_text(value) for name, value in reply.items()}
