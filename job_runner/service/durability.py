"""What "accepted" is worth: the level of JOBS_DURABILITY, checked against the server before anything is queued.

A level that the server cannot keep is refused here, since a promise made and not kept is found out too late.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from lib.errors import RefusedError, SettingsError
from lib.redisqueue.rights import require_rights

if TYPE_CHECKING:
    from lib.redisqueue.features import Features
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

WAIT_MS: Final = 5000
"""How long a submit waits for its replicas: half of what a command may take on the connection."""


@dataclass(frozen=True, slots=True)
class Durability:
    """A level that this server keeps; `replicas` is how many must have a job, 0 unless replicated."""

    level: Literal["memory", "fsynced", "replicated"]
    replicas: int = 0


async def ready_to_queue(queue: Queue, settings: Settings) -> Durability:
    """The level of the settings, for a user who may queue.

    Raises:
        SettingsError, RefusedError: as `agreed_durability`, or a right is missing.

    """
    durability = await agreed_durability(queue, settings)
    await require_rights(queue, "producer")
    return durability


async def agreed_durability(queue: Queue, settings: Settings) -> Durability:
    """The level of the settings, after a look at the server.

    Raises:
        SettingsError: `fsynced` on a server that does not sync each write, or a Cluster that the prefix does not fit.
        RefusedError: fewer replicas are connected than `replicated:N` asks for.

    """
    wanted = settings.jobs_durability
    features = await queue.check_server(config=wanted == "fsynced")
    if wanted == "memory":
        return Durability("memory")
    if wanted == "fsynced":
        _need_fsync(features)
        return Durability("fsynced")
    replicas = int(wanted.partition(":")[2])
    if features.replicas < replicas:
        raise RefusedError(
            f"JOBS_DURABILITY={wanted}, and the server has {features.replicas} replicas; nothing was queued",
            hint="connect more replicas, or ask for fewer",
        )
    return Durability("replicated", replicas)


def _need_fsync(features: Features) -> None:
    if features.append_only and features.append_fsync == "always":
        return
    if features.append_only is None:
        seen = "does not tell its configuration"
    elif not features.append_only:
        seen = "has no append-only file"
    else:
        seen = f"has appendfsync {features.append_fsync}"
    raise SettingsError(
        f"JOBS_DURABILITY=fsynced needs a server with appendfsync always; this one {seen}; nothing was queued",
        hint="start the bundled one with `job-runner server start --fsync always`, or set JOBS_DURABILITY=memory",
    )
