"""What every `workflow … plan` says of the manifest that it has written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from job_runner.cli.advice import typed
from job_runner.cli.tables import counted
from lib.terminal import clean

if TYPE_CHECKING:
    from job_runner.workflows.entries import Written
    from lib.command_line.output import Output

Seed = Annotated[int, typer.Option("--seed", help="Another seed, another plan; the same one, the same file.")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that holds another plan.")]


def tell_written(written: Written, backlog: str, output: Output) -> None:
    """The path, what is in it, and what to type next; `backlog` is only a proposal."""
    if output.as_json:
        about = {"manifest": str(written.path), "plan": written.plan, "entries": written.entries}
        output.document({**about, "written": written.fresh})
        return
    output.data(clean(f"{written.path}: {counted(written.entries, 'task')} of plan {written.plan}"))
    if not written.fresh:
        output.say("the same plan was there already")
    if written.entries:
        output.say(f"next: `job-runner dispatch {typed([written.path])} --target backlog:{backlog}` queues them")
