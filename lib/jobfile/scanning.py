"""One reading of a file of rows: each merged with the defaults, normalised, and its problems placed on their lines.

`RowScan` yields jobs and problems as they come; names that stand twice are found by a second reading, at the end.
Called by `reading`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from lib.jobfile.defaults import Defaults
from lib.jobfile.duplicates import NameTally
from lib.jobfile.findings import MAX_SHOWN, Findings, TooManyError
from lib.jobfile.rows import RowReader
from lib.jobfile.voice_alone import voice_problems
from lib.jobqueue.catalogue import BUILT_IN, Catalogue
from lib.jobqueue.fields import cut_to_milliseconds
from lib.jobqueue.normalise import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_JOB_BYTES,
    names_of,
    normalize_job_spec,
)
from lib.jobqueue.problems import InvalidJobError
from lib.jobqueue.records import DEFAULT_BACKLOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from lib.errors import Problem
    from lib.jobfile.rows import Row
    from lib.jobfile.source import JobFile
    from lib.jobqueue.problems import FieldProblem
    from lib.jobqueue.spec import JobSpec

# One of them being refused makes "missing" untrue for the others.
_EITHER: Final = (frozenset({"voice", "speaker"}), frozenset({"request_id", "output_name"}))


@dataclass(frozen=True, slots=True)
class EntryNames:
    """What stands before `meta.id` in the names of the jobs of a task manifest; `plan` wins over the file's own."""

    backlog: str = DEFAULT_BACKLOG
    plan: str | None = None


@dataclass(frozen=True, slots=True)
class FileRules:
    """What a file may hold; the fields are settings of the same names, sizes in bytes.

    `now` is the `queued_at` of every job that names none. `inspect` looks at each valid job and may find more; of one
    that is not valid it sees the voice, in a plain job named after the row.
    `notice` is told what a person may want to know of a sound file. `by_hand` are speech fields that win over those of
    a beatsheet; with them, an empty mapping included, the file must be one. `voiceless` lets beats pass that name
    neither voice nor speaker: for whoever needs names alone. `reword` may say better what is wrong with the value
    that a problem is about. `names` are for task manifests; with `manifest` the file must be one.
    """

    catalogue: Catalogue = BUILT_IN
    max_file_bytes: int = 67_108_864
    max_job_bytes: int = DEFAULT_MAX_JOB_BYTES
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    callback_hosts: frozenset[str] = frozenset()
    now: datetime = field(default_factory=lambda: cut_to_milliseconds(datetime.now(UTC)))
    inspect: Callable[[JobSpec], Sequence[FieldProblem]] | None = None
    notice: Callable[[str], object] | None = None
    by_hand: Mapping[str, Any] | None = None
    voiceless: bool = False
    reword: Callable[[FieldProblem, object], FieldProblem] | None = None
    names: EntryNames = EntryNames()
    manifest: bool = False


@dataclass(frozen=True, slots=True)
class FileJob:
    """A valid job and where it stands: `index` among the rows from 0, `line` from 1.

    Without `content_known` the job got flags by hand that are not known here: only the names of `spec` hold.
    """

    index: int
    line: int
    spec: JobSpec
    content_known: bool = True


class RowScan:
    """One reading of one file."""

    def __init__(self, file: JobFile, rules: FileRules) -> None:
        self._file = file
        self._rules = rules
        self._findings = Findings(file.name)
        self._request_ids = NameTally()
        self._output_names = NameTally()

    def run(self) -> Iterator[FileJob | Problem]:
        """Every valid job and every problem, in one reading."""
        try:
            with self._file.opened() as stream:
                reader = RowReader(stream, self._findings, self._rules.max_job_bytes)
                defaults: Defaults | None = None
                for row in reader.rows():
                    if defaults is None:
                        defaults = Defaults(reader.defaults, self._rules.catalogue, self._findings)
                    job = self._job(row, defaults)
                    if job is not None:
                        yield job
                    if len(self._findings):
                        yield from self._findings.fresh()
                if defaults is None:
                    Defaults(reader.defaults, self._rules.catalogue, self._findings)
            yield from self._findings.fresh()
            self._find_duplicates()
        except TooManyError:
            pass
        yield from self._findings.fresh()

    def _job(self, row: Row, defaults: Defaults) -> FileJob | None:
        values = defaults.under(row.values)
        request_id, output_name = names_of(values)
        if request_id is not None:
            self._request_ids.add(request_id)
        if output_name is not None:
            self._output_names.add(output_name)
        rules = self._rules
        if row.oversized:
            return None
        try:
            spec = normalize_job_spec(
                values,
                catalogue=rules.catalogue,
                max_attempts=rules.max_attempts,
                now=rules.now,
                max_job_bytes=rules.max_job_bytes,
                callback_hosts=rules.callback_hosts,
            )
        except InvalidJobError as exc:
            for problem in exc.problems:
                value = values.get(problem.field)
                self._place(problem if rules.reword is None else rules.reword(problem, value), row, defaults)
            for problem in voice_problems(values, exc.problems, rules.inspect, row.where):
                self._place(problem, row, defaults)
            return None
        found = rules.inspect(spec) if rules.inspect is not None else ()
        for problem in found:
            self._place(problem, row, defaults)
        if found:
            return None
        return None if row.damaged else FileJob(row.index, row.line, spec)

    def _place(self, problem: FieldProblem, row: Row, defaults: Defaults) -> None:
        """Note a row's problem at the line of its field: in the row, in the defaults, or else the row's own."""
        name = problem.field.partition(".")[0].partition("[")[0]
        if row.oversized or name in row.broken or any(name in pair and pair & row.broken for pair in _EITHER):
            return
        inherited_key = defaults.gave_key(problem.field, row.field_lines)
        line = None if inherited_key else _nearest_line(problem.field, row.field_lines)
        if line is None and (inherited_key or name not in row.values):
            line = _nearest_line(problem.field, defaults.lines)
            if line is not None and problem.beside in row.values:
                # The default is right by itself; the row is where somebody must choose.
                where, said = f"{row.where}.{problem.beside}", f"{problem.field} of defaults (line {line})"
                beside = row.field_lines.get(problem.beside, row.line)
                self._findings.add(beside, where, f"{said} {problem.message}")
                return
            if line is not None:
                # The same words for every row that inherits it, so it is kept once.
                self._findings.add(line, f"defaults.{problem.field}", problem.message)
                return
        where = f"{row.where}.{problem.field}" if problem.field else row.where
        other = problem.beside if problem.beside not in row.values else ""
        inherited = f"; {other} comes from defaults (line {defaults.lines[other]})" if other in defaults.lines else ""
        self._findings.add(line or row.line, where, problem.message + inherited)

    def _find_duplicates(self) -> None:
        """Name both rows of every name that stands twice."""
        ids, names = self._request_ids.suspects(), self._output_names.suspects()
        if not ids and not names:
            return
        seen: dict[tuple[str, str], Row] = {}
        paired: set[tuple[int, int]] = set()
        with self._file.opened() as stream:
            reader = RowReader(stream, Findings(self._file.name), self._rules.max_job_bytes)
            defaults: Defaults | None = None
            for row in reader.rows():
                if defaults is None:
                    defaults = Defaults(reader.defaults, self._rules.catalogue, Findings(self._file.name))
                request_id, output_name = names_of(defaults.under(row.values))
                if output_name is not None and hash(output_name) in names:
                    self._pair("output_name", output_name, row, seen, paired)
                if request_id is not None and hash(request_id) in ids:
                    self._pair("request_id", request_id, row, seen, paired)

    def _pair(
        self, name: str, value: str, row: Row, seen: dict[tuple[str, str], Row], paired: set[tuple[int, int]]
    ) -> None:
        first = seen.setdefault((name, value), row)
        if first is row:
            return
        if (first.index, row.index) in paired:
            return  # said for output_name; one line is enough to find both
        paired.add((first.index, row.index))
        line = row.field_lines.get(name) or row.field_lines.get("output_name", row.line)
        first_line = first.field_lines.get(name) or first.field_lines.get("output_name", first.line)
        shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}…"
        self._findings.add(
            line,
            f"{row.where}.{name}",
            f"{shown!r} stands in {first.where} on line {first_line} too; give each job its own",
        )


def _nearest_line(path: str, lines: dict[str, int]) -> int | None:
    """The line of `path`, or of the nearest thing above it."""
    while path:
        line = lines.get(path)
        if line is not None:
            return line
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return None
