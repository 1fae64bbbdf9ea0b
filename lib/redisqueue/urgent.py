"""The waiting jobs with a deadline, the nearest first: what the policy `deadline` plans with.

What a job is (its task, its size) stands in its entry, which is read once and remembered by generation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

from lib.errors import InvalidInputError
from lib.job_sizes import size_of
from lib.jobqueue import JobSpec
from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.keys import is_intake
from lib.redisqueue.rows import IndexRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lib.redisqueue.queue import Queue

NEAREST_MAX: Final = 500
"""So many are planned with; the others have time."""

LOOKED_AT_MAX: Final = 10 * NEAREST_MAX
"""So many jobs with a deadline are looked at for these, a page of `NEAREST_MAX` at a time: most that come before a
waiting one run already, wait for their time, or are none of the asker's."""


@dataclass(frozen=True, slots=True)
class Pressing:
    """A waiting job with a deadline in Unix ms; `task` is empty where it could not be read."""

    request_id: str
    intake: str
    deadline_ms: int
    task: str
    size: float


@dataclass(slots=True)
class Deadlines:
    """Reads them, and remembers what each job is."""

    queue: Queue
    _known: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)

    async def waiting(self, minded: Callable[[str], bool] = lambda _: True) -> list[Pressing]:
        """Those that wait in an intake now; only in those that are `minded`, asked by name."""
        found = await self._rows(minded)
        fresh = [(name, row) for name, row, _ in found if (name, row.generation) not in self._known]
        for (name, row), said in zip(fresh, await self._entries(fresh), strict=True):
            self._known[name, row.generation] = said
        self._known = {(name, row.generation): self._known[name, row.generation] for name, row, _ in found}
        return [Pressing(name, row.stream, due, *self._known[name, row.generation]) for name, row, due in found]

    async def _rows(self, minded: Callable[[str], bool]) -> list[tuple[str, IndexRow, int]]:
        # By name: while pages are read, a job may come to stand on the next one.
        found: dict[str, tuple[str, IndexRow, int]] = {}
        wanted: dict[str, bool] = {}
        for begin in range(0, LOOKED_AT_MAX, NEAREST_MAX):
            page = await self._page(begin)
            for raw_name, due, raw in page:
                row = IndexRow.readable(raw)
                if row is None or row.state != "queued" or not isfinite(due):
                    continue
                intake = row.stream
                if intake not in wanted:
                    wanted[intake] = is_intake(intake) and minded(intake)
                if wanted[intake]:
                    name = as_text(raw_name)
                    found[name] = (name, row, int(due))
            if len(found) >= NEAREST_MAX or len(page) < NEAREST_MAX:
                break
        return list(found.values())[:NEAREST_MAX]

    async def _page(self, begin: int) -> list[tuple[Any, float, Any]]:
        """Name, deadline and row of those from this place on."""
        async with edge(self.queue.url):
            nearest: Any = await self.queue.client.zrange(
                self.queue.keys.of("deadlines"), begin, begin + NEAREST_MAX - 1, withscores=True
            )
            # As they were read: anybody may have put there what is no text.
            names = [name for name, _ in nearest]
            raws: Any = await self.queue.client.hmget(self.queue.keys.of("index"), names) if names else []
        return [(name, due, raw) for (name, due), raw in zip(nearest, raws, strict=True)]

    async def _entries(self, jobs: Sequence[tuple[str, IndexRow]]) -> list[tuple[str, float]]:
        if not jobs:
            return []
        async with edge(self.queue.url), self.queue.client.pipeline(transaction=False) as pipe:
            for _, row in jobs:
                pipe.xrange(self.queue.keys.stream(row.stream), min=row.entry, max=row.entry)
            # A row may name no place at all.
            pages: list[Any] = await pipe.execute(raise_on_error=False)
        return [_about(page) for page in pages]


def _about(page: Any) -> tuple[str, float]:
    try:
        spec = JobSpec.from_json(page[0][1][b"job"])
    except (IndexError, KeyError, TypeError, InvalidInputError):
        return "", 1.0
    return spec.task, size_of(spec)
