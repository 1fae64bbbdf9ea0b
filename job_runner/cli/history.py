"""`job-runner history`: the newest finished jobs."""

from typing import Annotated, Any

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, seconds_text
from job_runner.service import outcomes
from lib.command_line.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner history
  job-runner history --status failed --limit 100
  job-runner history --json | jq -r '.records[].request_id'
"""

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="How many at most.")]
Status = Annotated[outcomes.HistoryStatus, typer.Option("--status", help="Only those that ended so.")]


@app.command(epilog=EXAMPLES)
def history(
    *,
    limit: Limit = 20,
    status: Status = "all",
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """List the newest finished jobs, newest first."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    document = with_queue(settings, lambda queue: outcomes.history(queue, status=status, limit=limit))
    if json:
        output.document(document)
        return
    if not document["records"]:
        output.say("nothing has finished yet" if status == "all" else f"nothing is {status}")
        return
    output.listing(_table(document["records"]).lines(output.width, output.paint))


def _table(records: list[dict[str, Any]]) -> Table:
    table = Table(("REQUEST ID", "STATUS", "ENDED (UTC)", "TOOK"), ("left", "left", "left", "right"))
    for each in records:
        record = each["record"]
        ended = str(record.get("completed_at") or record.get("failed_at") or "-")
        table.row(
            each["request_id"],
            each["kind"],
            ended.replace("T", " ").partition(".")[0].removesuffix("Z"),
            seconds_text(record.get("duration_sec")),
            details=_details(each["kind"], record),
        )
    return table


def _details(kind: str, record: dict[str, Any]) -> list[str]:
    if kind != "failed":
        return []
    return [f"{record.get('error_type', 'unknown')}: {str(record.get('error', ''))[:200]}"]
