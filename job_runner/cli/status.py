"""`job-runner status`: the queue at a glance."""

from datetime import datetime
from typing import Any

import typer

from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted, eta_text, moves_text, pool_lines, seconds_text, spend_text
from lib.command_line.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner status
  job-runner status --json | jq .totals.outstanding
  job-runner status --redis-url redis://queue.example.org:6379/0
"""


@app.command(epilog=EXAMPLES)
def status(*, redis_url: RedisUrl = None, json: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Show what waits, what runs, who works and how long it will take."""
    # The models of jobs are not needed here, and importing them would take as long as everything else.
    from job_runner.service.eta import with_eta  # noqa: PLC0415
    from job_runner.service.known import known  # noqa: PLC0415
    from job_runner.service.place import server_text  # noqa: PLC0415

    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    document = with_eta(with_queue(settings, lambda queue: known(queue, settings)), settings)
    if json:
        output.document(document)
        return
    output.data(f"Server: {server_text(settings)}")
    output.data()
    for line in lines(document, output):
        output.sentence(line, indent=15) if line.startswith("  api") else output.data(line)
    for step in _next_steps(document):
        output.say(step)


def lines(document: dict[str, Any], output: Output) -> list[str]:
    """The status as people read it."""
    totals, stream = document["totals"], document["stream"]
    active = ", ".join(f"{state} {totals[state]}" for state in ("queued", "leased", "delayed"))
    eta = f", ETA {eta_text(document)}" if totals["outstanding"] else ""
    shown = [
        output.paint("bold", "Jobs"),
        f"  outstanding  {totals['outstanding']}  ({active})",
        f"  finished     {totals['done']} done, {totals['failed']} failed, {totals['cancelled']} cancelled",
        f"  accepted     {totals['submitted']} since the counter began",
        f"  oldest       {seconds_text(stream['oldest_age_sec'])}",
        f"  stale        {stream['stale_pel']}",
        f"  rate         {document['rate']['jobs_per_min']:g} jobs/min{eta}",
    ]
    if document["outbox"]["callback"]:
        shown.append(f"  callbacks    {document['outbox']['callback']} still to be delivered")
    spent = spend_text(document["spend"])
    if spent:
        shown.append(f"  spent today  {spent}")
    moves = moves_text(document["rate"])
    if moves:
        shown.append(f"  cloud        {moves}")
    shown += [f"  api          {line}" for line in pool_lines(document["pools"])]
    shown.append("")
    shown += _backlogs(document["backlogs"], output)
    shown += _lanes(document["lanes"], output)
    shown += _instances(document, output)
    return shown + _watchers(document, output)


def _backlogs(backlogs: dict[str, Any], output: Output) -> list[str]:
    table = Table(("BACKLOG", "WAITING", "HIGH", "NORMAL", "LOW"), ("left", "right", "right", "right", "right"))
    for name, entry in sorted(backlogs.items()):
        table.row(name, *(str(entry[part]) for part in ("waiting", "high", "normal", "low")), style="")
    return [*table.lines(output.width, output.paint), ""]


def _lanes(lanes: dict[str, Any], output: Output) -> list[str]:
    if not lanes:
        return []
    table = Table(("LANE", "WAITING", "RUNNING"), ("left", "right", "right"))
    for entry in lanes.values():
        table.row(f"{entry['backend']} {entry['capability']}", str(entry["waiting"]), str(entry["running"]), style="")
    return [*table.lines(output.width, output.paint), ""]


def _instances(document: dict[str, Any], output: Output) -> list[str]:
    """Rented machines, each with the time until it is given back at the latest."""
    if not document["instances"]:
        return []
    table = Table(
        ("INSTANCE", "STATE", "GPU", "JOBS", "COST", "AN HOUR", "LEFT"),
        ("left", "left", "left", "right", "right", "right", "right"),
    )
    for entry in document["instances"]:
        if entry["damaged"]:
            table.row(entry["intent"], "damaged", *"-----", details=("its row cannot be read",), style="failed")
            continue
        ending = entry["state"] == "destroying" or not entry["owner_alive"]
        table.row(
            entry["intent"],
            entry["state"],
            entry["gpu"] or "-",
            str(entry["jobs"]),
            f"${entry['usd']:.4f}",
            f"${entry['usd_per_hour']:.3f}",
            _until(entry["expires_at"], document["timestamp"]),
            details=_troubles(entry),
            style="failed" if ending else "done" if entry["state"] in {"draining", "idle"} else "",
        )
    return [*table.lines(output.width, output.paint), ""]


def _troubles(entry: dict[str, Any]) -> list[str]:
    """What keeps a rented machine from working on."""
    said = [f"why: {entry['reason']}"] if entry["reason"] else []
    if not entry["owner_alive"]:
        said.append("its watcher is gone: the next one destroys it")
    if entry["told_to_end"] and entry["state"] != "destroying":
        said.append("its end was asked for")
    return said


def _until(moment: str | None, now: str) -> str:
    """How long until then; `-` where it is over."""
    if moment is None:
        return "-"
    seconds = (datetime.fromisoformat(moment) - datetime.fromisoformat(now)).total_seconds()
    return seconds_text(seconds) if seconds > 0 else "-"


def _watchers(document: dict[str, Any], output: Output) -> list[str]:
    leader = (document["lock"]["owner"] or "").partition(":")[0]
    if not document["watchers"]:
        return ["No watcher is alive."]
    table = Table(("WATCHER", "STATE", "ROLE", "BUSY", "LAST SEEN"), ("left", "left", "left", "right", "left"))
    for watcher in document["watchers"]:
        state, style = ("alive", "done") if watcher["alive"] else ("gone", "failed")
        role = "leader" if watcher["name"] == leader else "-"
        seen = _ago(watcher["last_seen"], document["timestamp"])
        table.row(watcher["name"], state, role, _busy(watcher), seen, style=style)
    return table.lines(output.width, output.paint)


def _ago(seen: str | None, now: str) -> str:
    """How long ago that was, by the server's clock; the moment itself stands in the document."""
    if seen is None:
        return "-"
    seconds = (datetime.fromisoformat(now) - datetime.fromisoformat(seen)).total_seconds()
    return f"{seconds_text(max(0.0, seconds))} ago"


def _busy(watcher: dict[str, Any]) -> str:
    """`running/slots` as the watcher last told them; `-` for one that tells neither."""
    running, slots = watcher.get("running"), watcher.get("slots")
    total = sum(slots.values()) if isinstance(slots, dict) else slots
    return f"{running}/{total}" if isinstance(running, int) and isinstance(total, int) else "-"


def _next_steps(document: dict[str, Any]) -> list[str]:
    steps: list[str] = []
    alive = [watcher for watcher in document["watchers"] if watcher["alive"]]
    outstanding = document["totals"]["outstanding"]
    if outstanding and not alive:
        steps.append(
            f"next: {counted(outstanding, 'job')} outstanding and no watcher alive; start one with `job-watcher`"
        )
    if document["stream"]["stale_pel"] and alive:
        steps.append("stale: their watcher has gone; the next sweep takes them back")
    if any(entry["damaged"] for entry in document["instances"]):
        steps.append("damaged: `job-runner doctor --fsck --repair` takes such a row away; nothing is rented beside it")
    if document["totals"]["failed"]:
        steps.append(
            "failed: `job-runner history --status failed` says why; permanent: mend the file, then "
            "`job-runner enqueue FILE --replace`; any other: `job-runner retry ID`, or `--all-failed`"
        )
    return steps
