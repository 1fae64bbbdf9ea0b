"""`job-runner dispatch`: the entries of a task manifest into a backlog."""

from collections.abc import Sequence

import typer

from job_runner.cli.manifest_options import Manifest, Plan, checked_plan, named
from job_runner.cli.options import AnyVoice, Json, NoColor, Quiet, RedisUrl
from job_runner.cli.submitting import Manifests, Replace, Target, submit_and_tell
from job_runner.service.submit import EnqueuedRow
from lib.command_line.output import Output
from lib.terminal import clean

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner dispatch manifests/crud_test.jsonl
  job-runner dispatch manifests/mix.jsonl --target backlog:stress
  job-runner dispatch manifests/crud_test.jsonl --plan tuesday

A manifest has one entry a line: {task, args: [], kwargs: {}, meta: {id}, description?, priority?}. Its jobs are named
BACKLOG:PLAN:ID, where the plan is meta.plan, or the name of the file without its ending; --plan gives it another name,
to do the same work once more. Running it again is safe: what is queued or done already says so.
A manifest with mistakes queues nothing (exit code 2).
"""


@app.command(epilog=EXAMPLES)
def dispatch(  # noqa: PLR0913 - one parameter a flag
    file: Manifest,
    *,
    target: Target = None,
    plan: Plan = None,
    replace: Replace = False,
    any_voice: AnyVoice = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Put the tasks of a manifest into a backlog, each once."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    output.say("Start of script")
    words = named(file, target, plan)

    def tell(rows: Sequence[EnqueuedRow]) -> None:
        for row in rows:
            if row.status == "queued":
                output.say(clean(f"Job Sent: {row.request_id}"))

    submit_and_tell(
        [file],
        output,
        f"dispatch {words}",
        target=target,
        replace=replace,
        any_voice=any_voice,
        redis_url=redis_url,
        manifests=Manifests(checked_plan(plan), tell, f"verify {words}"),
    )
