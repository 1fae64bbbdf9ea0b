"""The rows of a job file: one at a time, in any of its three root forms.

`{defaults?, jobs: [...]}`, a list of jobs, or one job. An empty file has no rows. It knows the
shape of the file, but not what a job's fields may hold; `defaults` are handed on as they stand.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from yaml.events import (
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from lib.jobfile.scalars import MAX_DIGITS, resolve
from lib.jobfile.syntax import mistakes_told
from lib.jobfile.yaml_events import BROKEN, ValueReader, joined, line_of
from lib.jobqueue.normalise import FIELD_NAMES
from lib.jobqueue.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.jobfile.findings import Findings
    from lib.jobfile.source import BoundedStream

_ROOT_KEYS: Final = frozenset({"defaults", "jobs"})
_FIELDS: Final = frozenset(FIELD_NAMES)
# A root mapping is level 1, the list of jobs 2, a job 3.
_FIELD_DEPTH: Final = 4


@dataclass(slots=True)
class Row:
    """One job as it stands in the file.

    `field_lines` has the line of every field and, under its path, of everything below it. `broken` are fields
    that were refused and reported already. A row is `damaged` when any part of it was refused, and `oversized`
    when it was too large to be kept whole: then `values` is not what was written.
    """

    index: int
    line: int
    values: dict[str, Any] = field(default_factory=dict)
    field_lines: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    damaged: bool = False
    oversized: bool = False

    @property
    def where(self) -> str:
        """Its place for people."""
        return f"jobs[{self.index}]"


class RowReader:
    """Reads the rows of one stream. After `rows` has reached them, `defaults` holds the file's defaults."""

    def __init__(self, stream: BoundedStream, findings: Findings, max_job_bytes: int) -> None:
        self.defaults: Row | None = None
        self._stream = stream
        self._findings = findings
        self._max_job_bytes = max_job_bytes
        self._values = ValueReader(stream, findings, max_job_bytes)

    def rows(self) -> Iterator[Row]:
        """Every row that could be read; what could not is in the findings."""
        with mistakes_told(self._stream, self._findings):
            self._values.next()  # the start of the stream
            if type(self._values.next()) is not DocumentStartEvent:
                return
            yield from self._root(self._values.next())
            self._values.next()  # the end of the document
            event = self._values.next()
            if type(event) is not StreamEndEvent:
                self._findings.add(line_of(event), "", "a second document starts here; write one document a file")

    def _root(self, event: Event) -> Iterator[Row]:
        refused = self._values.refuse(event, "")
        if type(event) is MappingStartEvent:
            yield from self._root_mapping(event)
        elif type(event) is SequenceStartEvent:
            yield from self._list()
        elif not (type(event) is ScalarEvent and _is_null(event)) and not refused:
            self._findings.add(
                line_of(event), "", "the file must hold jobs: a list of jobs, or a mapping with jobs: in it"
            )

    def _root_mapping(self, start: Event) -> Iterator[Row]:
        """A mapping with `jobs` in it, or one job. Which of the two is known only at `jobs` or the end."""
        single = Row(0, line_of(start))
        taken = single.field_lines
        self._values.begin()
        while type(event := self._values.next()) is not MappingEndEvent:
            if isinstance(event, ScalarEvent) and event.value in _ROOT_KEYS and event.value not in taken:
                self._values.key(event, "", taken)
                value = self._values.next()
                if event.value == "jobs":
                    yield from self._jobs(value)
                else:
                    self._read_defaults(event, value, late="jobs" in taken)
                self._values.begin()
            else:
                self._unusual_field(single, event, "" if taken.keys() & _ROOT_KEYS else "jobs[0]")
        if taken.keys() & _ROOT_KEYS:
            self._stray_fields(single, line_of(start))
        elif taken and not self._misspelt_root(single):
            self._check_size(single, single.where)
            yield single

    def _misspelt_root(self, single: Row) -> bool:
        """Whether this is no single job but a file of jobs whose `jobs` or `defaults` is misspelt; reported then."""
        found = False
        for key, value in single.values.items():
            if key not in _FIELDS and isinstance(value, list | dict) and (mend := nearest(key, _ROOT_KEYS)):
                self._findings.add(single.field_lines[key], joined("", key), f"is no known key of a file{mend}")
                found = True
        return found

    def _stray_fields(self, single: Row, line: int) -> None:
        lines = single.field_lines
        stray = [key for key in (*single.values, *single.broken) if key not in _ROOT_KEYS]
        if "jobs" not in lines and not stray:
            self._findings.add(line, "", "defaults stand here without jobs; write jobs: with a list below it")
        for key in stray:
            mend = nearest(key, _ROOT_KEYS) or "; move it under defaults, or into a job"
            self._findings.add(lines.get(key, line), joined("", key), f"does not belong beside jobs{mend}")

    def _jobs(self, event: Event) -> Iterator[Row]:
        refused = self._values.refuse(event, "jobs")
        if type(event) is SequenceStartEvent:
            yield from self._list()
            return
        self._values.skip(event)
        if not refused and not (type(event) is ScalarEvent and _is_null(event)):
            self._findings.add(line_of(event), "jobs", "must be a list; start each job with a dash")

    def _read_defaults(self, key: Event, event: Event, *, late: bool) -> None:
        if late:
            self._values.skip(event)
            self._findings.add(
                line_of(key),
                "defaults",
                "stands after jobs, which were checked without it; move it above jobs",
            )
            return
        if isinstance(event, MappingStartEvent):
            self.defaults = self._row(event, 0, "defaults")
            return
        refused = self._values.refuse(event, "defaults")
        self._values.skip(event)
        if not refused and not (type(event) is ScalarEvent and _is_null(event)):
            self._findings.add(line_of(event), "defaults", "must be a mapping (field: value)")

    def _list(self) -> Iterator[Row]:
        index = 0
        reader = self._values
        while type(event := reader.next()) is not SequenceEndEvent:
            if type(event) is MappingStartEvent:
                yield self._row(event, index)
            else:
                self._no_job(event, f"jobs[{index}]")
            index += 1

    def _no_job(self, event: Event, where: str) -> None:
        refused = self._values.refuse(event, where)
        self._values.skip(event)
        if refused:
            return
        empty = type(event) is ScalarEvent and _is_null(event)
        said = "is empty; remove the dash or write a job" if empty else "must be a mapping (field: value)"
        self._findings.add(line_of(event), where, said)

    def _row(self, start: MappingStartEvent, index: int, name: str = "") -> Row:
        """The mapping that starts with `start`; the hot loop of a large file."""
        row = Row(index, line_of(start))
        reader, lines, values = self._values, row.field_lines, row.values
        following = reader.next
        reader.begin()
        where = name or row.where
        row.damaged = reader.refuse(start, where)
        while type(event := following()) is not MappingEndEvent:
            # A known field with a short value, which is almost every one, is taken without a call of ours.
            if type(event) is ScalarEvent and event.tag is None and event.anchor is None:
                key: str = event.value
                if key in _FIELDS and key not in lines:
                    lines[key] = line_of(event)
                    event = following()
                    if type(event) is ScalarEvent and event.tag is None and event.anchor is None:
                        text: str = event.value
                        if len(text) <= MAX_DIGITS:
                            values[key] = text if event.style else resolve(text)
                            continue
                    self._field(row, key, event, where)
                    continue
            self._unusual_field(row, event, where)
        self._check_size(row, where)
        return row

    def _unusual_field(self, row: Row, event: Event, where: str) -> None:
        key = self._values.key(event, where, row.field_lines)
        value = self._values.next()
        if key is not None:
            self._field(row, key, value, where)
            return
        row.damaged = True
        if isinstance(event, ScalarEvent):
            row.broken.add(event.value)
        self._values.skip(value)

    def _field(self, row: Row, key: str, event: Event, where: str) -> None:
        value = self._values.value(event, joined(where, key), _FIELD_DEPTH, row.field_lines, key)
        if value is BROKEN:
            row.damaged = True
            row.broken.add(key)
        elif not self._values.exhausted:
            row.values[key] = value

    def _check_size(self, row: Row, where: str) -> None:
        if self._values.exhausted:
            row.oversized = row.damaged = True
            self._findings.add(
                row.line,
                where,
                f"is larger than {self._max_job_bytes} bytes, which JOBS_MAX_JOB_BYTES allows; make it smaller",
            )


def _is_null(event: ScalarEvent) -> bool:
    return not event.style and event.tag is None and len(event.value) < len("null~") and resolve(event.value) is None
