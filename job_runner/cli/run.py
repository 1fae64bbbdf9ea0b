"""`job-runner run`: job files spoken at once, without a queue."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.advice import no_jobs_in
from job_runner.cli.executing import Again, DryRun, FailFast, execute_and_tell
from job_runner.cli.noting import Notes
from job_runner.cli.options import JobFiles, Json, NoColor, Quiet
from job_runner.service.offline import compile_files, folder_of
from lib.command_line.output import Output
from lib.manifest import ExecuteOptions, read_manifest
from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner run jobs.yaml
  job-runner run jobs.yaml --dry-run --json
  job-runner run jobs.yaml --out batch --fail-fast

It is compile and execute-manifest in one. Without --out it works in a folder of the state directory that belongs to
the file, so running it again, after a crash or an edit, makes only what is not made yet.
Exit code 1 when a job failed, 2 when a file has mistakes (nothing is run then), 130 when interrupted.
"""

Out = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Folder to work in.", show_default="in the state directory")
]


@app.command(epilog=EXAMPLES)
def run(
    files: JobFiles,
    *,
    out: Out = None,
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    again: Again = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Make the audio of job files at once, on this machine; needs no Redis."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = Settings.load()
    notes = Notes()
    folder = out or folder_of(files, settings)
    compiled = compile_files(files, settings, folder, notice=output.warn, noted=notes.add)
    if not compiled.job_count:
        output.say(no_jobs_in(files))
    notes.say(output)
    options = ExecuteOptions(dry_run=dry_run, fail_fast=fail_fast, again=again)
    raise typer.Exit(execute_and_tell(read_manifest(compiled.manifest), settings, options, output))
