"""`job-runner enqueue`: job files into the queue."""

from typing import Annotated, Final

import typer

from job_runner.cli.advice import no_jobs_in, typed
from job_runner.cli.options import AnyVoice, JobFiles, Json, NoColor, Quiet, RedisUrl
from job_runner.cli.output import Output
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import Table, counted, summary_text
from job_runner.service.jobfiles import jobs_of
from job_runner.service.place import server_text
from job_runner.service.submit import Enqueued
from job_runner.service.submit import enqueue as submit_jobs
from job_runner.service.voicing import Voicing
from lib.errors import InvalidJobsError
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

_IDS_MAX: Final = 5

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
    any_voice: AnyVoice = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Put the jobs of files into the queue, each once by its request_id."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    backlog = DEFAULT_BACKLOG if target is None else parse_backlog(target)
    voicing = Voicing()
    try:
        with jobs_of(files, settings, inspect=None if any_voice else voicing.problems) as jobs:
            done = with_queue(
                settings, lambda queue: submit_jobs(queue, settings, jobs, backlog=backlog, replace=replace)
            )
    except InvalidJobsError as exc:
        if voicing.refused:
            exc.hint = f"{exc.hint}; --any-voice takes voices that only the watcher's machine has"
        raise
    if json:
        output.document(done.document())
    elif not done.rows:
        output.say(no_jobs_in(files))
    else:
        _show(done, output)
    output.say(f"server: {server_text(settings)}")
    if done.short_of_replicas:
        output.warn(
            f"accepted, but on {done.reached} of {done.durability.replicas} replicas; run it again to have it confirmed"
        )
    for line in _next_steps(done, typed(files)):
        output.say(line)
    if done.refused or done.short_of_replicas:
        raise typer.Exit(1)


def _show(done: Enqueued, output: Output) -> None:
    table = Table(("REQUEST ID", "STATUS"), ("left", "left"))
    for row in done.rows:
        table.row(row.request_id, row.status)
    for line in table.lines(output.width, output.paint):
        output.data(line)
    output.data()
    output.data(f"{counted(len(done.rows), 'job')}: {summary_text(done.summary)} (durability: {done.durability_text})")


def _next_steps(done: Enqueued, files: str) -> list[str]:
    """What a person may want to do now, one line for each status that calls for something."""
    seen = done.summary
    steps: list[str] = []
    if "queued" in seen:
        steps.append("next: run `job-watcher` to work on them, `job-runner watch` to follow")
    elif seen.keys() and seen.keys() <= {"already_done"}:
        steps.append(f"nothing to do: {_all_of(len(done.rows))} done already, with this content")
    if "duplicate_request" in seen:
        steps.append(
            "duplicate_request: in the queue already with the same content, so not queued twice; "
            "`job-runner status` shows the queue"
        )
    if "key_busy" in seen:
        steps.append("key_busy: another job holds the conflict_key; run again later, or write `on_conflict: queue`")
    if "already_failed" in seen:
        steps.append("already_failed: see why with `job-runner result ID`, then `job-runner retry ID`")
    if "already_cancelled" in seen:
        steps.append("already_cancelled: `job-runner retry ID` queues it again")
    if "already_done" in seen:
        steps.append(f"already_done: `job-runner report {files}` shows where the results are")
    return steps + _about_conflicts(done, files)


def _about_conflicts(done: Enqueued, files: str) -> list[str]:
    """A conflict's mend depends on how the other job of that name stands."""
    active = [each for each, status in done.in_the_way.items() if status in {"queued", "leased", "delayed"}]
    ended = len(done.in_the_way) - len(active)
    steps: list[str] = []
    if active:
        shown = typed(active[:_IDS_MAX]) + (" …" if len(active) > _IDS_MAX else "")
        steps.append(
            f"conflict: still waiting or running with other content; `job-runner cancel {shown}`, then "
            f"`job-runner enqueue {files} --replace`; or let it end first"
        )
    if ended:
        steps.append(
            f"conflict: ended before with other content; `job-runner enqueue {files} --replace` makes it anew, "
            "or give the job another request_id"
        )
    return steps


def _all_of(number: int) -> str:
    return "the one job is" if number == 1 else f"all {number} jobs are"
