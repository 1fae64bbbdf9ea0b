"""Who works with the bundled server of this state directory, asked before it is stopped.

A server that does not answer is no reason not to stop it, so whatever goes wrong here counts as nobody.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from lib import embedded
from lib.errors import JobRunnerError
from lib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

ANSWER_SECONDS: Final = 2.0
"""A server that is stopped like a process does not answer at all."""


async def watchers_of_bundled(state_dir: Path) -> list[str]:
    """Names of the watchers that are alive there, under the prefix of the settings; empty when it does not run."""
    server = (await embedded.status(state_dir)).server
    if server is None:
        return []
    # The client library is what starting a server must not pay for.
    from lib.redisqueue import sessions  # noqa: PLC0415 - see above
    from lib.wiring import opened_queue  # noqa: PLC0415 - see above

    try:
        async with asyncio.timeout(ANSWER_SECONDS), opened_queue(Settings.load(redis_url=server.url)) as queue:
            return sorted(watcher.name for watcher in await sessions.roster(queue))
    except (JobRunnerError, TimeoutError):
        return []
