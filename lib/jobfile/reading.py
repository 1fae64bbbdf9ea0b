"""A file of jobs from first to last: rows of a job file, beats of a beatsheet or entries of a task manifest.

They are told apart by what stands in them.

`scan_jobs` yields jobs and problems as they come, in one reading. `check_file` and `read_jobs` are all or nothing:
they hand on a job only when the whole file is valid. Between the two, `read_jobs` keeps the accepted jobs in a
spool, so what is queued is exactly what was checked, even when the file changes meanwhile. Memory does not
grow with the file (eight bytes a row and name). All of it blocks; called by `job_runner.service`.
"""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Final

from lib.errors import InvalidJobsError, Problem
from lib.jobfile.beatsheet import BeatScan
from lib.jobfile.findings import MAX_SHOWN
from lib.jobfile.kinds import kind_of, no_jobs, no_manifest
from lib.jobfile.scanning import FileJob, FileRules, RowScan
from lib.jobfile.source import JobFile
from lib.jobfile.task_manifest import ManifestScan, is_task_manifest
from lib.jobqueue.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Up to here a spool is memory, beyond it a nameless file.
_SPOOL_MEMORY_BYTES: Final = 8 << 20


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
    file = JobFile(path, rules.max_file_bytes)
    if rules.manifest or (rules.by_hand is None and is_task_manifest(file, rules.max_job_bytes)):
        other = no_manifest(file, rules.max_job_bytes)
        yield from ManifestScan(file, rules).run() if other is None else [Problem(file.name, 1, "", other)]
        return
    kind = kind_of(file)
    other = no_jobs(file, kind, "job file" if rules.by_hand is None else "beatsheet")
    if other is not None:
        yield Problem(file.name, 1, "", other)
    elif rules.by_hand is not None or kind == "beatsheet":
        yield from BeatScan(file, rules).run()
    else:
        yield from RowScan(file, rules).run()


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
                spool.write(b"%d %d %d %b\n" % (found.index, found.line, found.content_known, found.spec.to_json()))
        _report(str(path), jobs, problems).raise_if_bad()
    except BaseException:
        spool.close()
        raise
    return _spooled(spool)


def _spooled(spool: SpooledTemporaryFile[bytes]) -> Iterator[FileJob]:
    with spool:
        spool.seek(0)
        for entry in spool:
            index, line, known, encoded = entry.split(b" ", 3)
            yield FileJob(int(index), int(line), JobSpec.from_json(encoded), content_known=known == b"1")


def _report(source: str, jobs: int, problems: list[Problem]) -> FileReport:
    ordered = sorted(problems, key=lambda problem: problem.line)
    return FileReport(source, jobs, tuple(ordered[:MAX_SHOWN]), max(0, len(ordered) - MAX_SHOWN))
