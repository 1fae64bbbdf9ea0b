"""A manifest from its first job to its last, in this process: nothing is started from it.

One bad job never stops the others, unless the caller wishes so. After each job the execution document is on the disk.
What an earlier run of the same manifest, or of one before it in the same folder, has made and is whole is not made
again. Blocks while it speaks; called by `job_runner.service.offline`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from lib import failpoints
from lib.errors import JobRunnerError
from lib.manifest.documents import DRY_EXECUTION, EXECUTION
from lib.manifest.earlier import heard
from lib.manifest.execution import ALREADY_MADE, DRY_RUN, FAIL_FAST, INTERRUPTED, ExecutedJob, ExecutionLog
from lib.manifest.folder import held
from lib.manifest.interruption import Interruption
from lib.redaction import this_process
from lib.settings import process_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from lib.manifest.documents import ManifestJob
    from lib.manifest.reading import CheckedManifest
    from lib.manifest.speech import Speech
    from lib.voice_synth.cli.speak import SpeakCall
    from lib.voice_synth.takes import Step

_UNEXPECTED_CODE: Final = 1
_INTERRUPTED_CODE: Final = 130


@dataclass(frozen=True, slots=True)
class ExecuteOptions:
    """How to execute. `again` makes also what is there already."""

    dry_run: bool = False
    fail_fast: bool = False
    again: bool = False


class JobProgress(Protocol):
    """Who is told how far it is; cheap, and raises nothing."""

    def begun(self, request_id: str) -> None:
        """A job is at work."""

    def stepped(self, percent: float, message: str) -> None:
        """How far that job is."""

    def ended(self, job: ExecutedJob) -> None:
        """A job has ended or was skipped."""


@dataclass(frozen=True, slots=True)
class Execution:
    """What became of all. `path` is where the document stands."""

    path: Path
    jobs: tuple[ExecutedJob, ...]
    success: bool
    aborted: bool
    document: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """0, 1 when a job failed, 130 when it was interrupted."""
        if self.aborted:
            return _INTERRUPTED_CODE
        return 0 if self.success else 1


def execute(
    manifest: CheckedManifest,
    options: ExecuteOptions,
    progress: JobProgress,
    speech: Speech,
    *,
    started: Callable[[Path], object] | None = None,
) -> Execution:
    """Run every job; Ctrl-C and SIGTERM end it with the document in order. `started` is told the document's path.

    Raises:
        RefusedError: another program is at work in the folder, or the document cannot be written.

    """
    path = manifest.folder / (DRY_EXECUTION if options.dry_run else EXECUTION)
    log = ExecutionLog(
        path,
        run_id=manifest.run_id,
        job_count=len(manifest.jobs),
        dry_run=options.dry_run,
        now=lambda: datetime.now(UTC),
    )
    with held(manifest.folder), Interruption() as interruption:
        run = _Run(manifest, options, progress, speech, log, interruption)
        try:
            with interruption.shielded():
                log.write()
                if started is not None:
                    started(path)
            run.all()
            reason = FAIL_FAST
        except KeyboardInterrupt:
            interruption.work_is_over()
            reason = INTERRUPTED
        aborted = reason == INTERRUPTED
        run.skip_the_rest(reason)
        log.complete(aborted=aborted)
        return Execution(path, tuple(log.jobs), log.success, aborted, log.document())


class _Run:
    """One pass over the jobs."""

    def __init__(
        self,
        manifest: CheckedManifest,
        options: ExecuteOptions,
        progress: JobProgress,
        speech: Speech,
        log: ExecutionLog,
        interruption: Interruption,
    ) -> None:
        self._manifest = manifest
        self._options = options
        self._progress = progress
        self._speech = speech
        self._log = log
        self._interruption = interruption
        # An engine's error may quote anything that this process knows, and execution.json is passed around.
        self._redact = this_process(process_environment)

    def all(self) -> None:
        """Every job in order, up to the first failure if so wished. From the end of the last on nothing interrupts."""
        left = len(self._manifest.jobs)
        for job, call in self._manifest.jobs:
            self._progress.begun(job.request_id)
            done = self._one(job, call)
            left = 0 if done.status == "failed" and self._options.fail_fast else left - 1
            with self._interruption.shielded():
                self._log.add(done)
                if not left:
                    self._interruption.work_is_over()
                # One that was made before cost nothing: a write for each would be all that a second run does.
                if done.status != "skipped":
                    self._log.write()
            failpoints.reach("manifest.job")
            self._progress.ended(done)
            if not left:
                break
        self._interruption.work_is_over()

    def skip_the_rest(self, reason: str) -> None:
        """Note those that were not reached, the one at work among them."""
        for job, _ in self._manifest.jobs[len(self._log.jobs) :]:
            self._log.add(ExecutedJob(job.request_id, job.output_name, "skipped", None, 0.0, reason=reason))

    def _one(self, job: ManifestJob, call: SpeakCall) -> ExecutedJob:
        began = time.monotonic()

        def ended(status: Any, code: int | None, **more: Any) -> ExecutedJob:
            return ExecutedJob(job.request_id, job.output_name, status, code, time.monotonic() - began, **more)

        try:
            entry = self._speech.entry_of(self._manifest.folder, job, call)
            if self._options.again:
                self._speech.model_of(entry)  # what stands there is not looked at; that an engine can speak it is
            elif (found := self._speech.made(entry)) is not None:
                return ended("skipped", None, reason=ALREADY_MADE, result=heard(entry.directory, found))
            if self._options.dry_run:
                return ended("skipped", None, reason=DRY_RUN)
            with self._interruption.shielded():
                self._log.begin(job.request_id)
            result = self._speech.speak(entry, self._watch, anew=self._options.again)
            return ended("ok", 0, result=heard(entry.directory, result))
        except JobRunnerError as exc:
            hint = self._redact(exc.hint) if exc.hint else None
            return ended("failed", exc.exit_code, error=self._redact(exc.message), hint=hint)
        except Exception as exc:  # noqa: BLE001  a fault of one job is that job's, whatever it is
            return ended("failed", _UNEXPECTED_CODE, error=self._redact(f"{type(exc).__name__}: {exc}"))

    def _watch(self, steps: Iterator[Step]) -> None:
        for step in steps:
            self._progress.stepped(step.percent, step.message)
