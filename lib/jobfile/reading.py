"""A job file from first to last row: read, merged, normalised, checked for duplicates.

`scan_jobs` yields jobs and problems as they come, in one reading. `check_file` and `read_jobs` are all or nothing:
they hand on a job only when the whole file is valid. Between the two, `read_jobs` keeps the accepted jobs in a
spool, so what is queued is exactly what was checked, even when the file changes meanwhile. Memory does not
grow with the file (eight bytes a row and name). All of it blocks; called by `job_runner.service`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Final

from lib.errors import InvalidJobsError, Problem
from lib.jobfile.defaults import Defaults
from lib.jobfile.duplicates import NameTally
from lib.jobfile.findings import MAX_SHOWN, Findings, TooManyError
from lib.jobfile.rows import RowReader
from lib.jobfile.source import JobFile
from lib.jobqueue.catalogue import BUILT_IN, Catalogue
from lib.jobqueue.normalise import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_MAX_JOB_BYTES,
    names_of,
    normalize_job_spec,
)
from lib.jobqueue.problems import InvalidJobError
from lib.jobqueue.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from lib.jobfile.rows import Row
    from lib.jobqueue.problems import FieldProblem

# Up to here a spool is memory, beyond it a nameless file.
_SPOOL_MEMORY_BYTES: Final = 8 << 20
# One of them being refused makes "missing" untrue for the others.
_EITHER: Final = (frozenset({"voice", "speaker"}), frozenset({"request_id", "output_name"}))


@dataclass(frozen=True, slots=True)
class FileRules:
    """What a file may hold; the fields are settings of the same names, sizes in bytes.

    `now` is the `queued_at` of every job that names none. `inspect` looks at each valid job and may find more.
    """

    catalogue: Catalogue = BUILT_IN
    max_file_bytes: int = 67_108_864
    max_job_bytes: int = DEFAULT_MAX_JOB_BYTES
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    callback_hosts: frozenset[str] = frozenset()
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    inspect: Callable[[JobSpec], Sequence[FieldProblem]] | None = None


@dataclass(frozen=True, slots=True)
class FileJob:
    """A valid job and where it stands: `index` among the rows from 0, `line` from 1."""

    index: int
    line: int
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class FileReport:
    """What a file holds. `problems` are in the order of lines, a hundred at most; `more` were left out."""

    source: str
    jobs: int
    problems: tuple[Problem, ...]
    more: int = 0

    def raise_if_bad(self) -> None:
        """Raise `InvalidJobsError` unless there are no problems."""
        if not self.problems:
            return
        problems = self.problems
        if self.more:
            last = problems[-1]
            problems = (*problems, Problem(last.source, last.line, "", f"and {self.more} more problems"))
        raise InvalidJobsError(problems)


def scan_jobs(path: Path, rules: FileRules) -> Iterator[FileJob | Problem]:
    """Every valid job and every problem, in one reading. Duplicates of names come last.

    Raises:
        InvalidInputError: the file is missing, unreadable, a directory or too large.
    """
    return _Scan(JobFile(path, rules.max_file_bytes), rules).run()


def check_file(path: Path, rules: FileRules) -> FileReport:
    """Count the jobs and gather the problems, keeping no job.

    Raises:
        InvalidInputError: the file is missing, unreadable, a directory or too large.
    """
    jobs = 0
    problems: list[Problem] = []
    for found in scan_jobs(path, rules):
        if isinstance(found, Problem):
            problems.append(found)
        else:
            jobs += 1
    return _report(str(path), jobs, problems)


def read_jobs(path: Path, rules: FileRules) -> Iterator[FileJob]:
    """The jobs of a valid file. The whole file is checked before this returns.

    Raises:
        InvalidJobsError: with every problem; no job is handed on.
        InvalidInputError: the file is missing, unreadable, a directory or too large.
    """
    problems: list[Problem] = []
    jobs = 0
    # Closed by the generator that reads it back, or here when there is nothing to read back.
    spool = SpooledTemporaryFile(max_size=_SPOOL_MEMORY_BYTES)  # noqa: SIM115
    try:
        for found in scan_jobs(path, rules):
            if isinstance(found, Problem):
                problems.append(found)
            elif not problems:
                jobs += 1
                spool.write(b"%d %d %b\n" % (found.index, found.line, found.spec.to_json()))
        _report(str(path), jobs, problems).raise_if_bad()
    except BaseException:
        spool.close()
        raise
    return _spooled(spool)


def _spooled(spool: SpooledTemporaryFile[bytes]) -> Iterator[FileJob]:
    with spool:
        spool.seek(0)
        for entry in spool:
            index, line, encoded = entry.split(b" ", 2)
            yield FileJob(int(index), int(line), JobSpec.from_json(encoded))


def _report(source: str, jobs: int, problems: list[Problem]) -> FileReport:
    ordered = sorted(problems, key=lambda problem: problem.line)
    return FileReport(source, jobs, tuple(ordered[:MAX_SHOWN]), max(0, len(ordered) - MAX_SHOWN))


class _Scan:
    """One reading of one file."""

    def __init__(self, file: JobFile, rules: FileRules) -> None:
        self._file = file
        self._rules = rules
        self._findings = Findings(file.name)
        self._request_ids = NameTally()
        self._output_names = NameTally()

    def run(self) -> Iterator[FileJob | Problem]:
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
        line = _nearest_line(problem.field, row.field_lines)
        if line is None and name not in row.values:
            line = _nearest_line(problem.field, defaults.lines)
            if line is not None:
                # The same words for every row that inherits it, so it is kept once.
                self._findings.add(line, f"defaults.{problem.field}", problem.message)
                return
        where = f"{row.where}.{problem.field}" if problem.field else row.where
        self._findings.add(line or row.line, where, problem.message)

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
