"""`job-runner instances`: rented machines, their bills, and ending them."""

from typing import Annotated, Any

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, Yes
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, seconds_text
from job_runner.service import renting
from lib.command_line.output import Output
from lib.errors import InvalidInputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner instances                what is rented, and the last bills
  job-runner instances list --bills 100
  job-runner instances destroy i0f3a  by a name's beginning, or an id
  job-runner instances reap           end what nobody owns
"""

LIST_EXAMPLES = """\b
Examples:
  job-runner instances list
  job-runner instances list --json | jq '[.bills[].usd] | add'
"""

DESTROY_EXAMPLES = """\b
Examples:
  job-runner instances destroy i0f3a9c1d2e3f4a5b --yes

Its watcher ends it; where that is gone, it is ended from here, with VAST_API_KEY. Jobs that were there go back and
use no attempt. Another machine may be rented if enough still waits.
"""

REAP_EXAMPLES = """\b
Examples:
  job-runner instances reap

The same as `job-watcher reap --once`. Exit code 1 when something may still cost money.
"""

Bills = Annotated[int, typer.Option("--bills", min=0, max=1000, help="How many of the newest bills.")]
Names = Annotated[
    list[str],
    typer.Argument(metavar="ID", help="Names of machines, or their ids at the market.", show_default=False),
]


@app.callback(invoke_without_command=True, epilog=EXAMPLES)
def instances(
    ctx: typer.Context,
    *,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show rented machines and their bills, and end them."""
    if ctx.invoked_subcommand is None:
        list_(redis_url=redis_url, json=json, quiet=quiet, no_color=no_color)
    elif redis_url or json or quiet or no_color:
        raise InvalidInputError(
            f"options of `{ctx.invoked_subcommand}` stand before it",
            hint=f"write them after `{ctx.invoked_subcommand}`",
        )


@app.command("list", epilog=LIST_EXAMPLES)
def list_(
    *,
    bills: Bills = 10,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show what is rented now, and what the last machines came to."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    document = with_queue(settings_of(redis_url), lambda queue: renting.listed(queue, bills=bills))
    if json:
        output.document(document)
        return
    if document["instances"]:
        output.listing(_rows(document["instances"]).lines(output.width, output.paint))
    else:
        output.say("nothing is rented")
    if document["bills"]:
        output.data()
        output.listing(_bills(document["bills"]).lines(output.width, output.paint))
        total = sum(each["usd"] for each in document["bills"])
        output.data(f"${total:.4f} for {sum(each['jobs'] for each in document['bills'])} jobs")


@app.command(epilog=DESTROY_EXAMPLES)
def destroy(
    names: Names,
    *,
    yes: Yes = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """End rented machines now, whatever they are doing."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    machines = with_queue(settings, lambda queue: renting.named(queue, names))
    listed = ", ".join(f"{each.intent} ({each.gpu or each.market}, {each.state})" for each in machines)
    output.confirm(f"end {listed}? Jobs that are there go back to the queue", yes=yes)
    rows = with_queue(settings, lambda queue: renting.destroy_all(queue, settings, machines))
    if json:
        output.document({"rows": rows})
    else:
        for row in rows:
            output.data(f"{row['intent']}: {row.get('why') or _SAID[row['outcome']]}")
    if any(row["outcome"] == "left" for row in rows):
        raise typer.Exit(1)


@app.command(epilog=REAP_EXAMPLES)
def reap(
    *,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """End rented machines that nobody owns."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    document = with_queue(settings, lambda queue: renting.reap(queue, settings))
    if json:
        output.document(document)
    else:
        for bill in document["ended"]:
            output.data(f"ended {bill['intent']} of {bill['market']}: ${bill['usd']:.4f}")
        for stray in document["strays"]:
            output.data(f"ended {stray['market_id']}, which nobody owned ({stray['why']})")
        for left in document["left"]:
            output.data(f"left {left}")
        if not any(document[name] for name in ("ended", "strays", "left")):
            output.say("nothing is rented that nobody owns")
    if document["left"]:
        raise typer.Exit(1)


_SAID = {
    "asked": "its watcher was asked to end it",
    "ended": "ended, and proven gone",
    "gone": "ended already",
    "left": "asked to end, and not proven gone; see `job-runner instances`",
}


def _rows(found: list[dict[str, Any]]) -> Table:
    table = Table(
        ("INSTANCE", "STATE", "MARKET", "GPU", "$/HOUR", "SO FAR $", "JOBS"),
        ("left", "left", "left", "left", "right", "right", "right"),
    )
    for each in found:
        if each["damaged"]:
            table.row(each["intent"], "damaged", "?", "?", "?", "?", "?")
            continue
        details = [] if each["owner_alive"] else ["its watcher is gone: any watcher, or `instances reap`, ends it"]
        table.row(
            each["intent"],
            each["state"],
            f"{each['market']} {each['market_id'] or ''}".strip() if each["market"] != "ssh" else "ssh",
            each["gpu"] or "-",
            f"{each['usd_per_hour']:.3f}",
            f"{each['usd']:.4f}",
            str(each["jobs"]),
            details=[*details, *([each["reason"]] if each["reason"] else [])],
        )
    return table


def _bills(found: list[dict[str, Any]]) -> Table:
    table = Table(
        ("BILL OF", "ENDED (UTC)", "TOOK", "JOBS", "IDLE", "$", "$/JOB"),
        ("left", "left", "right", "right", "right", "right", "right"),
    )
    for each in found:
        idle = each["idle_share"]
        table.row(
            each["intent"],
            str(each["ended_at"] or "-").replace("T", " ").partition(".")[0],
            seconds_text(sum(each["seconds"].values())),
            str(each["jobs"]),
            "-" if idle is None else f"{100 * idle:.0f} %",
            f"{each['usd']:.4f}",
            "-" if each["usd_per_job"] is None else f"{each['usd_per_job']:.5f}",
            details=[each["reason"]] if each["failed"] and each["reason"] else [],
            style="failed" if each["failed"] else "done",
        )
    return table
