"""`job-runner enqueue`: job files into the queue."""

import typer

from job_runner.cli.advice import typed
from job_runner.cli.options import AnyVoice, JobFiles, Json, NoColor, Quiet, RedisUrl
from job_runner.cli.submitting import NoCache, Replace, Target, submit_and_tell
from lib.command_line.output import Output

app = typer.Typer(add_completion=False, rich_markup_mode=None)

EXAMPLES = """\b
Examples:
  job-runner enqueue jobs.yaml
  job-runner enqueue monday.yaml tuesday.yaml --target backlog:news
  job-runner enqueue jobs.yaml --replace      after a text was changed

With --replace the record of a finished job goes at the moment when its new generation is queued: if that is cancelled
or flushed, the old one does not come back, only its files stay.

A job whose like was made before, by the same model and voice, is given those files at no cost; with --no-cache, or
`cache: false` in the file, it is made anew.

Running it again is safe: what is queued or done already says so. Exit code 1 when a job was refused (conflict,
key_busy); the others are queued all the same. A file with mistakes queues nothing (exit code 2).
"""


@app.command(epilog=EXAMPLES)
def enqueue(  # noqa: PLR0913 - one parameter a flag
    files: JobFiles,
    *,
    target: Target = None,
    replace: Replace = False,
    any_voice: AnyVoice = False,
    no_cache: NoCache = False,
    redis_url: RedisUrl = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Put the jobs of files into the queue, each once by its request_id."""
    submit_and_tell(
        files,
        Output(as_json=json, quiet=quiet, no_color=no_color),
        f"enqueue {typed(files)}",
        target=target,
        replace=replace,
        any_voice=any_voice,
        redis_url=redis_url,
        anew=no_cache,
    )
