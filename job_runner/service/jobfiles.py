"""Job files named on a command line, as one list of jobs: valid all together, or nothing is handed on.

A request_id may stand in two files of one command (the second is then a duplicate or a conflict like any other),
never twice in one file. Reading blocks; a file's jobs lie in a spool, not in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from lib.errors import InvalidJobsError, Problem
from lib.jobfile import FileRules, read_jobs, scan_jobs
from lib.wiring import catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lib.jobfile import FileJob
    from lib.jobqueue import JobSpec
    from lib.jobqueue.problems import FieldProblem
    from lib.settings import Settings


Inspect = Callable[["JobSpec"], "Sequence[FieldProblem]"]
"""Looks at each valid job of a file and may find more in it."""


Notice = Callable[[str], object]
"""Is told what a person may want to know of a sound file."""


def rules_of(
    settings: Settings,
    inspect: Inspect | None = None,
    *,
    notice: Notice | None = None,
    by_hand: Mapping[str, Any] | None = None,
) -> FileRules:
    """What these settings allow a file to hold; `by_hand` are speech fields over those of a beatsheet."""
    return FileRules(
        catalogue=catalogue(settings),
        max_file_bytes=settings.jobs_max_file_bytes,
        max_job_bytes=settings.jobs_max_job_bytes,
        max_attempts=settings.watcher_max_attempts,
        callback_hosts=frozenset(settings.callback_allowed_hosts if settings.callback_secret else ()),
        inspect=inspect,
        notice=notice,
        by_hand=by_hand,
    )


@contextmanager
def jobs_of(
    files: Sequence[Path],
    settings: Settings,
    *,
    inspect: Inspect | None = None,
    notice: Notice | None = None,
    by_hand: Mapping[str, Any] | None = None,
) -> Iterator[Iterator[JobSpec]]:
    """The jobs of all files in order; every file is checked before the block begins.

    A file is a job file or a beatsheet, told apart by what stands in it; with `by_hand` all are beatsheets.

    Raises:
        InvalidJobsError: with the problems of all files.
        InvalidInputError: a file is missing, unreadable or too large.

    """
    rules = rules_of(settings, inspect, notice=notice, by_hand=by_hand)
    problems: list[Problem] = []
    with ExitStack() as spools:
        accepted: list[Iterator[JobSpec]] = []
        for file in files:
            try:
                accepted.append(_specs(spools.enter_context(_begun(read_jobs(file, rules)))))
            except InvalidJobsError as exc:
                problems += exc.problems
        if problems:
            raise InvalidJobsError(tuple(problems))
        yield chain.from_iterable(accepted)


@contextmanager
def _begun(jobs: Iterator[FileJob]) -> Iterator[Iterator[FileJob]]:
    """The same jobs, whose spool is closed at the end of the block, read to its end or not."""
    # Only a generator that has begun runs its clean-up when it is closed.
    first = next(jobs, None)
    try:
        yield iter(()) if first is None else chain((first,), jobs)
    finally:
        if isinstance(jobs, Generator):
            jobs.close()


def _specs(jobs: Iterator[FileJob]) -> Iterator[JobSpec]:
    return (job.spec for job in jobs)


def scanned(
    files: Sequence[Path], settings: Settings, *, inspect: Inspect | None = None, notice: Notice | None = None
) -> Iterator[tuple[Path, FileJob | Problem]]:
    """Every valid job and every problem with its file, in one reading: for a plan, which shows both.

    Raises:
        InvalidInputError: a file is missing, unreadable or too large.

    """
    rules = rules_of(settings, inspect, notice=notice)
    for file in files:
        for found in scan_jobs(file, rules):
            yield file, found
