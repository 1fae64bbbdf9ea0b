"""The waiting jobs with a deadline, the nearest first: what the policy `deadline` plans with.

What a job is (its task, its size) stands in its entry, which is read once and remembered by generation. The leader asks
before every decision, so what stands as it stood costs no more than to see that it does.
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
class _Seen:
    """A job as it stood when it was looked at last; `pressing` only of one that waited, as it was then."""

    raw: bytes | None
    row: IndexRow
    due: float
    name: str
    about: tuple[str, float] | None = None
    pressing: Pressing | None = None

    def told(self) -> Pressing:
        """The job for the asker: the same object as long as nothing about it changes."""
        if self.pressing is None:
            self.pressing = Pressing(self.name, self.row.stream, int(self.due), *(self.about or _UNREADABLE))
        return self.pressing


_UNREADABLE: Final = ("", 1.0)


@dataclass(slots=True)
class Deadlines:
    """Reads them, and remembers what each job is; a row that stands as it stood is not taken apart again."""

    queue: Queue
    _seen: dict[Any, _Seen] = field(default_factory=dict)

    async def waiting(self, minded: Callable[[str], bool] = lambda _: True) -> list[Pressing]:
        """Those that wait in an intake now; only in those that are `minded`, asked by name."""
        found = await self._rows(minded)
        fresh = [seen for seen in found if seen.about is None]
        for seen, said in zip(fresh, await self._entries([seen.row for seen in fresh]), strict=True):
            seen.about = said
        return [seen.told() for seen in found]

    async def _rows(self, minded: Callable[[str], bool]) -> list[_Seen]:
        # By name: while pages are read, a job may come to stand on the next one.
        found: dict[str, _Seen] = {}
        wanted: dict[str, bool] = {}
        there: dict[Any, _Seen] = {}
        for begin in range(0, LOOKED_AT_MAX, NEAREST_MAX):
            page = await self._page(begin)
            for raw_name, due, raw in page:
                seen = self._looked_at(raw_name, due, raw)
                if seen is None:
                    continue
                there[raw_name] = seen
                if seen.row.state != "queued":
                    continue
                intake = seen.row.stream
                if intake not in wanted:
                    wanted[intake] = is_intake(intake) and minded(intake)
                if wanted[intake]:
                    found[seen.name] = seen
            if len(found) >= NEAREST_MAX or len(page) < NEAREST_MAX:
                break
        self._seen = there
        return list(found.values())[:NEAREST_MAX]

    def _looked_at(self, raw_name: Any, due: float, raw: Any) -> _Seen | None:
        """What is known of it; None where the row or the deadline says nothing."""
        known = self._seen.get(raw_name)
        if known is not None and known.raw == raw and known.due == due:
            return known
        row = IndexRow.readable(raw)
        if row is None or not isfinite(due):
            return None
        about = known.about if known is not None and known.row.generation == row.generation else None
        # Handed back it stands elsewhere, and may be read there.
        about = None if about == _UNREADABLE else about
        return _Seen(raw, row, due, as_text(raw_name), about)

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

    async def _entries(self, rows: Sequence[IndexRow]) -> list[tuple[str, float]]:
        if not rows:
            return []
        async with edge(self.queue.url), self.queue.client.pipeline(transaction=False) as pipe:
            for row in rows:
                pipe.xrange(self.queue.keys.stream(row.stream), min=row.entry, max=row.entry)
            # A row may name no place at all.
            pages: list[Any] = await pipe.execute(raise_on_error=False)
        return [_about(page) for page in pages]


def _about(page: Any) -> tuple[str, float]:
    try:
        spec = JobSpec.from_json(page[0][1][b"job"])
    except (IndexError, KeyError, TypeError, InvalidInputError):
        return _UNREADABLE
    return spec.task, size_of(spec)
