"""`job-runner cancel`: end jobs."""

from typing import Final

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, RequestIds, Yes
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted
from job_runner.service.cancel import cancel as cancel_jobs
from job_runner.service.cancel import standing
from lib.command_line.output import Output
from lib.errors import NotFoundError
from lib.redisqueue.reader import FoundStatus
from lib.terminal import clean

_ACTIVE: Final = frozenset({"queued", "leased", "delayed"})
_NAMED_MAX: Final = 5

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
    if not yes:
        now = with_queue(settings, lambda queue: standing(queue, request_ids))
        question = _question(now)
        # Where there is nothing to end there is nothing to ask: the answer below says how each stands.
        if question:
            output.confirm(question, yes=False)
    done = with_queue(settings, lambda queue: cancel_jobs(queue, request_ids))
    if json:
        output.document(done.document())
    else:
        table = Table(("REQUEST ID", "STATUS"), ("left", "left"))
        for row in done.rows:
            table.row(row.request_id, row.status, details=["was running; told to stop"] if row.was_running else ())
        output.listing(table.lines(output.width, output.paint))
    if done.missing:
        raise NotFoundError("no such job", hint="`job-runner status` shows what waits, `history` what has ended")
    if done.refused:
        raise typer.Exit(1)


def _question(standing_now: dict[str, FoundStatus]) -> str:
    """What is about to end, by name and state; empty when nothing is."""
    active = [f"{name} ({status})" for name, status in standing_now.items() if status in _ACTIVE]
    if not active:
        return ""
    named = ", ".join(map(clean, active[:_NAMED_MAX]))
    if len(active) == 1:
        return f"cancel {named}?"
    more = f" and {len(active) - _NAMED_MAX} more" if len(active) > _NAMED_MAX else ""
    return f"cancel {counted(len(active), 'job')}: {named}{more}?"
