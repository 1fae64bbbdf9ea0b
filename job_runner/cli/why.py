"""`job-runner why`: what stands in a job's way."""

import typer

from job_runner.cli.advice import after_failure, no_such_job, typed
from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, RequestId
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import span_text
from job_runner.service.why import Why
from job_runner.service.why import why as ask
from lib.calling import as_called
from lib.command_line.output import Output
from lib.terminal import clean

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner why topic:beat-001
  job-runner why topic:beat-001 --json | jq .blockers

Exit code 4 when nothing is known about the id.
"""


@app.command(epilog=EXAMPLES)
def why(  # the shared flags
    request_id: RequestId,
    *,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Say why a job is where it is: what is in its way, and what to do about it."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    answer = with_queue(settings, lambda queue: ask(queue, settings, request_id))
    if json:
        output.document(answer.document())
    if answer.found.status == "not_found":
        raise no_such_job(request_id)
    if not json:
        _show(answer, output)


def _show(answer: Why, output: Output) -> None:
    found = answer.found
    output.data(f"{clean(found.request_id)}: {found.status}")
    for number, blocker in enumerate(answer.blockers, start=1):
        mend = f"; {as_called(blocker.mend)}" if blocker.mend else ""
        output.sentence(f"  {number}. {clean(blocker.says + mend)}", indent=5)
    for view in answer.backends:
        output.sentence(f"  {view.backend:<6} {'takes it' if view.takes else 'refuses'}: {clean(view.says)}", indent=9)
    if answer.eta is not None and answer.before is not None:
        besides = f"; {answer.eta_says}" if answer.eta_says else ""
        eta = span_text(answer.eta.document())
        output.sentence(f"  number {answer.before + 1} to go, done in about {eta}{besides}", indent=4)
    elif answer.eta_says:
        output.sentence(f"  no ETA: {answer.eta_says}", indent=4)
    progress = found.progress or {}
    if "percent" in progress:
        output.data(f"  {progress['percent']:g} % {clean(str(progress.get('message') or ''))}".rstrip())
    record = found.record or {}
    if found.status == "done":
        output.data(f"  finished at {clean(str(record.get('completed_at', '?')))}")
        output.say(f"next: `job-runner result {typed([found.request_id])}` shows what it made")
    elif found.status == "failed":
        kind, stage, error = (str(record.get(name, "?")) for name in ("error_type", "stage", "error"))
        output.data(f"  {clean(kind)} at {clean(stage)}: {clean(error)}")
        for step in after_failure([(found.request_id, str(record.get("error_type", "unknown")))]):
            output.say(step)
    elif found.status == "cancelled":
        output.data(f"  cancelled at {clean(str(record.get('failed_at', '?')))}")
        output.say(f"next: `job-runner retry {typed([found.request_id])}` queues it again")
