"""Speech without a queue: job files compiled into a folder, and such a folder executed, on this machine alone.

`run` is the two together, in a folder of the state directory that belongs to the files' paths: an edited file runs in
the folder of its last run, so only what changed is made. Which execution was the last is remembered there too, for
`logs`. Everything here blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from job_runner.service.jobfiles import jobs_of
from job_runner.service.voicing import Voicing
from lib.errors import InvalidInputError, InvalidJobsError, NotFoundError, Problem, RefusedError
from lib.jobqueue.problems import FieldProblem, shown
from lib.manifest import EXECUTION, MANIFEST, compile_jobs, execute
from lib.manifest.compiling import problems_of
from lib.manifest.events import Events
from lib.manifest.folder import read_plain, write_whole
from lib.manifest.following import Following
from lib.manifest.places import place_of
from lib.manifest.speech import Speech
from lib.redaction import this_process
from lib.settings import process_environment
from lib.voice_synth.clip_folder import ClipFolder
from lib.wiring import clips, voices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from job_runner.service.jobfiles import Notice
    from lib.jobqueue import JobSpec
    from lib.manifest import CheckedManifest, Compiled, ExecuteOptions, Execution, JobProgress
    from lib.settings import Settings

RUNS: Final = "runs"
_LATEST: Final = "latest-execution"
_CLIPS: Final = ".clips"
_MAX_PATH_BYTES: Final = 1 << 16
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._-]+")


class _Names:
    """Which job has which name and place, over all files of one compile."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], tuple[Path, JobSpec]] = {}

    def problems(self, file: Path, spec: JobSpec) -> Iterator[FieldProblem]:
        """What this job shares with an earlier one; what the reading of a file says itself is left to it."""
        for field, value in (("output_name", place_of(spec)), ("request_id", spec.request_id)):
            where, first = self._first.setdefault((field, value), (file, spec))
            same_file = where == file and getattr(first, field) == getattr(spec, field)
            if first is not spec and not same_file:
                other = "" if where == file else f" of {where}"
                yield FieldProblem(
                    field, f"{shown(value)} is the job {shown(first.request_id)}{other} too; give each job its own"
                )
                return


def compile_files(
    files: Sequence[Path],
    settings: Settings,
    out: Path,
    *,
    run_id: str | None = None,
    any_voice: bool = False,
    notice: Notice | None = None,
    noted: Callable[[Sequence[str]], object] | None = None,
) -> Compiled:
    """Compile the jobs of all files into `out`; nothing is written unless all are sound.

    `noted` hears for each sound job what it will not get exactly as asked.

    Raises:
        InvalidJobsError: with every problem of all files.
        InvalidInputError: a file or `out` is not as it must be.

    """
    voicing, names = Voicing(voices(settings)), _Names()
    problems: list[Problem] = []
    with ExitStack() as opened:
        accepted: list[Iterator[JobSpec]] = []
        for file in files:

            def inspect(spec: JobSpec, file: Path = file) -> tuple[FieldProblem, ...]:
                said = (*problems_of(spec), *names.problems(file, spec))
                said = said if any_voice else (*said, *voicing.problems(spec))
                if noted is not None and not said:
                    noted(voicing.notes(spec))
                return said

            try:
                accepted.append(opened.enter_context(jobs_of([file], settings, inspect=inspect, notice=notice)))
            except InvalidJobsError as exc:
                problems += exc.problems
        if problems:
            error = InvalidJobsError(tuple(problems), undone="compiled")
            if voicing.refused and not any_voice:
                error.hint = f"{error.hint}; `compile --any-voice` takes voices that only another machine has"
            raise error
        return compile_jobs(chain.from_iterable(accepted), out, run_id=run_id)


def folder_of(files: Sequence[Path], settings: Settings) -> Path:
    """Where `run` works when nobody says: one folder for these files, by their paths and not by their content."""
    paths = "\0".join(str(file.resolve()) for file in files)
    digest = hashlib.sha256(paths.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    stem = _STRANGE.sub("_", files[0].stem).strip("._") or "jobs"
    return settings.jobs_state_dir / RUNS / f"{stem[:60]}-{digest}"


def execute_remembered(
    manifest: CheckedManifest, settings: Settings, options: ExecuteOptions, progress: JobProgress
) -> Execution:
    """Execute, and remember that this was the last time, unless it was a dry run.

    Raises:
        RefusedError: another program is at work in the folder, or its document cannot be written.

    """
    started = None if options.dry_run else lambda path: _remember(path, settings)
    speech = Speech(voices(settings, check_files=True), clips=clips(settings))
    return execute(manifest, options, progress, speech, started=started)


def follow(root: Path, settings: Settings) -> int:
    """Execute the folders below `root` that stdin names, and say each event on stdout; how many jobs failed.

    What engines print goes to stderr, so that stdout has events alone.

    Raises:
        InvalidInputError: `root` is no directory.

    """
    if not root.is_dir():
        raise InvalidInputError(f"{root} is no directory", hint="with --follow, name the directory of the folders")
    descriptor = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    events = Events(descriptor, this_process(process_environment))
    # They go with the directory, which whoever fills it removes: on somebody's own machine nothing is left.
    beside = ClipFolder(root / _CLIPS, settings.sentence_cache_bytes)
    try:
        return Following(root, Speech(voices(settings, check_files=True), clips=beside), events).run(sys.stdin.buffer)
    finally:
        sys.stdout.flush()
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def _remember(path: Path, settings: Settings) -> None:
    # Only `logs` without an argument needs it: no reason not to speak.
    with contextlib.suppress(OSError, RefusedError):
        settings.jobs_state_dir.mkdir(parents=True, exist_ok=True)
        write_whole(settings.jobs_state_dir / _LATEST, f"{path}\n".encode(), durable=False)


def execution_file(given: Path | None, settings: Settings) -> Path:
    """The execution document that is meant: a file, the one of a folder or manifest, or the latest of this machine.

    Raises:
        NotFoundError: nothing was executed yet.

    """
    if given is not None:
        if given.is_dir():
            return given / EXECUTION
        return given.with_name(EXECUTION) if given.name == MANIFEST else given
    try:
        remembered = read_plain(settings.jobs_state_dir / _LATEST, _MAX_PATH_BYTES)
        return Path(remembered.decode().removesuffix("\n"))
    except (OSError, UnicodeDecodeError):
        raise NotFoundError("nothing was executed here yet", hint="`job-runner run FILE` does it") from None
