"""Empty the queue, for development and after accidents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.redisqueue import producing
from lib.redisqueue.rights import require_rights

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue


async def flush(queue: Queue, *, hard: bool, force: bool) -> dict[str, Any]:
    """Remove what waits, is delayed or runs; `hard` the records too. The JSON of `flush`.

    Raises:
        RefusedError: a watcher is alive and `force` is not set.
        SettingsError: this user of Redis may not remove keys; nothing was removed.

    """
    await require_rights(queue, "watcher")
    flushed = await producing.flush(queue, hard=hard, force=force)
    return {
        "deleted": flushed.jobs + flushed.records,
        "jobs": flushed.jobs,
        "records": flushed.records,
        "hard": hard,
        "instances_kept": flushed.instances,
        "keys": sorted(flushed.keys),
    }
