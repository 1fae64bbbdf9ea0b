"""Entry of `job-watcher`: flags, settings, logs, and the one error boundary."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lib.errors import InvalidInputError, JobRunnerError
from lib.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from job_watcher.display import Display
    from job_watcher.draining import Mode

EXIT_INTERRUPTED: Final = 130
BACKENDS: Final = ("metal",)

_EPILOG = """\b
Examples:
  job-watcher                         work until told to stop
  job-watcher --drain                 work until every job is done, then end
  job-watcher --consumer-name desk    a name of its own; a second one of it is refused
  job-watcher ping                    is a watcher of this state directory alive?

\b
Ctrl-C or SIGTERM once: finish what runs, then end. Twice: hand it back at once.
Exit codes: 0 ok; 1 a job failed (--drain, --once) or a name is taken; 2 bad usage
or settings; 3 Redis does not answer; 130 interrupted.
"""

app = typer.Typer(name="job-watcher", add_completion=True, rich_markup_mode=None, pretty_exceptions_enable=False)

RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", help="Server to use instead of REDIS_URL.", show_default=False)
]
ConsumerName = Annotated[
    str | None,
    typer.Option("--consumer-name", help="This watcher's name; default: host name and a number.", show_default=False),
]


@app.callback(invoke_without_command=True, epilog=_EPILOG)
def watch(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    *,
    backends: Annotated[str, typer.Option("--backends", help="Where jobs may run here: metal.")] = "metal",
    once: Annotated[bool, typer.Option("--once", help="Work off what waits now, then end.")] = False,
    drain: Annotated[bool, typer.Option("--drain", help="Work until all jobs are done, retries too.")] = False,
    consumer_name: ConsumerName = None,
    redis_url: RedisUrl = None,
    force: Annotated[bool, typer.Option("--force", help="Work even on a Redis that may evict jobs.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Log warnings and errors only.")] = False,
) -> None:
    """Lease jobs from the queue and run them on this machine."""
    if ctx.invoked_subcommand is not None:
        return
    _check_backends(backends)
    if once and drain:
        raise InvalidInputError("--once and --drain exclude each other", hint="--drain also waits for retries")
    settings = Settings.load(redis_url=redis_url)
    mode: Mode = "drain" if drain else "once" if once else "forever"
    with _shown(settings, mode, log_json=log_json, quiet=quiet) as display:
        raise typer.Exit(asyncio.run(_watch(settings, mode, consumer_name, display, force=force)))


async def _watch(settings: Settings, mode: Mode, consumer_name: str | None, display: Display, *, force: bool) -> int:
    from job_watcher.daemon import Daemon  # noqa: PLC0415 - --help must not pay for it

    daemon = Daemon(settings, mode=mode, consumer_name=consumer_name, display=display, force=force)
    tally = await daemon.run()
    if daemon.interrupted:
        return EXIT_INTERRUPTED
    return 1 if tally.failed and mode != "forever" else 0


@contextlib.contextmanager
def _shown(settings: Settings, mode: Mode, *, log_json: bool, quiet: bool) -> Iterator[Display]:
    """Bars at a terminal for a watcher that ends by itself, else the log."""
    from job_watcher.display import Bars, NoDisplay  # noqa: PLC0415 - --help must not pay for it
    from lib import logs  # noqa: PLC0415 - ditto

    level = "WARNING" if quiet else "INFO"
    if mode == "forever" or log_json or quiet or not sys.stderr.isatty():
        logs.configure(json_lines=log_json, level=level, secrets=settings.secret_values())
        yield NoDisplay()
        return
    from rich.console import Console  # noqa: PLC0415 - ditto
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        # After the start of the bars, which take stderr over, so that a warning is printed above them.
        logs.configure(level="WARNING", secrets=settings.secret_values(), stream=sys.stderr)
        yield Bars(progress)


def _check_backends(given: str) -> None:
    for name in given.split(","):
        if name.strip() not in BACKENDS:
            raise InvalidInputError(
                f"--backends: {name.strip()!r} is not known", hint=f"allowed here: {', '.join(BACKENDS)}"
            )


@app.command()
def ping(consumer_name: ConsumerName = None, redis_url: RedisUrl = None) -> None:
    """Say whether a watcher is alive: its session stands and its last round trip is recent."""
    from job_watcher.pinging import ping as ask  # noqa: PLC0415 - --help must not pay for it

    settings = Settings.load(redis_url=redis_url)
    answers = asyncio.run(ask(settings, consumer_name))
    for answer in answers:
        typer.echo(answer.text)
    raise typer.Exit(0 if any(answer.alive for answer in answers) else 1)


def main() -> None:
    """Run the command; every error becomes one message, a hint and an exit code here."""
    try:
        app()
    except JobRunnerError as exc:
        sys.stderr.write(f"error: {exc.message}\n")
        if exc.hint:
            sys.stderr.write(f"hint: {exc.hint}\n")
        raise SystemExit(exc.exit_code) from exc
    except KeyboardInterrupt as exc:
        raise SystemExit(EXIT_INTERRUPTED) from exc
