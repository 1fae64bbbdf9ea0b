"""Files named on a command line, as one list of jobs: valid all together, or nothing is handed on.

A request_id may stand in two files of one command with the same content (the second is then a duplicate like any
other), never with other content, and never twice in one file. Reading blocks; a file's jobs lie in a spool, not in
memory.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.several_files import FirstPlaces
from lib.errors import InvalidJobsError, Problem
from lib.jobfile import EntryNames, FileRules, read_jobs, scan_jobs
from lib.jobfile.duplicates import ContentTally
from lib.jobqueue import identity_of
from lib.jobqueue.problems import FieldProblem
from lib.wiring import catalogue, voices

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from lib.jobfile import FileJob
    from lib.jobqueue import JobSpec
    from lib.settings import Settings
    from lib.voice_synth.voices import VoiceRegistry

NO_JOBS: Final = (
    "nothing in it: there is no job; write jobs as a list below `jobs:`, each with a dash, a name and a text"
)
"""An empty file is zero jobs to whoever reads it, but nobody queues one on purpose: it was cut off, or is another."""

NO_ENTRIES: Final = "nothing in it: there is no entry; plan it again, or write one task a line"

_CLASHES_SHOWN: Final = 100
"""As many as of one file; the rest would not help anybody mend them."""


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
    voiceless: bool = False,
    names: EntryNames = EntryNames(),  # noqa: B008 - frozen
    manifest: bool = False,
) -> FileRules:
    """What these settings allow a file to hold; the others are as in `FileRules`."""
    return FileRules(
        catalogue=catalogue(settings),
        max_file_bytes=settings.jobs_max_file_bytes,
        max_job_bytes=settings.jobs_max_job_bytes,
        max_attempts=settings.watcher_max_attempts,
        callback_hosts=frozenset(settings.callback_allowed_hosts if settings.callback_secret else ()),
        inspect=inspect,
        notice=notice,
        by_hand=by_hand,
        voiceless=voiceless,
        reword=_reword(settings),
        names=names,
        manifest=manifest,
    )


def _reword(settings: Settings) -> Callable[[FieldProblem, object], FieldProblem]:
    @cache
    def known() -> VoiceRegistry:
        return voices(settings)

    def reword(problem: FieldProblem, value: object) -> FieldProblem:
        if problem.field != "voice" or problem.beside or not isinstance(value, str):
            return problem
        # Only a name that is mistaken needs the names that there are.
        from job_runner.service.voicing import of_no_voice_name  # noqa: PLC0415

        return FieldProblem(problem.field, of_no_voice_name(value, known()) or problem.message)

    return reword


@contextmanager
def jobs_of(
    files: Sequence[Path],
    settings: Settings,
    *,
    inspect: Inspect | None = None,
    notice: Notice | None = None,
    by_hand: Mapping[str, Any] | None = None,
    empty_too: bool = True,
    names: EntryNames = EntryNames(),  # noqa: B008 - frozen
    manifest: bool = False,
) -> Iterator[Iterator[JobSpec]]:
    """The jobs of all files in order; every file is checked before the block begins.

    A file is a job file, a beatsheet or a task manifest, told apart by what stands in it; with `by_hand` all are
    beatsheets, with `manifest` task manifests, whose jobs are named under `names`. Without `empty_too` a file that
    holds no job is a problem.

    Raises:
        InvalidJobsError: with the problems of all files.
        InvalidInputError: a file is missing, unreadable or too large.

    """
    tally = ContentTally()
    if len(files) > 1:
        inspect = _counting(tally, inspect)
    rules = rules_of(settings, inspect, notice=notice, by_hand=by_hand, names=names, manifest=manifest)
    with _accepted(files, rules, empty_too=empty_too) as accepted:
        suspects = tally.suspects()
        if suspects and (clashes := _clashes(accepted, suspects)):
            raise InvalidJobsError(tuple(clashes))
        yield (job.spec for _, jobs in accepted for job in jobs)


@contextmanager
def names_in(
    files: Sequence[Path],
    settings: Settings,
    names: EntryNames = EntryNames(),  # noqa: B008 - frozen
) -> Iterator[Iterator[FileJob]]:
    """The same for whoever only asks after jobs by their names: beats that were given their voice by hand are welcome.

    Raises:
        InvalidJobsError: with the problems of all files.
        InvalidInputError: a file is missing, unreadable or too large.

    """
    with _accepted(files, rules_of(settings, voiceless=True, names=names), undone=None) as accepted:
        yield chain.from_iterable(jobs for _, jobs in accepted)


@contextmanager
def entries_of(file: Path, settings: Settings, names: EntryNames) -> Iterator[Iterator[FileJob]]:
    """The entries of a task manifest with their lines, for whoever looks at what became of them.

    Raises:
        InvalidJobsError: with the problems of the file.
        InvalidInputError: it is missing, unreadable or too large.

    """
    rules = rules_of(settings, names=names, manifest=True)
    with _accepted([file], rules, undone=None, empty_too=False) as accepted:
        yield accepted[0][1]


@contextmanager
def _accepted(
    files: Sequence[Path], rules: FileRules, *, undone: str | None = "queued", empty_too: bool = True
) -> Iterator[list[tuple[Path, Iterator[FileJob]]]]:
    problems: list[Problem] = []
    with ExitStack() as spools:
        accepted: list[tuple[Path, Iterator[FileJob]]] = []
        for file in files:
            try:
                jobs = spools.enter_context(_begun(read_jobs(file, rules)))
                if jobs is None and not empty_too:
                    problems.append(Problem(str(file), 1, "", NO_ENTRIES if rules.manifest else NO_JOBS))
                accepted.append((file, jobs or iter(())))
            except InvalidJobsError as exc:
                problems += exc.problems
        if problems:
            raise InvalidJobsError(tuple(problems), undone=undone)
        yield accepted


def _counting(tally: ContentTally, inspect: Inspect | None) -> Inspect:
    def count(spec: JobSpec) -> Sequence[FieldProblem]:
        tally.add(spec.request_id, identity_of(spec))
        return () if inspect is None else inspect(spec)

    return count


def _clashes(accepted: list[tuple[Path, Iterator[FileJob]]], suspects: frozenset[int]) -> list[Problem]:
    """Every job whose name an earlier file has with other content; reads the spools to their end."""
    places, found = FirstPlaces(), list[Problem]()
    for file, jobs in accepted:
        for job in jobs:
            earlier = places.before(file, job) if hash(job.spec.request_id) in suspects else None
            if earlier is not None and not earlier.same:
                found.append(earlier.problem(file, job))
    more = len(found) - _CLASHES_SHOWN
    if more > 0:
        last = found[_CLASHES_SHOWN - 1]
        found[_CLASHES_SHOWN:] = [Problem(last.source, last.line, "", f"and {more} more problems")]
    return found


@contextmanager
def _begun(jobs: Iterator[FileJob]) -> Iterator[Iterator[FileJob] | None]:
    """The same jobs, None for none of them; their spool is closed at the end of the block, read to its end or not."""
    # Only a generator that has begun runs its clean-up when it is closed.
    first = next(jobs, None)
    try:
        yield None if first is None else chain((first,), jobs)
    finally:
        if isinstance(jobs, Generator):
            jobs.close()


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
