"""A task manifest: JSON lines, one entry a line, each a call of a task by its name, as jobs.

    {task, args: [], kwargs: {}, meta: {id, …}, description?, priority?}

An entry's request_id is `<backlog>:<plan>:<meta.id>`. Its plan is `meta.plan`, which planners write; of an entry
without one it is the name of the file without its ending. `meta` goes back with the record. A large manifest is never
held in memory, and mistakes are placed on their lines and named all at once. Who calls it: `reading`, for files that
are manifests or must be.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from lib.jobfile.duplicates import NameTally
from lib.jobfile.findings import Findings, TooManyError
from lib.jobfile.manifest_entries import TakenEntry, taken_from
from lib.jobfile.manifest_lines import BadLineError, first_line, lines_of, parsed
from lib.jobfile.scanning import FileJob
from lib.jobqueue.normalise import normalize_job_spec
from lib.jobqueue.problems import FieldProblem, InvalidJobError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.errors import Problem
    from lib.jobfile.scanning import FileRules
    from lib.jobfile.source import JobFile
    from lib.jobqueue.spec import JobSpec

_ENDING: Final = ".jsonl"
_ENTRY_ALONE: Final = frozenset({"args", "kwargs", "meta", "id"})
"""Keys that an entry of a manifest has beside its task, and no job of a job file."""


def is_task_manifest(file: JobFile, max_line_bytes: int) -> bool:
    """Whether the file is named as a manifest or its first line is an entry of one; blocks on disk.

    Raises:
        InvalidInputError: the file is missing, unreadable, a directory or too large.

    """
    if file.name.lower().endswith(_ENDING):
        return True
    with file.opened() as stream:
        line = first_line(stream, max_line_bytes)
    if line is None or not line.lstrip().startswith(b"{"):
        return False
    try:
        value = parsed(line)
    except BadLineError:
        return False
    return isinstance(value, dict) and "task" in value and bool(value.keys() & _ENTRY_ALONE)


def plan_of(name: str) -> str:
    """The plan of entries that name none: the file's name without its ending; empty for a pipe."""
    path = PurePath(name)
    return "" if path.parts[:2] == ("/", "dev") else path.stem.replace(":", "-")


class ManifestScan:
    """One reading of one manifest."""

    def __init__(self, file: JobFile, rules: FileRules) -> None:
        self._file = file
        self._rules = rules
        self._findings = Findings(file.name)
        self._plan = plan_of(file.name)
        self._request_ids = NameTally()
        self._output_names = NameTally()

    def run(self) -> Iterator[FileJob | Problem]:
        """Every valid job and every problem; names that stand twice come last."""
        try:
            for index, line, entry in self._entries(self._findings):
                job = self._job(index, line, entry)
                if job is not None:
                    yield job
                if len(self._findings):
                    yield from self._findings.fresh()
            yield from self._findings.fresh()
            self._find_duplicates()
        except TooManyError:
            pass
        yield from self._findings.fresh()

    def _entries(self, findings: Findings) -> Iterator[tuple[int, int, TakenEntry]]:
        """Index, line and content of every line that could be read; what could not is in the findings."""
        with self._file.opened() as stream:
            for index, (number, raw) in enumerate(lines_of(stream, self._rules.max_job_bytes)):
                try:
                    value = parsed(raw)
                except BadLineError as exc:
                    findings.add(number, "", str(exc))
                    if exc.hopeless:
                        return
                else:
                    yield index, number, taken_from(value, self._rules, self._plan)

    def _job(self, index: int, line: int, entry: TakenEntry) -> FileJob | None:
        known = len(self._findings)
        for problem in entry.problems:
            self._findings.add(line, problem.field, problem.message)
        if entry.row is None:
            return None
        if not entry.nameless:
            self._request_ids.add(entry.row["request_id"])
        if isinstance(entry.row.get("output_name"), str):
            self._output_names.add(entry.row["output_name"])
        spec = self._spec(line, entry)
        return FileJob(index, line, spec) if spec is not None and len(self._findings) == known else None

    def _spec(self, line: int, entry: TakenEntry) -> JobSpec | None:
        rules = self._rules
        assert entry.row is not None  # noqa: S101 - the caller has looked
        try:
            spec = normalize_job_spec(
                entry.row,
                catalogue=rules.catalogue,
                max_attempts=rules.max_attempts,
                now=rules.now,
                max_job_bytes=rules.max_job_bytes,
                callback_hosts=rules.callback_hosts,
            )
        except InvalidJobError as exc:
            for problem in exc.problems:
                value = entry.row.get(problem.field)
                self._place(problem if rules.reword is None else rules.reword(problem, value), line, entry)
            return None
        for problem in rules.inspect(spec) if rules.inspect is not None else ():
            self._place(problem, line, entry)
        return spec

    def _place(self, problem: FieldProblem, line: int, entry: TakenEntry) -> None:
        where = entry.place_of(problem.field)
        if where is not None:
            self._findings.add(line, where, problem.message)

    def _find_duplicates(self) -> None:
        """Name both lines of every name that stands twice."""
        ids, names = self._request_ids.suspects(), self._output_names.suspects()
        if not ids and not names:
            return
        first: dict[tuple[str, str], int] = {}
        for _, line, entry in self._entries(Findings(self._file.name)):
            if entry.row is None:
                continue
            request_id, output_name = entry.row["request_id"], entry.row.get("output_name")
            if not entry.nameless and hash(request_id) in ids:
                earlier = first.setdefault(("id", request_id), line)
                if earlier != line:
                    said = shown(entry.entry_id)
                    self._findings.add(
                        line, "meta.id", f"{said} stands on line {earlier} too; give each entry its own id"
                    )
                    continue
            if isinstance(output_name, str) and hash(output_name) in names:
                earlier = first.setdefault(("output", output_name), line)
                if earlier != line:
                    self._findings.add(
                        line,
                        "kwargs.output_name",
                        f"{shown(output_name)} stands on line {earlier} too; give each entry its own",
                    )
