"""`job-runner doctor`: what is wrong, and how to mend it."""

import asyncio

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl
from job_runner.cli.output import Output, clean
from job_runner.cli.running import settings_of
from job_runner.service.doctor import Diagnosis, diagnose

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner doctor
  job-runner doctor --json | jq '.checks[] | select(.state != "ok")'

Exit code 1 when something is wrong.
"""


@app.command(epilog=EXAMPLES)
def doctor(*, redis_url: RedisUrl = None, json: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Check Redis, voices and this machine; one line each, with the mend."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    found = asyncio.run(diagnose(settings_of(redis_url)))
    if json:
        output.document(found.document())
    else:
        _show(found, output)
    if not found.sound:
        raise typer.Exit(1)


def _show(found: Diagnosis, output: Output) -> None:
    for check in found.checks:
        mend = f"; mend: {check.mend}" if check.mend else ""
        output.data(f"{output.paint(check.state, f'{check.state:<5}')}  {check.name:<11}  {clean(check.found + mend)}")
