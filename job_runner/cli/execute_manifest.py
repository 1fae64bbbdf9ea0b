"""`job-runner execute-manifest`: the jobs of a compiled folder, here and now."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.executing import Again, DryRun, FailFast, execute_and_tell
from job_runner.cli.options import Json, NoColor, Quiet
from job_runner.service.offline import follow as follow_orders
from lib.command_line.output import Output
from lib.errors import InvalidInputError
from lib.manifest import ExecuteOptions, read_manifest
from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner execute-manifest batch/manifest.json
  job-runner execute-manifest batch/manifest.json --dry-run
  job-runner execute-manifest batch/manifest.json --fail-fast --json
  ls batches | job-runner execute-manifest batches --follow

After a crash or Ctrl-C run it again: what is made and whole is skipped (already_made). execution.json stands beside
the manifest and is whole after every job; with --dry-run it is execution.dry-run.json.
With --follow MANIFEST is a directory: each line on stdin names a compiled folder in it, and what becomes of each job
is said on stdout, one JSON event a line, with the models kept loaded from one folder to the next; no execution.json
is written. A watcher works like this on a rented host.
Exit code 1 when a job failed, 2 when the manifest is not sound (nothing is run then), 130 when interrupted.
"""

Manifest = Annotated[
    Path, typer.Argument(metavar="MANIFEST", help="A manifest.json, or the folder of one.", show_default=False)
]


Follow = Annotated[bool, typer.Option("--follow", help="Execute the folders that stdin names; JSON events on stdout.")]


@app.command(epilog=EXAMPLES)
def execute_manifest(
    manifest: Manifest,
    *,
    dry_run: DryRun = False,
    fail_fast: FailFast = False,
    again: Again = False,
    follow: Follow = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Make the audio of a compiled folder on this machine; needs no Redis."""
    if follow:
        if dry_run or fail_fast or again:
            raise InvalidInputError(
                "--follow goes with none of --dry-run, --fail-fast and --again",
                hint="execute one folder without --follow",
            )
        raise typer.Exit(1 if follow_orders(manifest, Settings.load()) else 0)
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    options = ExecuteOptions(dry_run=dry_run, fail_fast=fail_fast, again=again)
    raise typer.Exit(execute_and_tell(read_manifest(manifest), Settings.load(), options, output))
