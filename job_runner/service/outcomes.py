"""What became of jobs: one, those of files, the newest. Reads only."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from job_runner.service.eta import in_line
from job_runner.service.outputs_here import lacks_a_file, path_of
from lib.redisqueue import reader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from job_runner.service.eta import Eta, InLine
    from job_runner.service.outputs_here import OutputsHere
    from lib.jobfile import FileJob
    from lib.redisqueue.queue import Queue
    from lib.settings import Settings

HistoryStatus = Literal["done", "failed", "cancelled", "all"]
ReportStatus = Literal["done", "failed", "cancelled", "queued", "delayed", "leased", "not_found", "all"]

OTHER_CONTENT: Final = "other content"
"""Behind a status in tables: what is known is of another text, voice or output_name than the file has now."""

FILE_MISSING: Final = "file missing"
"""The same of a record whose files are not on this machine any more, or have another size."""


async def result(queue: Queue, request_id: str, here: OutputsHere | None = None) -> reader.Found:
    """What is known about one id; status `not_found` when nothing is. `here` marks the outputs that are missing."""
    (found,) = await reader.results(queue, [request_id])
    if here is not None:
        await asyncio.to_thread(here.mark, [found.record])
    return found


async def result_in_line(
    queue: Queue, request_id: str, settings: Settings, here: OutputsHere
) -> tuple[reader.Found, InLine | None]:
    """The same, and of a job that waits where it stands in line."""
    found = await result(queue, request_id, here)
    return found, (await in_line(queue, settings, [found])).get(request_id)


def status_text(found: reader.Found) -> str:
    """The status as people read it: `done (file missing)` when what it made is not there."""
    return f"{found.status} ({FILE_MISSING})" if lacks_a_file(found.record) else found.status


def result_document(found: reader.Found, line: InLine | None = None) -> dict[str, Any]:
    """The JSON of `result`; a running job also says how far it is, a waiting one where it stands in line."""
    document: dict[str, Any] = {"request_id": found.request_id, "status": found.status, "record": found.record}
    if found.progress is not None:
        document["progress"] = found.progress
    return document if line is None else document | line.document()


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One job of a file and what is known about it.

    `current` says whether what is known is of the content that the file has now; None when nothing tells.
    """

    request_id: str
    output_name: str | None
    found: reader.Found
    current: bool | None = None

    @property
    def status_text(self) -> str:
        """The status as people read it: `done (other content)` when the file says something else by now."""
        return f"{self.found.status} ({OTHER_CONTENT})" if self.current is False else status_text(self.found)


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the jobs of files, in their order; `content_known` unless a beat there names no voice.

    `lines` say where those stand that wait.
    """

    rows: tuple[ReportRow, ...]
    content_known: bool = True
    lines: Mapping[str, InLine] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, int]:
        """How many of each status, in the order of their first row."""
        return dict(Counter(row.found.status for row in self.rows))

    @property
    def summary_text(self) -> dict[str, int]:
        """The same as people read it: what is of other content is counted apart."""
        return dict(Counter(row.status_text for row in self.rows))

    @property
    def outdated(self) -> int:
        """How many are known with other content than the file has now."""
        return sum(row.current is False for row in self.rows)

    @property
    def missing(self) -> int:
        """How many lack a file of theirs on this machine."""
        return sum(lacks_a_file(row.found.record) for row in self.rows)

    @property
    def cost_usd(self) -> float:
        """What those that have ended cost, in dollars."""
        costs = ((row.found.record or {}).get("cost") or {} for row in self.rows)
        return sum(float(cost.get("usd") or 0) for cost in costs)

    @property
    def eta(self) -> Eta | None:
        """When the last of those that wait will be done; None when nothing tells."""
        known = [line.eta for line in self.lines.values() if line.eta is not None]
        return max(known, key=lambda eta: eta.p50, default=None)

    @property
    def failed(self) -> bool:
        """Whether a job has failed."""
        return any(row.found.status == "failed" for row in self.rows)

    def shown(self, only: ReportStatus = "all") -> Iterator[ReportRow]:
        """The rows of this status, in their order."""
        return (row for row in self.rows if only in {"all", row.found.status})

    def document(self, only: ReportStatus = "all") -> dict[str, Any]:
        """The JSON of `report`, with the rows of one status or all; the counts are always those of all."""
        rows = [
            {
                "request_id": row.request_id,
                "output_name": row.output_name,
                "status": row.found.status,
                "current": row.current,
                "record": row.found.record,
                **(self.lines[row.request_id].document() if row.request_id in self.lines else {}),
            }
            for row in self.shown(only)
        ]
        counts = {"summary": self.summary, "outdated": self.outdated, "missing": self.missing}
        sums = {"cost_usd": round(self.cost_usd, 6), "eta": None if self.eta is None else self.eta.document()}
        return {"job_count": len(self.rows), **counts, **sums, "rows": rows}


async def report(
    queue: Queue, jobs: Iterable[FileJob], here: OutputsHere | None = None, settings: Settings | None = None
) -> Report:
    """What is known about each of `jobs`; `here` marks the outputs that are missing. `settings` tell an ETA."""
    from lib.jobqueue import identity_of  # noqa: PLC0415 - `result` and `history` must not pay for the models

    rows: list[ReportRow] = []
    whole = True
    rest = iter(jobs)
    # Names only: a big file's texts need not be held while their records are.
    while chunk := [
        (job.spec.request_id, job.spec.output_name, identity_of(job.spec) if job.content_known else None)
        for job in islice(rest, reader.PAGE)
    ]:
        found = await reader.results(queue, [request_id for request_id, _, _ in chunk])
        if here is not None:
            await asyncio.to_thread(here.mark, [each.record for each in found])
        rows += [
            ReportRow(request_id, output_name, known, _is_current(known, identity))
            for (request_id, output_name, identity), known in zip(chunk, found, strict=True)
        ]
        whole = whole and all(identity is not None for _, _, identity in chunk)
    lines = {} if settings is None else await in_line(queue, settings, [row.found for row in rows])
    return Report(tuple(rows), whole, lines)


def _is_current(found: reader.Found, identity: str | None) -> bool | None:
    if identity is None:
        return None
    known = found.row.identity if found.row is not None else (found.record or {}).get("identity")
    # A record of bytes that could not be read says `lost`.
    return known == identity if known not in {None, "", "lost"} else None


async def history(queue: Queue, *, status: HistoryStatus, limit: int) -> dict[str, Any]:
    """The JSON of `history`: the newest finished jobs, newest first."""
    entries = await reader.history(queue, status, limit)
    records = [{"kind": entry.status, "request_id": entry.request_id, "record": entry.record} for entry in entries]
    return {"count": len(records), "records": records}


@dataclass(frozen=True, slots=True)
class Speech:
    """The audio of a done job: `uri` of the file to listen to, its length in seconds when known, and how many more.

    `published` is where the record says that a person opens it; None in records that do not say.
    """

    uri: str
    name: str
    seconds: float | None
    others: int
    published: str | None = None


def speech_of(record: Mapping[str, Any]) -> Speech | None:
    """The take to listen to, best or first, out of a done record; None when it has no audio."""
    outputs = record.get("outputs") or {}
    takes = outputs.get("takes") or []
    best = outputs.get("best")
    chosen = best or (takes[0] if takes else None)
    if not chosen:
        return None
    result_part = record.get("result") or {}
    number = result_part.get("selected_take", 1) if best else 1
    lengths = [take.get("seconds") for take in result_part.get("takes") or []]
    known = isinstance(number, int) and 1 <= number <= len(lengths)
    seconds = lengths[number - 1] if known else None
    return Speech(chosen["uri"], chosen["name"], seconds, len(takes) - (best is None), chosen.get("published"))


def published_path(root: Path, record: Mapping[str, Any], speech: Speech) -> str:
    """Where a person opens it: the published file when it is there, else the stored one that the record names.

    Where neither can be seen from this machine, the published one.
    """
    stored = Path(path_of(speech.uri))
    if speech.published is not None:
        path = Path(path_of(speech.published))
        if not speech.published.startswith("file://") or path.is_file() or not stored.is_file():
            return path_of(speech.published)
    output_name = record.get("output_name")
    if isinstance(output_name, str):
        path = root / output_name / speech.name
        if path.is_file():
            return str(path)
    return path_of(speech.uri)


def opened_path(entry: Mapping[str, Any]) -> str:
    """Where a person opens one recorded output: as published, or as stored while that alone is on this machine.

    Published names may be gone or never have come to be: somebody removed them, or another job's file is in the way.
    """
    stored, published = str(entry["uri"]), entry.get("published")
    if not published:
        return path_of(stored)
    gone = published.startswith("file://") and not Path(path_of(published)).is_file()
    return path_of(stored) if gone and Path(path_of(stored)).is_file() else path_of(published)
