"""What a soak looks at: one watcher from outside, the server behind it, and whether a line through it all rises.

Nothing here changes anything. `tests.soak.run` asks for a sample every few seconds.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue import sessions
from lib.redisqueue.fsck import census
from lib.redisqueue.keys import GROUP
from tests.job_watcher.metrics.asking import get, samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.redisqueue.queue import Queue
    from tests.support.watchers import WatcherProcess

MIB: Final = 1024 * 1024
_POINTS_MIN: Final = 3
"""Of a line with an error."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Sizes in MiB; `seconds` since the load began."""

    seconds: float
    rss: float
    fds: int
    threads: int
    tasks: int
    children: int
    children_rss: float
    work_dirs: int
    connections: int
    """Of this watcher, as the server sees them."""
    sessions: int
    consumers: int
    keys: int
    records: int
    server: float
    """Memory that the server uses."""
    kept: float
    """Of it what its keys take: records, histories, and streams that fill up to their bound."""

    @property
    def other(self) -> float:
        """What the server uses for anything but keys."""
        return self.server - self.kept


COUNTS: Final = ("fds", "threads", "tasks", "children", "work_dirs", "connections", "sessions", "consumers", "keys")
"""What must not be more at rest than it was before."""

THREADS: Final = 1 + min(32, (os.cpu_count() or 1) + 4)
"""Up to so many are none too many: asyncio's own, and its pool, whose threads are made when calls meet, and stay."""


def left_over(before: Sample, after: Sample) -> dict[str, tuple[int, int]]:
    """Counts that are more than they were: (before, after)."""
    allowed = {name: getattr(before, name) for name in COUNTS}
    allowed["threads"] = max(allowed["threads"], THREADS)
    return {
        name: (getattr(before, name), getattr(after, name)) for name in COUNTS if getattr(after, name) > allowed[name]
    }


@dataclass(slots=True)
class Lookout:
    """Looks at one watcher and its queue."""

    queue: Queue
    watcher: WatcherProcess
    _url: str = field(default="", init=False)

    async def look(self, seconds: float) -> Sample:
        """Now."""
        status = _status(self.watcher.pid)
        children = _children(self.watcher.pid)
        client: Any = self.queue.client
        keys = [key async for key in client.scan_iter(match=f"{self.queue.keys.prefix}:*", count=1000)]
        kept = sum([await client.memory_usage(key, samples=0) or 0 for key in keys])
        info = await client.info("memory")
        counted = await census(self.queue)
        return Sample(
            seconds=seconds,
            rss=_kib(status, "VmRSS") / 1024,
            fds=_open_files(self.watcher.pid),
            threads=_kib(status, "Threads"),
            tasks=await self._tasks(),
            children=len(children),
            children_rss=sum(_kib(_status(pid), "VmRSS") for pid in children) / 1024,
            work_dirs=_attempts(self.watcher.state_dir / "work"),
            connections=len(_ports(self.watcher.pid) & {_port(each) for each in await client.client_list()}),
            sessions=len(await sessions.live_sessions(self.queue)),
            consumers=await self._consumers(),
            keys=len(keys),
            records=counted.done + counted.failed + counted.cancelled,
            server=info["used_memory"] / MIB,
            kept=kept / MIB,
        )

    async def _tasks(self) -> int:
        """Of the watcher's event loop, by its metrics."""
        if not self._url:
            found = re.search(r"metrics on (http://\S+)/metrics", self.watcher.log)
            if found is None:
                raise LookupError(
                    f"{self.watcher.name} does not say where its metrics are; start it with --metrics-port"
                )
            self._url = found[1]
        page = await get(self._url, "/metrics")
        return int(samples(page.body)["job_runner_event_loop_tasks"])

    async def _consumers(self) -> int:
        found = 0
        for lane in self.queue.lanes:
            page: Any = await self.queue.client.xinfo_consumers(self.queue.keys.stream(lane), GROUP)
            found += len(page)
        return found


def _status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # a child that has just been replaced


def _kib(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _ports(pid: int) -> set[int]:
    """The own end of every TCP connection of a process."""
    inodes = {str(each.readlink())[8:-1] for each in Path(f"/proc/{pid}/fd").iterdir() if _is_socket(each)}
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[9] in inodes}


def _is_socket(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()).startswith("socket:")
    except FileNotFoundError:
        return False  # closed since it was listed


def _port(client: dict[str, str]) -> int:
    return int(client["addr"].rpartition(":")[2])


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def _attempts(work: Path) -> int:
    """Directories of attempts and of sessions, whoever left them."""
    return sum(1 for place in work.rglob("*") if place.is_dir()) if work.is_dir() else 0


@dataclass(frozen=True, slots=True)
class Line:
    """A straight line through samples: what it gains in an hour, and how sure that is (one standard error)."""

    per_hour: float
    error: float
    mean: float
    gained: float
    """From the first of them to the last, by the line."""

    def rises(self, allowed: float, step: float) -> bool:
        """Whether it gains more than `allowed` an hour, beyond twice its error, and has gained more than `step`."""
        return self.per_hour - 2 * self.error > allowed and self.gained > step


def line_through(points: Sequence[tuple[float, float]]) -> Line:
    """By least squares; x in seconds.

    Raises:
        ValueError: at fewer than three times.

    """
    if len({x for x, _ in points}) < _POINTS_MIN:
        raise ValueError(f"no line through {len(points)} points")
    count = len(points)
    x_mean, y_mean = (sum(values) / count for values in zip(*points, strict=True))
    spread = sum((x - x_mean) ** 2 for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / spread
    rest = sum((y - y_mean - slope * (x - x_mean)) ** 2 for x, y in points)
    span = max(x for x, _ in points) - min(x for x, _ in points)
    return Line(slope * 3600, sqrt(rest / (count - 2) / spread) * 3600, y_mean, slope * span)
