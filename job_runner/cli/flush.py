"""`job-runner flush`: empty the queue."""

from typing import Annotated

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, Yes
from job_runner.cli.output import Output
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import counted
from job_runner.service.flush import flush as flush_queue

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner flush                 what waits goes, records stay
  job-runner flush --hard --yes    records go too: every request_id is new again

Refused while a watcher is alive, unless --force: what it runs is then thrown away.
"""

Hard = Annotated[bool, typer.Option("--hard", help="Remove the records of finished jobs too.")]
Force = Annotated[bool, typer.Option("--force", help="Even while watchers are alive.")]


@app.command(epilog=EXAMPLES)
def flush(
    *,
    hard: Hard = False,
    force: Force = False,
    yes: Yes = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Empty the queue."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    what = "everything, records included" if hard else "all jobs that wait or run (records stay)"
    output.confirm(f"remove {what}, prefix {settings.jobs_prefix!r}?", yes=yes)
    document = with_queue(settings, lambda queue: flush_queue(queue, hard=hard, force=force))
    if json:
        output.document(document)
        return
    output.data(f"removed {counted(document['jobs'], 'job')} and {counted(document['records'], 'record')}")
