"""`job-runner workflow stress plan`: the naps that show how the conductor fills a machine and a cloud."""

from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.options import Json, NoColor, Quiet
from job_runner.cli.planned_manifest import Force, Seed, tell_written
from job_runner.workflows.entries import write_manifest
from job_runner.workflows.stress import OUT, StressPlan
from lib.command_line.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

EXAMPLES = """\b
Examples:
  job-runner workflow stress plan
  job-runner workflow stress plan --seed 2 --out manifests/stress_2.jsonl
  job-runner workflow stress plan --count 6 --seconds-min 2 --seconds-max 4
"""

_MOST = 1_000_000
_DAY = 86_400

Count = Annotated[int, typer.Option("--count", min=1, max=_MOST, help="How many naps.")]
SecondsMin = Annotated[int, typer.Option("--seconds-min", min=0, max=_DAY, help="The shortest nap.")]
SecondsMax = Annotated[int, typer.Option("--seconds-max", min=0, max=_DAY, help="The longest nap.")]
Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The manifest to write.")]


@app.callback(epilog=EXAMPLES)
def stress() -> None:
    """Ten naps of 90 to 150 s, for a free machine and a cloud with a limit."""


@app.command(epilog=EXAMPLES)
def plan(  # noqa: PLR0913 - one parameter a flag
    *,
    seed: Seed = 1,
    count: Count = 10,
    seconds_min: SecondsMin = 90,
    seconds_max: SecondsMax = 150,
    out: Out = OUT,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Write the manifest of the stress test."""
    wanted = StressPlan(count, seconds_min, seconds_max, seed)
    written = write_manifest(out, wanted.plan, wanted.entries(), force=force)
    tell_written(written, "stress", Output(as_json=json, quiet=quiet, no_color=no_color))
