"""`job-runner flush`: empty the queue."""

from typing import Annotated

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, Yes
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import counted
from job_runner.service.flush import flush as flush_queue
from job_runner.service.place import server_text
from lib.command_line.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner flush                 what waits goes, records stay
  job-runner flush --hard --yes    records go too

Without its record a request_id is new again. A finished job that `enqueue --replace` or `retry` has queued again has
no record while it waits: its old one went when it was queued, and a flush leaves none.

Rented machines are kept: they cost money until they are proven gone.

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
    waiting = "every job that waits or runs"
    what = f"{waiting} and every record of finished ones" if hard else f"{waiting} (records of finished ones stay)"
    queue_text = f"the queue {settings.jobs_prefix!r} on {server_text(settings)}"
    output.confirm(f"remove {what} from {queue_text}?", yes=yes)
    document = with_queue(settings, lambda queue: flush_queue(queue, hard=hard, force=force))
    if json:
        output.document(document)
        return
    output.data(f"removed {counted(document['jobs'], 'job')} and {counted(document['records'], 'record')}")
    if document["instances_kept"]:
        kept = counted(document["instances_kept"], "rented machine")
        output.say(f"kept: {kept}, whose bills run on; `job-runner instances` shows them")
