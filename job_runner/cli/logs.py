"""`job-runner logs`: what became of the last run without a queue."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.executing import show_execution
from job_runner.cli.options import Json, NoColor, Quiet
from job_runner.service.offline import execution_file
from lib.command_line.output import Output
from lib.manifest import execution_document
from lib.settings import Settings
from lib.terminal import clean

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner logs
  job-runner logs batch/execution.json
  job-runner logs --json | jq '.jobs[] | select(.status == "failed")'

Without a name it is the latest execution.json of `run` or `execute-manifest` on this machine, also one that still
runs or was cut off. The exit code is 0 whatever became of the jobs, 2 when the file is damaged, 4 when there is none.
"""

Where = Annotated[
    Path | None,
    typer.Argument(
        metavar="[EXECUTION]", help="An execution.json, or the folder of one.", show_default="the latest one"
    ),
]


@app.command(epilog=EXAMPLES)
def logs(where: Where = None, *, json: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Show the latest execution.json of a run without a queue."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    path = execution_file(where, Settings.load())
    document = execution_document(path)
    if json:
        output.document(document)
        return
    show_execution(document, path.parent, output)
    output.say(clean(f"execution: {path}"))
