"""`job-runner enqueue`: job files into the queue."""

from typing import Annotated

import typer

from job_runner.cli.options import JobFiles, Json, NoColor, Quiet, RedisUrl
from job_runner.cli.output import Output
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted, summary_text
from job_runner.service.jobfiles import jobs_of
from job_runner.service.place import server_text
from job_runner.service.submit import Enqueued
from job_runner.service.submit import enqueue as submit_jobs
from lib.redisqueue.keys import DEFAULT_BACKLOG, parse_backlog

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner enqueue jobs.yaml
  job-runner enqueue monday.yaml tuesday.yaml --target backlog:news
  job-runner enqueue jobs.yaml --replace      after a text was changed

Running it again is safe: what is queued or done already says so. Exit code 1 when a job was refused (conflict,
key_busy); the others are queued all the same. A file with mistakes queues nothing (exit code 2).
"""

Target = Annotated[
    str | None, typer.Option("--target", metavar="backlog:NAME", help="A named backlog instead of the default one.")
]
Replace = Annotated[
    bool, typer.Option("--replace", help="Start finished jobs whose content has changed again, with the new content.")
]


@app.command(epilog=EXAMPLES)
def enqueue(
    files: JobFiles,
    *,
    target: Target = None,
    replace: Replace = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Put the jobs of files into the queue, each once by its request_id."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    backlog = DEFAULT_BACKLOG if target is None else parse_backlog(target)
    with jobs_of(files, settings) as jobs:
        done = with_queue(settings, lambda queue: submit_jobs(queue, settings, jobs, backlog=backlog, replace=replace))
    if json:
        output.document(done.document())
    else:
        _show(done, output)
    output.say(f"server: {server_text(settings)}")
    if done.short_of_replicas:
        output.warn(
            f"accepted, but on {done.reached} of {done.durability.replicas} replicas; run it again to have it confirmed"
        )
    for line in _next_steps(done, " ".join(str(file) for file in files), replace=replace):
        output.say(line)
    if done.refused or done.short_of_replicas:
        raise typer.Exit(1)


def _show(done: Enqueued, output: Output) -> None:
    if not done.rows:
        output.say("no jobs in there")
        return
    table = Table(("REQUEST ID", "STATUS"), ("left", "left"))
    for row in done.rows:
        table.row(row.request_id, row.status)
    for line in table.lines(output.width, output.paint):
        output.data(line)
    output.data()
    output.data(f"{counted(len(done.rows), 'job')}: {summary_text(done.summary)} (durability: {done.durability_text})")


def _next_steps(done: Enqueued, files: str, *, replace: bool) -> list[str]:
    """What a person may want to do now, one line for each status that calls for something."""
    seen = done.summary
    steps: list[str] = []
    if "queued" in seen:
        steps.append("next: run `job-watcher` to work on them, `job-runner watch` to follow")
    if "conflict" in seen and replace:
        steps.append("conflict: still active under this request_id with other content; cancel it first, or wait")
    elif "conflict" in seen:
        steps.append(
            "conflict: this request_id is known with other content; "
            "run again with --replace to make it anew, or give the job another request_id"
        )
    if "key_busy" in seen:
        steps.append("key_busy: another job holds the conflict_key; run again later, or write `on_conflict: queue`")
    if "already_failed" in seen:
        steps.append("already_failed: see why with `job-runner result ID`, then `job-runner retry ID`")
    if "already_cancelled" in seen:
        steps.append("already_cancelled: `job-runner retry ID` queues it again")
    if "already_done" in seen:
        steps.append(f"already_done: `job-runner report {files}` shows where the results are")
    return steps
