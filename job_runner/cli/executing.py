"""What `run`, `execute-manifest` and `logs` share: flags, a bar while it runs, and the table of what was made."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from job_runner.cli.advice import typed
from job_runner.cli.tables import Table, counted, seconds_text, summary_text
from job_runner.service.offline import execute_remembered
from lib.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from lib.command_line.output import Output
    from lib.manifest import CheckedManifest, ExecutedJob, ExecuteOptions
    from lib.settings import Settings

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, make no audio.")]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first job that fails.")]
Again = Annotated[bool, typer.Option("--again", help="Make everything anew, also what is there and whole.")]

_NOT_REACHED = "not reached"
"""Counted in the sum alone: sixty rows of it would hide what was made."""

_WHY_SKIPPED = {
    "already_made": "already made",
    "dry_run": "would be made",
    "fail_fast": _NOT_REACHED,
    "interrupted": _NOT_REACHED,
}


def execute_and_tell(manifest: CheckedManifest, settings: Settings, options: ExecuteOptions, output: Output) -> int:
    """Execute with a bar, print what came of it; the command's exit code."""
    with _Shown(len(manifest.jobs), output) as progress:
        done = execute_remembered(manifest, settings, options, progress)
    if output.as_json:
        output.document({**done.document, "execution_path": str(done.path)})
        return done.exit_code
    show_execution(done.document, manifest.folder, output)
    output.say(f"execution: {done.path}")
    if done.aborted:
        output.say("interrupted; the same command goes on with what is not made yet")
    elif any(job.status == "failed" for job in done.jobs):
        output.say("failed jobs: mend them and run it again; what is made already is not made twice")
    elif any(job.sound for job in done.jobs) and not options.dry_run:
        output.say(f"the audio is in {typed([manifest.folder])}")
    return done.exit_code


def show_execution(document: Mapping[str, Any], folder: Path, output: Output) -> None:
    """The table of an execution document, whose jobs' files stand below `folder`."""
    table = Table(("REQUEST ID", "STATUS", "AUDIO", "TOOK"), ("left", "left", "right", "right"))
    counts: dict[str, int] = {}
    for job in document["jobs"]:
        status = _WHY_SKIPPED.get(str(job.get("reason")), str(job.get("status")))
        counts[status] = counts.get(status, 0) + 1
        if status == _NOT_REACHED:
            continue
        table.row(
            str(job.get("request_id")),
            status,
            seconds_text(job.get("audio_sec")),
            seconds_text(job.get("duration_sec") if job.get("status") != "skipped" else None),
            details=_details(job, folder),
            style={"ok": "done", "already made": "done"}.get(status, status),
        )
    if counts.keys() - {_NOT_REACHED}:
        output.listing(table.lines(output.width, output.paint))
        output.data()
    total = counted(int(document.get("job_count", 0)), "job")
    # It names the job at work, whose id may be anybody's.
    output.data(clean(f"{total}: {summary_text(counts)}{_ending(document)}"))


def _details(job: Mapping[str, Any], folder: Path) -> list[str]:
    if job.get("error"):
        return [str(job["error"])[:300], *([f"hint: {job['hint']}"] if job.get("hint") else [])]
    if "audio" in job:
        return [str(folder / str(job["output_name"]) / str(job["audio"]))]
    return []


def _ending(document: Mapping[str, Any]) -> str:
    took = f", in {seconds_text(document.get('duration_sec'))}"
    if document.get("aborted"):
        return f"{took}, interrupted"
    if document.get("completed_at") is None:
        at = document.get("current")
        return f"; it runs still, or was cut off{f' at {at}' if at else ''}"
    return took


class _Shown:
    """A bar on stderr where that is a terminal, else a line a job; nothing with --json or --quiet."""

    def __init__(self, total: int, output: Output) -> None:
        self._output = output
        self._total = total
        self._done = 0
        silent = output.as_json or output.quiet or not total
        self._bar = _bar(output) if not silent and sys.stderr.isatty() else None
        self._lines = not silent and self._bar is None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def begun(self, request_id: str) -> None:
        """Name the job."""
        if self._bar is not None:
            self._bar.update(self._task, description=clean(request_id))

    def stepped(self, percent: float, message: str) -> None:  # noqa: ARG002 - the bar has room for the name alone
        """Move within the job's part of the bar."""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done + percent / 100)

    def ended(self, job: ExecutedJob) -> None:
        """Count; a failure is said above the bar, where it stays."""
        self._done += 1
        line = f"{_WHY_SKIPPED.get(job.reason or '', job.status):<13} {job.request_id}"
        if job.error is not None:
            line += f"  {job.error[:200]}"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done)
            if job.status == "failed":
                self._bar.console.print(clean(line), markup=False, highlight=False)
        elif self._lines and _WHY_SKIPPED.get(job.reason or "") != _NOT_REACHED:
            self._output.line_of_error(line)


def _bar(output: Output) -> Any:
    # Only a terminal pays for it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    plain = output.paint("dim", ".", sys.stderr) == "."
    console = Console(stderr=True, no_color=plain, highlight=False)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
