"""`job-runner cancel`: end jobs."""

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, RequestIds, Yes
from job_runner.cli.output import Output
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted
from job_runner.service.cancel import cancel as cancel_jobs
from lib.errors import NotFoundError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner cancel topic:beat-001
  job-runner cancel topic:beat-001 topic:beat-002 --yes

A waiting job is removed at once; a running one is told to stop, and nothing that it still does counts. Exit code 1
when a job had ended before, 4 when none of the ids is known.
"""


@app.command(epilog=EXAMPLES)
def cancel(
    request_ids: RequestIds,
    *,
    yes: Yes = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """End jobs: waiting ones at once, running ones within seconds."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    output.confirm(f"cancel {counted(len(request_ids), 'job')}?", yes=yes)
    done = with_queue(settings, lambda queue: cancel_jobs(queue, request_ids))
    if json:
        output.document(done.document())
    else:
        table = Table(("REQUEST ID", "STATUS"), ("left", "left"))
        for row in done.rows:
            table.row(row.request_id, row.status, details=["was running; told to stop"] if row.was_running else ())
        for line in table.lines(output.width, output.paint):
            output.data(line)
    if done.missing:
        raise NotFoundError("no such job", hint="`job-runner status` shows what waits, `history` what has ended")
    if done.refused:
        raise typer.Exit(1)
