"""Whether the work of a manifest was really done: every entry done, with the content it has now and a sound receipt.

A receipt is sound when its record is whole and the check of its kind of task (`lib.jobqueue.receipts`) finds nothing.
Reads only; a manifest says no backlog, so without one the jobs are looked for in all of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.outputs_here import lacks_a_file
from lib.errors import InvalidInputError
from lib.jobqueue import identity_of
from lib.redisqueue import reader
from lib.redisqueue.backlogs import backlog_names
from lib.redisqueue.keys import DEFAULT_BACKLOG

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from job_runner.service.outputs_here import OutputsHere
    from lib.jobfile import FileJob
    from lib.jobqueue import Catalogue, JobSpec
    from lib.redisqueue.queue import Queue

PENDING: Final = frozenset({"queued", "delayed", "leased"})
"""States that end by themselves, if somebody works."""

SAMPLE: Final = 50
"""So many entries tell in which backlog a manifest is; more would only cost."""

_POLL_SECONDS: Final = 1.0
"""Between two looks at what is not done yet: two commands for 500 entries."""


@dataclass(frozen=True, slots=True)
class Checked:
    """One entry; `problem` says why it is not sound, None when it is. `line` is that of the manifest."""

    line: int
    request_id: str
    task: str
    status: reader.FoundStatus
    problem: str | None
    error_type: str = ""

    @property
    def sound(self) -> bool:
        """Whether the work was done."""
        return self.problem is None


@dataclass(frozen=True, slots=True)
class Verified:
    """Every entry of a manifest, in order; `backlog` is where they were found, or should be."""

    backlog: str
    rows: tuple[Checked, ...]

    @property
    def unsound(self) -> tuple[Checked, ...]:
        """Those that are not done, or not well."""
        return tuple(row for row in self.rows if not row.sound)

    @property
    def pending(self) -> list[str]:
        """The names of those that may still become sound by themselves."""
        return [row.request_id for row in self.rows if row.status in PENDING]

    @property
    def summary(self) -> dict[str, int]:
        """How many of each status, in the order of their first entry."""
        return dict(Counter(row.status for row in self.rows))

    def document(self) -> dict[str, Any]:
        """The JSON of `verify`."""
        sound = len(self.rows) - len(self.unsound)
        return {
            "backlog": self.backlog,
            "job_count": len(self.rows),
            "sound": sound,
            "summary": self.summary,
            "rows": [{**asdict(row), "sound": row.sound} for row in self.rows],
        }


async def verify(
    queue: Queue, jobs: Iterator[FileJob], catalogue: Catalogue, *, backlog: str | None, here: OutputsHere
) -> Verified:
    """Look at every entry of `jobs`, which were read under the name of `backlog`, or of the default one if it is None.

    Raises:
        InvalidInputError: no backlog is named, and the manifest was sent to several.

    """
    read_as = backlog or DEFAULT_BACKLOG
    sample = list(islice(jobs, SAMPLE))
    found_in = backlog or await backlog_of(queue, [tail_of(job.spec, read_as) for job in sample])
    rows: list[Checked] = []
    rest = chain(sample, jobs)
    while page := list(islice(rest, reader.PAGE)):
        names = [f"{found_in}:{tail_of(job.spec, read_as)}" for job in page]
        found = await reader.results(queue, names)
        await asyncio.to_thread(here.mark, [each.record for each in found])
        rows += [_checked(job, each, catalogue) for job, each in zip(page, found, strict=True)]
    return Verified(found_in, tuple(rows))


async def wait_until_ended(queue: Queue, request_ids: Iterable[str]) -> None:
    """Return when none of these jobs waits or runs any more."""
    pending = list(request_ids)
    while pending:
        await asyncio.sleep(_POLL_SECONDS)
        pending = [each.request_id for each in await reader.results(queue, pending) if each.status in PENDING]


async def backlog_of(queue: Queue, tails: Sequence[str]) -> str:
    """The backlog in which jobs of these names are known; the default one when they are known nowhere.

    Raises:
        InvalidInputError: there are several.

    """
    known: list[str] = []
    for name in await backlog_names(queue):
        found = await reader.results(queue, [f"{name}:{tail}" for tail in tails])
        if any(each.status != "not_found" for each in found):
            known.append(name)
    if len(known) > 1:
        raise InvalidInputError(
            f"this manifest was dispatched to {len(known)} backlogs: {', '.join(known)}",
            hint=f"say which one is meant: --target backlog:{known[0]}",
        )
    return known[0] if known else DEFAULT_BACKLOG


def tail_of(spec: JobSpec, backlog: str) -> str:
    """What of its name does not depend on its backlog."""
    return spec.request_id.removeprefix(f"{backlog}:")


def _checked(job: FileJob, found: reader.Found, catalogue: Catalogue) -> Checked:
    record = found.record or {}
    error_type = str(record.get("error_type", "")) if found.status == "failed" else ""
    problem = _problem(job.spec, found, catalogue)
    return Checked(job.line, found.request_id, job.spec.task, found.status, problem, error_type)


def _problem(spec: JobSpec, found: reader.Found, catalogue: Catalogue) -> str | None:
    record = found.record or {}
    if found.status == "not_found":
        return "not in the queue, and no record of it"
    if found.status in PENDING:
        return "not done yet"
    if found.status != "done":
        return str(record.get("error") or "no reason is recorded")
    if "unreadable" in record:
        return "its record cannot be read"
    return _damage(spec, found.request_id, record) or _receipt_problem(spec, record, catalogue)


def _damage(spec: JobSpec, request_id: str, record: dict[str, Any]) -> str | None:
    """What of a done record is not that of this job."""
    if record.get("status") != "done" or record.get("request_id") != request_id:
        return "its record is that of another job, or was changed"
    if record.get("task") != spec.task:
        return f"task {record.get('task')} was done, not {spec.task}"
    if record.get("identity") != identity_of(spec) or record.get("content_hash") != spec.content_hash:
        return "done with other content than the manifest has"
    if not all(isinstance(record.get(name), str) for name in ("started_at", "completed_at", "backend", "run_id")):
        return "its record does not say when and where it was done"
    return None


def _receipt_problem(spec: JobSpec, record: dict[str, Any], catalogue: Catalogue) -> str | None:
    kind = catalogue.get(spec.task)
    if kind is not None and kind.receipt is not None and (said := kind.receipt(spec, record)):
        return said
    return "what it made is not on this machine any more" if lacks_a_file(record) else None
