"""A yard behind Sentinels, and the ways to make its replica lag: for the tests of failover."""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from tests.chaos.yard import MODULES, Yard
from tests.support.wait import wait_until
from tests.support.watchers import RUNNER, environment_of, run_program

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.topologies import Watched

ACL_PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "redis-acl.md"


@asynccontextmanager
async def yard_behind(group: Watched, prefix: str, home: Path) -> AsyncIterator[Yard]:
    """A place whose queue and watchers go by the Sentinels; sound at the end on whoever is master then."""
    for name in ("runs", "gates"):
        (home / name).mkdir(exist_ok=True)
    client = connect(group.url)
    queue = Queue.over(client, group.url, prefix)
    await queue.refresh_streams()
    place = Yard(group.first, queue, home)
    try:
        yield place
        place.end_watchers()
        await place.answers()
        await place.check()
    finally:
        place.end_watchers()
        await client.aclose()
        for watcher in place.watchers:
            # Shown only when the test has failed.
            print(f"--- {watcher.name}\n{watcher.log}")  # noqa: T201


def stop_replicating(group: Watched) -> None:
    """The replica is there and answers, and gets nothing more from its master."""
    group.first.command("ACL", "SETUSER", "default", "-psync", "-sync")
    group.first.command("CLIENT", "KILL", "TYPE", "replica")


async def failed_over(group: Watched) -> None:
    """Wait until the Sentinels name the second server."""
    await wait_until(lambda: group.master() is group.second, 90, what="a failover")


def line_of(user: str, *, prefix: str) -> list[str]:
    """The command that makes this user, out of docs/how-to/redis-acl.md, for the keys of a test."""
    (line,) = re.findall(rf"^ACL SETUSER {user} reset .*$", ACL_PAGE.read_text(), re.MULTILINE)
    return [word.replace("~pab:", f"~{prefix}:") for word in str(line).split()]


async def enqueue(
    yard: Yard, group: Watched, durability: str, *rows: dict[str, Any], url: str | None = None
) -> dict[str, Any]:
    """`job-runner enqueue --json` at this durability; its document."""
    file = yard.home / "jobs.yaml"
    file.write_text(json.dumps(rows))
    environ = environment_of(
        url or group.url, yard.prefix, yard.home / "host", {"JOBS_DURABILITY": durability, "JOBS_TASK_MODULES": MODULES}
    )
    code, out, err = await run_program(RUNNER, "enqueue", str(file), "--json", environ=environ, cwd=yard.home)
    assert code == 0, err
    document: dict[str, Any] = json.loads(out)
    return document
