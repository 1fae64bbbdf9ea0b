"""`job-runner verify`: was the work of a manifest really done?"""

from functools import partial
from typing import Annotated

import typer

from job_runner.cli.advice import after_failure
from job_runner.cli.manifest_options import Manifest, Plan, checked_plan, named
from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.submitting import Target
from job_runner.cli.tables import Table, counted, summary_text
from job_runner.service.jobfiles import entries_of
from job_runner.service.outputs_here import OutputsHere
from job_runner.service.verifying import PENDING, Verified, wait_until_ended
from job_runner.service.verifying import verify as verify_entries
from lib.command_line.output import Output
from lib.jobfile import EntryNames
from lib.redisqueue.keys import DEFAULT_BACKLOG, parse_backlog
from lib.wiring import catalogue

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner verify manifests/stress_test_v1.jsonl
  job-runner verify manifests/mix.jsonl --target backlog:stress --wait
  job-runner verify manifests/mix.jsonl --json | jq .summary

Sound is an entry whose job is done, with the content that the manifest has now, and whose receipt holds: a nap was as
long as it should be, an echo is the message, no step of a round is missing, every record is annotated. Without --target
the jobs are looked for in every backlog. Exit code 0 when every entry is sound, else 1.
"""

Wait = Annotated[bool, typer.Option("--wait", help="Wait until no entry waits or runs any more.")]


@app.command(epilog=EXAMPLES)
def verify(
    file: Manifest,
    *,
    target: Target = None,
    plan: Plan = None,
    wait: Wait = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Check that every task of a manifest is done, with a sound receipt."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    backlog = None if target is None else parse_backlog(target)
    names = EntryNames(backlog or DEFAULT_BACKLOG, checked_plan(plan))
    kinds, here = catalogue(settings), OutputsHere.of(settings)

    def look() -> Verified:
        with entries_of(file, settings, names) as entries:
            return with_queue(settings, lambda queue: verify_entries(queue, entries, kinds, backlog=backlog, here=here))

    found = look()
    while wait and (pending := found.pending):
        output.say(f"waiting for {len(pending)} of {len(found.rows)}; `job-watcher` works on them")
        with_queue(settings, partial(wait_until_ended, request_ids=pending))
        found = look()
    if json:
        output.document({"manifest": str(file), **found.document()})
    else:
        _show(found, output)
    for step in _next_steps(found, named(file, target, plan), named(file, f"backlog:{found.backlog}", plan)):
        output.say(step)
    if found.unsound:
        raise typer.Exit(1)


def _show(found: Verified, output: Output) -> None:
    table = Table(("REQUEST ID", "STATUS", "LINE"), ("left", "left", "right"))
    for row in found.unsound:
        table.row(row.request_id, row.status, str(row.line), details=[str(row.problem)[:200]])
    if found.unsound:
        output.listing(table.lines(output.width, output.paint))
        output.data()
    sound = len(found.rows) - len(found.unsound)
    said = "all sound" if not found.unsound else f"{sound} sound, {len(found.unsound)} not"
    output.data(f"{counted(len(found.rows), 'job')} in backlog {found.backlog}: {summary_text(found.summary)}; {said}")


def _next_steps(found: Verified, asked: str, known: str) -> list[str]:
    """One line for each thing to do; `asked` is the manifest with its flags as typed, `known` with its backlog."""
    steps: list[str] = []
    seen = found.summary
    if "not_found" in seen:
        words = asked if seen.keys() == {"not_found"} else known
        steps.append(f"not_found: `job-runner dispatch {words}` queues what is missing")
    failed = [(row.request_id, row.error_type or "unknown") for row in found.rows if row.status == "failed"]
    steps += after_failure(failed, "the manifest", f"dispatch {known}")
    if "cancelled" in seen:
        steps.append("cancelled: `job-runner retry ID` queues it again")
    if any(row.status == "done" for row in found.unsound):
        steps.append(
            f"done, but not sound: `job-runner result ID` shows the record; `job-runner dispatch {known} --replace` "
            "makes what has other content now, and `--plan NAME` does all of it once more"
        )
    if seen.keys() & PENDING:
        steps.append(f"not done yet: `job-watcher` works on them; `job-runner verify {known} --wait` waits for the end")
    return steps
