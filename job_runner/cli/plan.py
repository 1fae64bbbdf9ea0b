"""`job-runner plan`: job files checked and priced."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from job_runner.cli.advice import typed
from job_runner.cli.options import AnyVoice, JobFiles, Json, NoColor, Quiet
from job_runner.cli.quoting import aside_notes, budget_of, deadline_of, quote_lines, usd_text
from job_runner.cli.tables import Align, Table, counted, seconds_text
from job_runner.service.known import known_in_time
from job_runner.service.planned import PlannedJob
from job_runner.service.planning import DEADLINE_NOTES, Plan
from job_runner.service.planning import plan as plan_files
from job_runner.service.quoting import Asked, document
from lib.command_line.output import ROWS, Output
from lib.errors import InvalidJobsError
from lib.routing.quoted import Quote
from lib.setting_fields.compute import Policy
from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner plan jobs.yaml
  job-runner plan jobs.yaml --json | jq .totals
  job-runner plan jobs.yaml --deadline 07:00 --budget 3
  job-runner plan jobs.yaml --quiet && echo sound

Exit code 2 when a file has mistakes, an unknown voice among them, or holds no job at all; with --json they stand in
`errors` beside the sound jobs. The quote has a row for each way to run the jobs, beginning now; it uses what was
measured when Redis answers at once, else estimates that are built in.
"""

Deadline = Annotated[
    str | None,
    typer.Option("--deadline", metavar="TIME", help="When all is to be done: 07:00 (the next one), or ISO-8601."),
]
Budget = Annotated[
    float | None,
    typer.Option("--budget", metavar="USD", min=0, help="What it may cost; default: what the day has left."),
]
AsPolicy = Annotated[
    Policy | None, typer.Option("--policy", help="Quote local and cloud together by this policy only.")
]


@app.command(epilog=EXAMPLES)
def plan(
    files: JobFiles,
    *,
    deadline: Deadline = None,
    budget: Budget = None,
    policy: AsPolicy = None,
    any_voice: AnyVoice = False,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Check job files and show what they would cost; needs no Redis."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    now = datetime.now(UTC)
    asked = Asked(deadline_of(deadline, now), budget_of(budget), policy)
    settings = Settings.load()
    # Not asked for an exit code alone.
    known = None if quiet and not json else known_in_time(settings)
    made = plan_files(files, settings, any_voice=any_voice, notice=output.warn, known=known)
    if json:
        quote = made.quoting.quote(asked, now)
        quoted = document(quote, asked, now, made.quoting.known, made.quoting.notes)
        output.document(made.document(ROWS, quoted), rows=made.jobs.documents())
    elif made.jobs and not made.problems and not quiet:
        _show(made, made.quoting.quote(asked, now), asked, now, output)
    if made.problems:
        if made.jobs:
            output.say(f"beside the mistakes below, {counted(len(made.jobs), 'job')} would be sound")
        raise InvalidJobsError(made.problems, undone=None)
    if made.repeated:
        named = "1 job stands" if made.repeated == 1 else f"{made.repeated} jobs stand"
        output.say(f"{named} in an earlier file too, with the same content: counted once, and queued once")
    if made.jobs:
        flag = " --any-voice" if any_voice else ""
        # A manifest is dispatched: enqueued into another backlog its work would be done, and paid for, once more.
        manifest = all(file.suffix == ".jsonl" for file in files)
        how = f"dispatch {typed(files)} --target backlog:NAME" if manifest else f"enqueue {typed(files)}"
        output.say(f"next: `job-runner {how}{flag}` queues them")


def _show(made: Plan, quote: Quote, asked: Asked, now: datetime, output: Output) -> None:
    table = Table(("REQUEST ID", "SOURCE", "CHARS", "EST"), ("left", "left", "right", "right"))
    for cells in map(_cells, made.jobs):
        table.fit(*cells)
    # A column of zeros would only make people wonder what could cost something.
    paid = bool(made.totals["est_usd"])
    titles = ["SOURCE", "JOBS", "CHARS", "EST"] + ["USD"] * paid
    aligns: list[Align] = ["left", "right", "right", "right", "right"]
    totals = Table(titles, aligns[: len(titles)])
    for name, sums in [*made.by_source.items(), ("total", made.totals)]:
        cells = (str(sums["jobs"]), str(sums["characters"]), seconds_text(sums["est_seconds"]))
        totals.row(name, *cells, *[usd_text(sums["est_usd"])] * paid)
    output.listing(table.lines_of(map(_cells, made.jobs), output.width, output.paint))
    output.data()
    output.listing(totals.lines(output.width, output.paint))
    output.data()
    lines = list(quote_lines(quote, asked, now, output))
    if lines:
        output.listing([*lines, ""])
    notes = [*aside_notes(quote), *made.quoting.notes]
    # What is said with names already need not be counted once more.
    notes += [f"{note} ({counted(n, 'job')})" for note, n in made.warnings.items() if note not in DEADLINE_NOTES]
    waiting = made.quoting.waiting
    if waiting:
        notes.append(f"{counted(waiting, 'job')} in the queue already; the quote does not count them")
    for note in notes:
        output.sentence(f"note: {note}", indent=2)
    output.data(f"{counted(len(made.jobs), 'job')}; estimates: {made.quoting.estimates.source}")


def _cells(job: PlannedJob) -> tuple[str, ...]:
    return job.request_id, job.source, str(job.characters), seconds_text(job.est_seconds)
