"""`job-runner workflow system-test plan`: jobs that try out the machine, from an echo to rounds in a database."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.options import Json, NoColor, Quiet
from job_runner.cli.planned_manifest import Force, Seed, tell_written
from job_runner.workflows.entries import write_manifest
from job_runner.workflows.system_test import DEFAULT_COUNTS, Mode, SystemTestPlan
from lib.command_line.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

EXAMPLES = """\b
Examples:
  job-runner workflow system-test plan --mode debug
  job-runner workflow system-test plan --mode crud_stress --count 500
  job-runner workflow system-test plan --mode backlog --out mix.jsonl

\b
Modes:
  debug         each gives its message back
  sleep         naps of half a second to three
  crud          a record made, read, changed, checked, deleted, looked for
  crud_latency  the same after half a second to two
  crud_stress   many of both kinds at once
  backlog       a mixture of all of them, at all priorities
"""

_MOST = 1_000_000

ModeOption = Annotated[Mode, typer.Option("--mode", help="What to try out; see below.", show_default=False)]
Count = Annotated[
    int | None,
    typer.Option("--count", min=1, max=_MOST, help="How many jobs.", show_default="10, crud_stress 200, backlog 50"),
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="The manifest to write.", show_default="manifests/MODE_test.jsonl"),
]


@app.callback(epilog=EXAMPLES)
def system_test() -> None:
    """Jobs that try out the machine: debug, sleep, crud and mixtures."""


@app.command(epilog=EXAMPLES)
def plan(
    *,
    mode: ModeOption,
    count: Count = None,
    seed: Seed = 1,
    out: Out = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Write the manifest of a system test."""
    wanted = SystemTestPlan(mode, count or DEFAULT_COUNTS[mode], seed)
    written = write_manifest(out or wanted.out, wanted.plan, wanted.entries(), force=force)
    tell_written(written, mode.replace("_", "-"), Output(as_json=json, quiet=quiet, no_color=no_color))
