"""`job-runner cache`: why a job was made or taken from an earlier one, and clearing what is out of date."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from job_runner.cli.advice import no_such_job
from job_runner.cli.options import Json, NoColor, Quiet, RedisUrl, RequestId
from job_runner.cli.running import settings_of, with_queue
from job_runner.cli.tables import counted
from job_runner.service import caching
from lib.command_line.output import Output
from lib.errors import InvalidInputError
from lib.settings import Settings
from lib.terminal import clean

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

EXAMPLES = """\b
Examples:
  job-runner cache explain topic:beat-001
  job-runner cache gc
  job-runner cache gc --older-than 90d
"""

EXPLAIN_EXAMPLES = """\b
Examples:
  job-runner cache explain topic:beat-001
  job-runner cache explain topic:beat-001 --json | jq .nearest.differs

Exit code 4 when nothing is known about the id.
"""

GC_EXAMPLES = """\b
Examples:
  job-runner cache gc
  job-runner cache gc --older-than 90d

An entry says which job has files of a key. It is dropped when these are gone, or have another size; with --older-than
also when it was made before. Sentences of chunked speech that this machine keeps are dropped beyond
SENTENCE_CACHE_BYTES, and with --older-than those that were not used since. No file of any job is removed, so nothing
that a record names is lost: at the most, something is spoken once more.
"""

_AGE: Final = re.compile(r"([1-9][0-9]{0,8})([smhdw])")
_MIB: Final = 1 << 20
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

OlderThan = Annotated[
    str | None,
    typer.Option(
        "--older-than",
        metavar="AGE",
        help="Also what was made, or used, so long ago: 12h, 30d, 8w.",
        show_default=False,
    ),
]


@app.callback(epilog=EXAMPLES)
def cache() -> None:
    """See why a job was made or taken from an earlier one, and clear what is out of date."""


@app.command(epilog=EXPLAIN_EXAMPLES)
def explain(  # the shared flags
    request_id: RequestId,
    *,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Say why a job took an earlier one's files, or why it did not.

    It names the parts of its key that differ from those of the nearest earlier job.
    """
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = settings_of(redis_url)
    answer = with_queue(settings, lambda queue: caching.explain(queue, settings, request_id))
    if json:
        output.document(answer.document())
    if answer.found.status == "not_found":
        raise no_such_job(request_id)
    if not json:
        _show(answer, output)


@app.command(epilog=GC_EXAMPLES)
def gc(*, older_than: OlderThan = None, json: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Drop entries without files, and sentences beyond their bound.

    It removes no file of any job.
    """
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    before = None if older_than is None else datetime.now(UTC) - _age(older_than)
    done = asyncio.run(caching.clear(Settings.load(), before))
    entries, sentences = done.entries, done.sentences
    if json:
        output.document(
            {
                "entries": entries.entries,
                "dropped": entries.dropped,
                "kept": entries.entries - entries.dropped,
                "gone": entries.gone,
                "old": entries.old,
                "unreadable": entries.unreadable,
                "sentences": {
                    "dropped": sentences.dropped,
                    "kept": sentences.kept.clips,
                    "bytes": sentences.kept.bytes,
                },
            }
        )
        return
    output.data(
        f"{entries.entries} {'entry' if entries.entries == 1 else 'entries'}: {entries.dropped} dropped "
        f"({entries.gone} without their files, {entries.old} old, {entries.unreadable} unreadable)"
    )
    output.data(
        f"{counted(sentences.kept.clips + sentences.dropped, 'sentence')} in {clean(str(done.folder))}: "
        f"{sentences.dropped} dropped, {sentences.kept.bytes / _MIB:.1f} MiB kept"
    )


def _show(answer: caching.Explained, output: Output) -> None:
    output.data(f"{clean(answer.found.request_id)}: {answer.found.status}, {answer.verdict.replace('_', ' ')}")
    output.sentence(f"  {clean(answer.says)}", indent=2)
    if answer.key is not None:
        output.data(f"  key:     {answer.key}")
    near = answer.nearest
    if near is None:
        return
    output.data(f"  nearest: {clean(near.request_id)}, made {near.made_at:%Y-%m-%d %H:%M}")
    for each in near.differs:
        values = "" if each.this is None and each.other is None else f": {each.this}, there {each.other}"
        output.sentence(f"    {clean(each.part + values)}", indent=6)


def _age(text: str) -> timedelta:
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise InvalidInputError(
            f"--older-than {text!r} is no age", hint="write a whole number and s, m, h, d or w, as 30d"
        )
    try:
        age = timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
        datetime.now(UTC) - age
    except OverflowError:
        raise InvalidInputError(f"--older-than {text!r} is before all times", hint="write less, as 30d") from None
    return age
