"""The words that hasten watchers: a cancel says on `control` which lease is to stop.

Every watcher listens, whoever leads; what it misses, its next renewal tells it. `job_watcher.control` calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.jobqueue.protocol import ControlWord
from lib.redisqueue.connection import Client, as_text, edge, stream_entries

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue


async def newest_control(queue: Queue) -> str:
    """The id of the newest control entry: where a new session begins to listen."""
    async with edge(queue.url):
        newest: Any = await queue.client.xrevrange(queue.keys.of("control"), count=1)
    return as_text(newest[0][0]) if newest else "0-0"


async def wait_for_control(queue: Queue, blocking: Client, after: str, *, block_ms: int) -> list[ControlWord]:
    """Block until something hastens watchers; empty after `block_ms`."""
    async with edge(queue.url):
        reply: Any = await blocking.xread({queue.keys.of("control"): after}, count=100, block=block_ms)
    return [
        ControlWord(
            as_text(entry),
            as_text(fields.get(b"type", b"")),
            as_text(fields.get(b"id", b"")),
            as_text(fields.get(b"fence", b"")),
        )
        for _, entries in stream_entries(reply)
        for entry, fields in entries
    ]
