"""The names of the backlogs that jobs were ever sent to. A read; `verify` looks for a manifest's jobs under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.keys import DEFAULT_BACKLOG, is_backlog

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue


async def backlog_names(queue: Queue) -> tuple[str, ...]:
    """The default one first, the others in the order of their names; what is no name of ours is left out."""
    async with edge(queue.url):
        found: Any = await queue.client.smembers(queue.keys.of("backlogs"))
    names = {as_text(name) for name in found} - {DEFAULT_BACKLOG}
    return (DEFAULT_BACKLOG, *sorted(name for name in names if is_backlog(name)))
