"""`job-runner retry`: failed and cancelled jobs once more."""

from typing import TYPE_CHECKING, Annotated

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, Yes
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted
from job_runner.service import again
from lib.calling import as_called
from lib.command_line.output import Output
from lib.errors import InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner retry topic:beat-001
  job-runner retry --all-failed --yes

The job runs again with the content that its record keeps. Exit code 1 when a job was not queued, 4 when none of
the ids is known.
"""

RequestIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Request ids.", show_default=False)]
AllFailed = Annotated[bool, typer.Option("--all-failed", help="Every failed job; cancelled ones stay.")]


@app.command(epilog=EXAMPLES)
def retry(
    request_ids: RequestIds = None,
    *,
    all_failed: AllFailed = False,
    yes: Yes = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Queue failed or cancelled jobs again."""
    if bool(request_ids) == all_failed:
        raise InvalidInputError("give request ids, or --all-failed", hint="one of the two, not both")
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    if all_failed:
        retried = _all_failed(settings, output, yes=yes)
    else:
        retried = with_queue(settings, lambda queue: again.retry(queue, settings, request_ids or []))
    if json:
        output.document(retried.document())
    else:
        _show(retried, output)
    if retried.missing:
        raise NotFoundError("no such job", hint="`job-runner history --status failed` lists what can be retried")
    if retried.refused:
        raise typer.Exit(1)


def _all_failed(settings: "Settings", output: Output, *, yes: bool) -> again.Retried:
    count = with_queue(settings, again.count_failed)
    if count:
        output.confirm(f"queue {counted(count, 'failed job')} again?", yes=yes)
    return with_queue(settings, lambda queue: again.retry_all_failed(queue, settings))


_WHY = {
    "active": "in the queue already",
    "already_done": "`job-runner enqueue --replace` makes changed content anew",
    "changed": "somebody else has just retried or replaced it",
    "key_busy": "another job holds its conflict_key; try again later",
    "payload_lost": "its record keeps no job; enqueue it from its file with --replace",
    "unknown_task": "its task is unknown here; see JOBS_TASK_MODULES",
}


def _show(retried: again.Retried, output: Output) -> None:
    if not retried.rows:
        output.say("nothing has failed")
        return
    table = Table(("REQUEST ID", "STATUS"), ("left", "left"))
    for row in retried.rows:
        table.row(row.request_id, row.status, details=[as_called(_WHY[row.status])] if row.status in _WHY else ())
    output.listing(table.lines(output.width, output.paint))
    if any(row.status == "queued" for row in retried.rows):
        output.say("next: `job-runner watch` follows them; `job-watcher` works on them")
