"""`job-runner report`: what became of the jobs of files."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from job_runner.cli.advice import after_failure, after_loss, typed
from job_runner.cli.noting import Notes, spoken_by_another
from job_runner.cli.options import JobFiles, Json, NoColor, Quiet, RedisUrl
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted, seconds_text, span_text, summary_text
from job_runner.service import outcomes
from job_runner.service.jobfiles import names_in
from job_runner.service.outputs_here import OutputsHere
from job_runner.service.verifying import SAMPLE, backlog_of, tail_of
from lib.command_line.output import Output
from lib.jobfile import EntryNames
from lib.redisqueue.keys import DEFAULT_BACKLOG, parse_backlog
from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner report jobs.yaml
  job-runner report jobs.yaml --status failed
  job-runner report jobs.yaml --json | jq .summary

`done (other content)` is a job that was made before the file was changed: `enqueue --replace` makes it anew.
`done (file missing)` is one whose audio is not on this machine any more, or has another size than it was made with.
The jobs of a task manifest are looked for in every backlog; --target says which is meant when there are several.
A beatsheet needs no voice here: what its beats were given by hand is not known, so nothing is called other content.
Exit code 1 when a job has failed, and only then: what is not yet done, was done with other content or lacks its
files exits 0.
"""

Target = Annotated[
    str | None, typer.Option("--target", metavar="backlog:NAME", help="The backlog that a manifest was sent to.")
]
Status = Annotated[
    outcomes.ReportStatus, typer.Option("--status", help="List only those that stand so; the sums are those of all.")
]


@app.command(epilog=EXAMPLES)
def report(
    files: JobFiles,
    *,
    status: Status = "all",
    target: Target = None,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show what became of the jobs of files, with the paths of what they made."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    backlog = _dispatched_to(files, settings) if target is None else parse_backlog(target)
    with names_in(files, settings, EntryNames(backlog)) as jobs:
        here = OutputsHere.of(settings)
        found = with_queue(settings, lambda queue: outcomes.report(queue, jobs, here, settings))
    if json:
        output.document(found.document(status))
    else:
        _show(found, status, settings.watcher_output_root, output)
        notes = Notes()
        for row in found.rows:
            notes.add(spoken_by_another(row.found.record or {}))
        notes.say(output)
    for step in _next_steps(found, typed(files), "" if target is None else f" {typed(['--target', target])}"):
        output.say(step)
    if found.failed:
        raise typer.Exit(1)


def _dispatched_to(files: Sequence[Path], settings: Settings) -> str:
    """Where the jobs of manifests are known; of other files the name says nothing of a backlog."""
    if not all(file.suffix == ".jsonl" for file in files):
        return DEFAULT_BACKLOG
    with names_in(files, settings, EntryNames(DEFAULT_BACKLOG)) as jobs:
        tails = [tail_of(job.spec, DEFAULT_BACKLOG) for job in islice(jobs, SAMPLE)]
    return with_queue(settings, lambda queue: backlog_of(queue, tails))


def _show(found: outcomes.Report, only: outcomes.ReportStatus, root: Path, output: Output) -> None:
    table = Table(("REQUEST ID", "STATUS", "AUDIO", "TOOK"), ("left", "left", "right", "right"))
    for row in found.shown(only):
        record = row.found.record or {}
        speech = outcomes.speech_of(record)
        took = record.get("duration_sec")
        table.row(
            row.request_id,
            row.status_text,
            seconds_text(speech.seconds if speech else None),
            seconds_text(took),
            details=_details(row, root, speech),
            style=row.found.status if row.status_text == row.found.status else "conflict",
        )
    if only == "all" or any(found.shown(only)):
        output.listing(table.lines(output.width, output.paint))
        output.data()
    cost = f"; cost ${found.cost_usd:.4f}" if found.cost_usd else ""
    output.data(f"{counted(len(found.rows), 'job')}: {summary_text(found.summary_text)}{cost}")
    if found.eta is not None:
        waiting = counted(len(found.lines), "job")
        output.data(f"{waiting} in line: the last is done in about {span_text(found.eta.document())}")


def _details(row: outcomes.ReportRow, root: Path, speech: outcomes.Speech | None) -> list[str]:
    record = row.found.record or {}
    if speech is not None:
        more = f"  (and {counted(speech.others, 'take')} beside it)" if speech.others else ""
        return [outcomes.published_path(root, record, speech) + more]
    if row.found.status == "failed":
        return [f"{record.get('error_type', 'unknown')}: {str(record.get('error', ''))[:200]}"]
    if row.found.status == "cancelled":
        # Its record has the kind of an error too; to a person it is none.
        return [str(record.get("error", ""))[:200]]
    progress = row.found.progress or {}
    return [f"{progress['percent']:g} % {progress.get('message') or ''}".rstrip()] if "percent" in progress else []


def _next_steps(found: outcomes.Report, files: str, target: str) -> list[str]:
    steps: list[str] = []
    if found.outdated:
        steps.append(
            f"{outcomes.OTHER_CONTENT}: {counted(found.outdated, 'job')} changed in the file since; "
            f"`job-runner enqueue {files}{target} --replace` makes what is finished anew"
        )
    if found.missing:
        steps.append(after_loss(found.missing, files))
    command = f"enqueue {files}{target}" if found.content_known else f"enqueue-beatsheet {files} --voice VOICE"
    if "not_found" in found.summary:
        steps.append(f"not_found: `job-runner {command}` puts them into the queue")
    failed = [row for row in found.rows if row.found.status == "failed" and row.current is not False]
    steps += after_failure(
        ((row.request_id, str((row.found.record or {}).get("error_type", "unknown"))) for row in failed),
        files,
        command,
    )
    if found.summary.keys() & {"queued", "delayed", "leased"}:
        steps.append("next: `job-runner watch` follows the rest; `job-watcher` works on it")
    return steps
