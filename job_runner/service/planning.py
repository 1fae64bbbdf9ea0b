"""What jobs would cost, before any is queued: nothing is sent, no model is loaded, no server is needed.

Estimates are built in until measurements exist, and the document says so. They are for the machine at hand: a job
costs `JOB_SECONDS` of handling, and speech `SPEECH_SECONDS_PER_CHARACTER` of synthesis for each take.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from job_runner.service.jobfiles import scanned
from job_runner.service.several_files import FirstPlaces
from job_runner.service.voicing import Voicing
from lib.errors import Problem
from lib.routing.policy import BACKENDS
from lib.wiring import voices

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from job_runner.service.jobfiles import Notice
    from lib.jobfile import FileJob
    from lib.jobqueue import JobSpec
    from lib.settings import Settings

JOB_SECONDS: Final = 0.2
"""Leasing, storing, checking and committing: what a job takes beside its work."""

SPEECH_SECONDS_PER_CHARACTER: Final = 0.002
"""Some 15 characters are a second of speech, made at 0.03 of real time on one slow core."""

ESTIMATES: Final = "built-in"


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job of the plan; `source` is `voice:x`, `speaker:x` or the task.

    `index` is its place among the rows of its file, as in `jobs[i]` of a problem. `warnings` say what it will not
    get from the engine that would speak it, and what else will not go as asked.
    """

    index: int
    file: str
    source: str
    request_id: str
    output_name: str | None
    characters: int
    content_hash: str
    backends: tuple[str, ...]
    est_seconds: float
    est_usd: float
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The valid jobs of files, and every mistake in them; `repeated` stood in an earlier file with the same content."""

    jobs: tuple[PlannedJob, ...]
    problems: tuple[Problem, ...]
    empty_files: tuple[Path, ...] = ()
    repeated: int = 0

    @property
    def totals(self) -> dict[str, Any]:
        """Sums over the jobs."""
        return _sums(self.jobs)

    @property
    def warnings(self) -> dict[str, int]:
        """Each warning with the number of jobs that it is about."""
        return dict(Counter(warning for job in self.jobs for warning in job.warnings))

    @property
    def by_source(self) -> dict[str, dict[str, Any]]:
        """The same sums for each voice, speaker or task, by name."""
        groups: dict[str, list[PlannedJob]] = {}
        for job in self.jobs:
            groups.setdefault(job.source, []).append(job)
        return {name: _sums(groups[name]) for name in sorted(groups)}

    def document(self) -> dict[str, Any]:
        """The JSON of `plan`."""
        return {
            "job_count": len(self.jobs),
            "estimates": ESTIMATES,
            "jobs": [asdict(job) for job in self.jobs],
            "totals": self.totals,
            "voices": self.by_source,
            "errors": [asdict(problem) for problem in self.problems],
        }


def _sums(jobs: Sequence[PlannedJob]) -> dict[str, Any]:
    return {
        "jobs": len(jobs),
        "characters": sum(job.characters for job in jobs),
        "est_seconds": round(sum(job.est_seconds for job in jobs), 1),
        "est_usd": round(sum(job.est_usd for job in jobs), 4),
    }


def plan(files: Sequence[Path], settings: Settings, *, any_voice: bool = False, notice: Notice | None = None) -> Plan:
    """The plan of `files`; with `any_voice` a voice that is unknown here is no problem.

    Raises:
        InvalidInputError: a file is missing, unreadable or too large.

    """
    voicing = Voicing(voices(settings))
    jobs: list[PlannedJob] = []
    problems: list[Problem] = []
    empty = dict.fromkeys(files)
    inspect = None if any_voice else voicing.problems
    places, repeated, now = FirstPlaces(), 0, datetime.now(UTC)
    for file in files:
        names: set[str] = set()
        for _, found in scanned([file], settings, inspect=inspect, notice=notice):
            empty.pop(file, None)
            if isinstance(found, Problem):
                problems.append(found)
                continue
            # Names that stand twice in one file are found where the file is read.
            twice_here = found.spec.request_id in names
            names.add(found.spec.request_id)
            earlier = None if twice_here else places.before(file, found)
            if earlier is None:
                jobs.append(_planned(file, found, voicing, now))
            elif earlier.same:
                repeated += 1
            else:
                problems.append(earlier.problem(file, found))
    problems.sort(key=lambda problem: (problem.source, problem.line))
    # A name that is taken is found at the end of a file, when its job was counted already.
    wrong = {(problem.source, problem.where.partition(".")[0]) for problem in problems}
    jobs = [job for job in jobs if (job.file, f"jobs[{job.index}]") not in wrong] if wrong else jobs
    return Plan(tuple(jobs), tuple(problems), tuple(empty), repeated)


def _planned(file: Path, found: FileJob, voicing: Voicing, now: datetime) -> PlannedJob:
    spec = found.spec
    return PlannedJob(
        index=found.index,
        file=str(file),
        source=source_of(spec),
        request_id=spec.request_id,
        output_name=spec.output_name,
        characters=len(spec.text or ""),
        content_hash=spec.content_hash,
        backends=(spec.backend,) if spec.backend else BACKENDS,
        est_seconds=estimate_seconds(spec),
        est_usd=0.0,  # the machine at hand costs nothing, and there is no other backend yet
        warnings=(*voicing.notes(spec), *_odd(spec, now)),
    )


def _odd(spec: JobSpec, now: datetime) -> Iterator[str]:
    """What is allowed and hardly meant; without the values, so that the same is counted and not repeated."""
    if spec.backend is not None and spec.backend not in BACKENDS:
        yield f"backend {spec.backend}: there is none yet, so the job would wait; without backend it runs on metal"
    if spec.deadline is not None and spec.deadline <= now:
        yield "the deadline has passed already"
    elif spec.deadline is not None and spec.run_after is not None and spec.deadline <= spec.run_after:
        yield "the deadline is not after run_after, so it cannot be met"


def source_of(spec: JobSpec) -> str:
    """`voice:x`, `speaker:x`, or the name of a task that does not speak."""
    if spec.voice is not None:
        return f"voice:{spec.voice}"
    return f"speaker:{spec.speaker}" if spec.speaker is not None else spec.task


def estimate_seconds(spec: JobSpec) -> float:
    """Seconds that a slot of the machine at hand is busy with this job."""
    asked = spec.payload.get("seconds", 0)
    seconds = float(asked) if isinstance(asked, int | float) else 0.0
    seconds += SPEECH_SECONDS_PER_CHARACTER * len(spec.text or "") * spec.variants
    return round(JOB_SECONDS + seconds, 2)
