"""The jobs of a plan, kept in a spool: a plan of a million jobs takes no more memory than one of a thousand.

Called by `planning`, which adds them as their files are read, and by whoever shows the plan, as often as needed.
"""

from __future__ import annotations

import weakref
from collections import Counter
from dataclasses import dataclass, fields
from operator import attrgetter
from tempfile import SpooledTemporaryFile, gettempdir
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import from_json, to_json

from lib.errors import JobRunnerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

# Up to here a spool is memory, beyond it a nameless file.
_MEMORY_BYTES: Final = 1 << 20
_LINES_A_WRITE: Final = 256


# Not frozen, which would make the making of one, once a row, three times as dear.
@dataclass(slots=True)
class PlannedJob:
    """One job of the plan; `source` is `voice:x`, `speaker:x` or the task.

    `index` is its place among the rows of its file, as in `jobs[i]` of a problem. `warnings` say what it will not
    get from the engine that would speak it, and what else will not go as asked.
    """

    index: int
    file: str
    source: str
    request_id: str
    output_name: str | None
    characters: int
    content_hash: str
    backends: Sequence[str]
    est_seconds: float
    est_usd: float
    warnings: Sequence[str]


_NAMES: Final = tuple(field.name for field in fields(PlannedJob))
_values_of: Final[Callable[[PlannedJob], tuple[Any, ...]]] = attrgetter(*_NAMES)


@dataclass(slots=True)
class Sums:
    """What some jobs are together."""

    jobs: int = 0
    characters: int = 0
    est_seconds: float = 0.0
    est_usd: float = 0.0

    def add(self, job: PlannedJob) -> None:
        """One job more."""
        self.jobs += 1
        self.characters += job.characters
        self.est_seconds += job.est_seconds
        self.est_usd += job.est_usd

    @classmethod
    def of_all(cls, parts: Iterable[Sums]) -> Sums:
        """All of `parts` together."""
        total = cls()
        for part in parts:
            total.jobs += part.jobs
            total.characters += part.characters
            total.est_seconds += part.est_seconds
            total.est_usd += part.est_usd
        return total

    def document(self) -> dict[str, Any]:
        """As JSON has them, rounded."""
        return {
            "jobs": self.jobs,
            "characters": self.characters,
            "est_seconds": round(self.est_seconds, 1),
            "est_usd": round(self.est_usd, 4),
        }


class PlannedJobs:
    """Jobs in the order in which they were added. Adding and reading block on disk; no two readings at a time.

    `sums` are those of each source, `warnings` say how many jobs each is about.
    """

    def __init__(self) -> None:
        # Closed with the last reference to this.
        self._spool = SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115
        self._lines: list[bytes] = []
        weakref.finalize(self, self._spool.close)
        self._left_out: set[tuple[str, str]] = set()
        self._begin()

    def _begin(self) -> None:
        self._count = 0
        self.sums: dict[str, Sums] = {}
        self.warnings: Counter[str] = Counter()

    def _take(self, job: PlannedJob) -> None:
        self._count += 1
        source = self.sums.get(job.source)
        if source is None:
            source = self.sums[job.source] = Sums()
        source.add(job)
        if job.warnings:
            self.warnings.update(job.warnings)

    def add(self, job: PlannedJob) -> None:
        """One more; none after the first reading."""
        self._lines.append(to_json(_values_of(job)))
        if len(self._lines) >= _LINES_A_WRITE:
            self._write()
        self._take(job)

    def _write(self) -> None:
        try:
            # The spool's own buffer takes twice the time for each line.
            self._spool.writelines((b"\n".join(self._lines), b"\n"))
            self._spool.flush()
        except OSError as exc:
            raise JobRunnerError(
                f"cannot keep a long plan in {gettempdir()}: {exc.strerror}",
                hint="free some space there, or set TMPDIR to a directory that has it",
            ) from exc
        self._lines.clear()

    def leave_out(self, places: set[tuple[str, str]]) -> None:
        """Forget the jobs of these rows, each a file and `jobs[i]`."""
        self._left_out |= places
        if self._left_out:
            self._begin()
            for job in self:
                self._take(job)

    def documents(self) -> Iterator[dict[str, Any]]:
        """Each as JSON has it."""
        return (dict(zip(_NAMES, _values_of(job), strict=True)) for job in self)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[PlannedJob]:
        if self._lines:
            self._write()
        self._spool.seek(0)
        for line in self._spool:
            job = PlannedJob(*from_json(line))
            if (job.file, f"jobs[{job.index}]") not in self._left_out:
                yield job
