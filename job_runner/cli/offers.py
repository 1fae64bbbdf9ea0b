"""`job-runner offers`: which machine would be rented now, and why."""

from typing import Annotated, Any

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, seconds_text
from job_runner.service import renting
from lib.command_line.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner offers
  job-runner offers --jobs 500
  job-runner offers --json | jq '.offers[] | select(.chosen)'

Nothing is rented. The dollars are those of so many jobs of 500 characters on that machine: its start, its work, its
storage and traffic. VAST_QUERY, VAST_MAX_DPH and VAST_DISK say which machines are looked at. * would be rented, - not.
"""

Jobs = Annotated[int, typer.Option("--jobs", min=1, max=1_000_000, help="For so many jobs of average length.")]


@app.command(epilog=EXAMPLES)
def offers(
    *,
    jobs: Jobs = 100,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show which machine would be rented now, and why."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    document = with_queue(settings, lambda queue: renting.offers(queue, settings, jobs=jobs))
    if json:
        output.document(document)
        return
    if document["offers"]:
        output.listing(_table(document["offers"], jobs).lines(output.width, output.paint))
    chosen = next((each for each in document["offers"] if each["chosen"]), None)
    if chosen is None:
        output.say("nothing would be rented now")
    else:
        output.sentence(f"chosen: {chosen['offer']}, {chosen['why']}", indent=2)
    for note in document["notes"]:
        output.sentence(f"note: {note}", indent=2)


def _table(found: list[dict[str, Any]], jobs: int) -> Table:
    table = Table(
        ("OFFER", "", "MARKET", "GPU", "$/HOUR", "START", "WORK", "1 JOB $" if jobs == 1 else f"{jobs} JOBS $"),
        ("left", "left", "left", "left", "right", "right", "right", "right"),
    )
    for each in found:
        table.row(
            each["offer"],
            "*" if each["chosen"] else "-" if each["refused"] else "",
            each["market"],
            each["gpu"] or "?",
            f"{each['usd_per_hour']:.3f}",
            seconds_text(each["start_seconds"]),
            seconds_text(each["work_seconds"]),
            f"{each['usd']:.4f}",
            details=[each["refused"]] if each["refused"] else [],
            style="done" if each["chosen"] else "dim" if each["refused"] else "plain",
        )
    return table
