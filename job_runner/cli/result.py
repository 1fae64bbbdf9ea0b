"""`job-runner result`: one job."""

import json as json_text
from typing import TYPE_CHECKING, Any

import typer

from job_runner.cli.advice import after_failure, after_loss, no_such_job, typed
from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, RequestId
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import seconds_text, span_text
from job_runner.service import outcomes
from job_runner.service.outputs_here import OutputsHere, lacks_a_file
from lib.command_line.output import Output
from lib.redisqueue.reader import Found
from lib.terminal import clean

if TYPE_CHECKING:
    from job_runner.service.eta import InLine

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner result topic:beat-001
  job-runner result topic:beat-001 --json | jq .record.outputs

`done (file missing)`: what it made is not on this machine any more, or has another size than it was made with.
Exit code 4 when nothing is known about the id.
"""

_SHOWN = (
    "task",
    "backend",
    "attempt",
    "error_type",
    "stage",
    "error",
    "queued_at",
    "completed_at",
    "failed_at",
)
_ANNOTATE = "annotate"
# The record of a cancelled job has these too, with values that tell of a failure; it is none.
_OF_FAILURES = frozenset({"error_type", "stage"})


@app.command(epilog=EXAMPLES)
def result(  # the shared flags
    request_id: RequestId,
    *,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Show what became of one job."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    found, line = with_queue(
        settings, lambda queue: outcomes.result_in_line(queue, request_id, settings, OutputsHere.of(settings))
    )
    if found.status == "not_found":
        if json:
            output.document(outcomes.result_document(found))
        raise no_such_job(request_id)
    if json:
        output.document(outcomes.result_document(found, line))
        return
    for name, value in [*_lines(found), *_in_line(line)]:
        output.data(f"{name + ':':<14} {value}")
    for step in _next_steps(found):
        output.say(step)


def _lines(found: Found) -> list[tuple[str, str]]:
    lines = [("request_id", clean(found.request_id)), ("status", outcomes.status_text(found))]
    if found.row is not None:
        return lines + _active(found)
    record = found.record or {}
    lines += [(kind, clean(path)) for kind, path in _outputs(record)]
    cancelled = found.status == "cancelled"
    for name in _SHOWN:
        value = record.get(name)
        if value not in (None, "") and not (cancelled and name in _OF_FAILURES):
            shown = "cancelled_at" if cancelled and name == "failed_at" else name
            lines.append((shown, clean(str(value))))
    if "duration_sec" in record:
        lines.append(("took", seconds_text(record["duration_sec"])))
    lines += _cost(record)
    return lines + _result_lines(record.get("result"))


def _cost(record: dict[str, Any]) -> list[tuple[str, str]]:
    """What was paid for it; of a kind of job that may cost money also that nothing was."""
    cost = record.get("cost") or {}
    usd = cost.get("usd")
    if isinstance(usd, int | float) and usd > 0:
        # As many digits as a thousand tokens of the cheapest model need.
        paid = f"${usd:.6f}".rstrip("0").ljust(len("$0.00"), "0")
        return [("cost", f"{paid}{_share(cost)}")]
    # What was made already, and what ran on a host of one's own, says that it cost 0.
    free = "usd" in cost or (record.get("task") == _ANNOTATE and record.get("status") == "done")
    return [("cost", "nothing was paid")] if free else []


def _share(cost: dict[str, Any]) -> str:
    """Of which bill it is a part, where a machine was paid for and not the job."""
    if "share_of" not in cost:
        return ""
    seconds = cost.get("seconds")
    lasted = f" of {seconds:g} s" if isinstance(seconds, int | float) else ""
    return (
        f", its share{lasted} of rented machine {clean(str(cost['share_of']))}; start-up and idle time are in the bill"
    )


def _result_lines(result_part: Any) -> list[tuple[str, str]]:
    """What the task gave back, a line for each of its fields; deeper parts as JSON."""
    if result_part in (None, {}):
        return []
    if not isinstance(result_part, dict):
        return [("result", clean(_as_text(result_part)))]
    return [(name or "result", _as_text(value)) for name, value in _flat(result_part)]


def _flat(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    lines: list[tuple[str, Any]] = []
    for name, value in fields.items():
        if isinstance(value, dict) and value:
            parts = ", ".join(f"{key} {_as_text(part)}" for key, part in value.items() if part is not None)
            lines.append((clean(name), parts))
        elif isinstance(value, list) and value:
            lines += [(clean(name), "; ".join(_item_text(item) for item in value))]
        elif value not in (None, [], {}):
            lines.append((clean(name), value))
    return lines


def _item_text(item: Any) -> str:
    if isinstance(item, dict):
        return ", ".join(f"{key} {_as_text(part)}" for key, part in item.items())
    return _as_text(item)


def _as_text(value: Any) -> str:
    return clean(value) if isinstance(value, str) else json_text.dumps(value, ensure_ascii=True)


def _active(found: Found) -> list[tuple[str, str]]:
    assert found.row is not None  # noqa: S101 - the caller looked
    lines = [("attempt", str(found.row.attempts_used + 1))]
    if found.row.reason and found.row.state == "delayed":
        lines.append(("waits for", {"run_after": "its time", "retry": "its next try"}.get(found.row.reason, "its key")))
    if found.row.state == "queued":
        lines.append(("waits in", found.row.stream))
    if found.row.session:
        lines.append(("watcher", found.row.session.partition(":")[0]))
    progress = found.progress or {}
    if "percent" in progress:
        lines.append(("progress", f"{progress['percent']:g} % {clean(str(progress.get('message') or ''))}".rstrip()))
    return lines


def _in_line(line: "InLine | None") -> list[tuple[str, str]]:
    if line is None:
        return []
    done = [] if line.eta is None else [("done in", f"about {span_text(line.eta.document())}")]
    return [("in line", f"number {line.before + 1}"), *done]


def _outputs(record: dict[str, Any]) -> list[tuple[str, str]]:
    outputs = record.get("outputs") or {}
    named = [("best", outputs.get("best")), *(("take", take) for take in outputs.get("takes") or ())]
    return [
        (kind, outcomes.opened_path(entry) + ("  (missing)" if entry.get("missing") else ""))
        for kind, entry in named
        if entry
    ]


def _next_steps(found: Found) -> list[str]:
    if lacks_a_file(found.record):
        return [after_loss(1)]
    if found.status == "failed":
        return after_failure([(found.request_id, str((found.record or {}).get("error_type", "unknown")))])
    if found.status == "cancelled":
        return [f"next: `job-runner retry {typed([found.request_id])}` queues it again"]
    if found.status in {"queued", "delayed", "leased"}:
        return ["next: `job-runner watch` follows it"]
    return _after_annotating(found.record or {})


def _after_annotating(record: dict[str, Any]) -> list[str]:
    """Where the annotations are, which no record holds."""
    made = record.get("result")
    if record.get("task") != _ANNOTATE or not isinstance(made, dict) or "version" not in made:
        return []
    of_version = f"--corpus CORPUS --version {typed([clean(str(made['version']))])}"
    steps = [f"next: `job-runner workflow gap-fill export {of_version}` hands out the annotations"]
    if made.get("failed"):
        plan = "`job-runner workflow gap-fill plan … --retry-failed`"
        steps.append(f"records failed: {plan} with the flags of its plan plans them again")
    return steps
