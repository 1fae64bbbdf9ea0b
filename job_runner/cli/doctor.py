"""`job-runner doctor`: what is wrong, and how to mend it."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, Yes
from job_runner.cli.running import settings_of
from job_runner.service.consistency import look_through
from job_runner.service.doctor import Check, Diagnosis, diagnose
from lib.calling import as_called
from lib.command_line.output import Output
from lib.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner doctor
  job-runner doctor --json | jq '.checks[] | select(.state != "ok")'
  job-runner doctor --fsck            is every accepted job somewhere?
  job-runner doctor --repair --yes    mend what is stranded

--repair may be used on a busy queue. Exit code 1 when something is wrong, a server that does not answer included: that
too is an answer of doctor, and the rest of this machine is checked all the same.
"""

Fsck = Annotated[bool, typer.Option("--fsck", help="Walk through the whole queue too: does it add up?")]
Repair = Annotated[bool, typer.Option("--repair", help="With the walk, mend what can be mended.")]


@app.command(epilog=EXAMPLES)
def doctor(
    *,
    fsck: Fsck = False,
    repair: Repair = False,
    yes: Yes = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Check Redis, voices and this machine; one line each, with the mend."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    if repair:
        output.confirm(f"mend what is stranded in the queue {settings.jobs_prefix!r}?", yes=yes)
    found = asyncio.run(diagnose(settings))
    document = found.document()
    if (fsck or repair) and found.reached_redis():
        seen = asyncio.run(look_through(settings, repair=repair))
        found = Diagnosis((*found.checks, *seen.checks))
        document = found.document() | seen.document()
    if json:
        output.document(document)
    else:
        _show(found.checks, output)
    if not found.sound:
        raise typer.Exit(1)


def _show(checks: "Iterable[Check]", output: Output) -> None:
    for check in checks:
        mend = f"; mend: {as_called(check.mend)}" if check.mend else ""
        state = output.paint(check.state, f"{check.state:<6}")
        output.sentence(f"{state}  {check.name:<11}  {clean(check.found + mend)}", indent=21)
