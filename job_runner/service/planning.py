"""What jobs would cost, before any is queued: nothing is sent, no model is loaded, no server is needed.

Estimates are built in until measurements exist, and the document says so. A job is priced for the first backend that it
may run on; `quoting` prices the whole for each way to run it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.jobfiles import NO_JOBS, scanned
from job_runner.service.known import Known
from job_runner.service.planned import PlannedJob, PlannedJobs, Sums
from job_runner.service.quoting import Quoting
from job_runner.service.several_files import FirstPlaces
from job_runner.service.voicing import Voicing
from lib.errors import Problem
from lib.routing.estimates import Estimates
from lib.wiring import catalogue, cloud_price, voices

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from job_runner.service.jobfiles import Notice
    from job_runner.service.several_files import Earlier
    from lib.jobfile import FileJob
    from lib.jobqueue import JobSpec
    from lib.settings import Settings

_PAST: Final = "the deadline has passed already"
_NOT_BEFORE: Final = "the deadline is not after run_after, so it cannot be met"
DEADLINE_NOTES: Final = frozenset({_PAST, _NOT_BEFORE})
"""Of jobs that the quote names too."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The valid jobs of files, and every mistake in them; `repeated` stood in an earlier file with the same content."""

    jobs: PlannedJobs
    problems: tuple[Problem, ...]
    quoting: Quoting
    repeated: int = 0

    @property
    def warnings(self) -> dict[str, int]:
        """Each warning with the number of jobs that it is about."""
        return dict(self.jobs.warnings)

    @property
    def totals(self) -> dict[str, Any]:
        """Sums over the jobs."""
        return Sums.of_all(self.jobs.sums.values()).document()

    @property
    def by_source(self) -> dict[str, dict[str, Any]]:
        """The same sums for each voice, speaker or task, by name."""
        return {name: self.jobs.sums[name].document() for name in sorted(self.jobs.sums)}

    def document(self, jobs: object = None, quote: object = None) -> dict[str, Any]:
        """The JSON of `plan`; `jobs` stands for the jobs where they are to be written one by one."""
        return {
            "job_count": len(self.jobs),
            "estimates": self.quoting.estimates.source,
            "jobs": list(self.jobs.documents()) if jobs is None else jobs,
            "totals": self.totals,
            "voices": self.by_source,
            "quote": quote,
            "errors": [asdict(problem) for problem in self.problems],
        }


def plan(
    files: Sequence[Path],
    settings: Settings,
    *,
    any_voice: bool = False,
    notice: Notice | None = None,
    known: Known | None = None,
) -> Plan:
    """The plan of `files`; with `any_voice` a voice that is unknown here is no problem. `known` is what the queue said.

    Raises:
        InvalidInputError: a file is missing, unreadable or too large.

    """
    known = known or Known()
    voicing = Voicing(voices(settings))
    quoting = Quoting(settings, catalogue(settings), known, Estimates(known.measured, cloud_price(settings)))
    jobs = PlannedJobs()
    problems: list[Problem] = []
    inspect = None if any_voice else voicing.problems
    repeated, odd = 0, _Odd(quoting)
    # One file alone has no earlier one, and then no name needs to be remembered.
    places = _EarlierFiles() if len(files) > 1 else None
    for file in files:
        source = str(file)
        found: FileJob | Problem | None = None
        for _, found in scanned([file], settings, inspect=inspect, notice=notice):
            if isinstance(found, Problem):
                problems.append(found)
                continue
            earlier = None if places is None else places.before(file, found)
            if earlier is None:
                jobs.add(_planned(source, found, voicing, odd, quoting))
            elif earlier.same:
                repeated += 1
            else:
                problems.append(earlier.problem(file, found))
        if found is None:
            problems.append(Problem(source, 1, "", NO_JOBS))
    problems.sort(key=lambda problem: (problem.source, problem.line))
    # A name that is taken is found at the end of a file, when its job was counted already.
    jobs.leave_out({(problem.source, problem.where.partition(".")[0]) for problem in problems})
    return Plan(jobs, tuple(problems), quoting, repeated)


class _EarlierFiles:
    """Where names stood in earlier files."""

    def __init__(self) -> None:
        self._places = FirstPlaces()
        self._here: set[str] = set()
        self._file: Path | None = None

    def before(self, file: Path, found: FileJob) -> Earlier | None:
        """The earlier place of this job's name. One that stands twice in one file is found where that is read."""
        if file != self._file:
            self._here.clear()
            self._file = file
        name = found.spec.request_id
        if name in self._here:
            return None
        self._here.add(name)
        return self._places.before(file, found)


def _planned(file: str, found: FileJob, voicing: Voicing, odd: _Odd, quoting: Quoting) -> PlannedJob:
    spec = found.spec
    warnings = voicing.notes(spec)
    backends, seconds, usd = quoting.count(spec)
    if spec.backend is not None or spec.deadline is not None or spec.conflict_key is not None:
        warnings = (*warnings, *odd.notes(spec))
    return PlannedJob(
        index=found.index,
        file=file,
        source=source_of(spec),
        request_id=spec.request_id,
        output_name=spec.output_name,
        characters=len(spec.text or ""),
        content_hash=spec.content_hash,
        backends=backends,
        est_seconds=round(seconds, 2),
        est_usd=round(usd, 8),
        warnings=warnings,
    )


class _Odd:
    """What is allowed and hardly meant; told without the values, so that the same is counted and not repeated."""

    def __init__(self, quoting: Quoting) -> None:
        self._quoting = quoting
        self._now = datetime.now(UTC)
        # Hashes, since a key may be long and a file may have one in each of a million rows.
        self._keys: set[int] = set()

    def notes(self, spec: JobSpec) -> Iterator[str]:
        """A sentence for each such thing in this job, given those that came before it."""
        if spec.backend is not None and not self._quoting.offered(spec, spec.backend):
            yield f"backend {spec.backend}: nobody alive or set up here runs {spec.task} there, so the job would wait"
        if spec.deadline is not None and spec.deadline <= self._now:
            yield _PAST
        elif spec.deadline is not None and spec.run_after is not None and spec.deadline <= spec.run_after:
            yield _NOT_BEFORE
        if spec.conflict_key is not None:
            key = hash(spec.conflict_key)
            if key in self._keys and spec.on_conflict == "refuse":
                yield (
                    "an earlier job of the same plan has the same conflict_key, so enqueue answers key_busy; "
                    "with on_conflict: queue it waits its turn"
                )
            self._keys.add(key)


def source_of(spec: JobSpec) -> str:
    """`voice:x`, `speaker:x`, or the name of a task that does not speak."""
    if spec.voice is not None:
        return f"voice:{spec.voice}"
    return f"speaker:{spec.speaker}" if spec.speaker is not None else spec.task
