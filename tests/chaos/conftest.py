"""The yard of a test: a server of its own, and the end of every process by its pid, also after a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.chaos.yard import Yard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.servers import RealServer


@pytest.fixture
async def yard(own_valkey: RealServer, prefix: str, tmp_path: Path) -> AsyncIterator[Yard]:
    """A server and a queue for one test; afterwards nothing may be lost or contradict itself."""
    for name in ("runs", "gates"):
        (tmp_path / name).mkdir()
    client = connect(own_valkey.url)
    queue = Queue.over(client, own_valkey.url, prefix)
    await queue.refresh_streams()
    place = Yard(own_valkey, queue, tmp_path)
    try:
        yield place
        place.end_watchers()
        await place.check()
    finally:
        place.end_watchers()
        await client.aclose()
        for watcher in place.watchers:
            # Shown only when the test has failed.
            print(f"--- {watcher.name} ({watcher.log_file})\n{watcher.log}")  # noqa: T201
