"""`job-runner compile`: job files into a folder that any machine can execute."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.advice import no_jobs_in, typed
from job_runner.cli.options import AnyVoice, JobFiles, Json, NoColor, Quiet
from job_runner.cli.tables import counted
from job_runner.service.offline import compile_files
from lib.command_line.output import Output
from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner compile jobs.yaml --out batch
  job-runner execute-manifest batch/manifest.json

The folder holds each text at <output_name>/text.txt and manifest.json. The same jobs give the same bytes, so two
compiles can be compared. Compiling again into a folder replaces its manifest; audio that was made there stays, and
`execute-manifest` makes only what has changed. A job without output_name gets a folder after its request_id.
"""

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="The folder; it is made if need be.")]
RunId = Annotated[
    str | None, typer.Option("--run-id", metavar="ID", help="Name of the run; a hash of the jobs if not given.")
]


@app.command("compile", epilog=EXAMPLES)
def compile_(
    files: JobFiles,
    *,
    out: Out,
    run_id: RunId = None,
    any_voice: AnyVoice = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Write job files as a folder of texts with a manifest, to execute anywhere; needs no Redis."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    done = compile_files(files, Settings.load(), out, run_id=run_id, any_voice=any_voice, notice=output.warn)
    if json:
        output.document(done.document())
    else:
        output.data(str(done.manifest))
    if not done.job_count:
        output.say(no_jobs_in(files))
        return
    output.say(f"{counted(done.job_count, 'job')} compiled as {done.run_id}")
    if done.removed:
        output.say(f"{counted(done.removed, 'text')} of an earlier compile removed")
    output.say(f"next: `job-runner execute-manifest {typed([done.manifest])}` makes the audio")
