"""From a command's flags to its settings, and from its coroutine to a value."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from lib.command_line.server_url_option import checked_server_url
from lib.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from lib.redisqueue.queue import Queue

T = TypeVar("T")


def settings_of(redis_url: str | None) -> Settings:
    """The settings of the environment and the --redis-url flag."""
    return Settings.load(redis_url=checked_server_url(redis_url))


def with_queue(settings: Settings, work: Callable[[Queue], Awaitable[T]]) -> T:
    """Run `work` on the queue of these settings, in an event loop of its own."""
    # The client library is what a command without Redis must not pay for.
    from lib.wiring import opened_queue  # noqa: PLC0415

    found: list[T] = []

    async def run() -> None:
        async with opened_queue(settings) as queue:
            # Not returned: when asyncio's runner lets go of SIGINT, it has its task written out with all of the result,
            # twice, which takes a second for the rows of a large file.
            found.append(await work(queue))

    asyncio.run(run())
    return found[0]
