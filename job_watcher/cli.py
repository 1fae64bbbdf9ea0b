"""Entry of `job-watcher`: flags, settings, logs, and the one error boundary."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, NoReturn

import typer

from job_watcher.commands import reap as reaping
from job_watcher.commands import simulate as simulating
from lib.command_line.boundary import EXIT_ERROR, EXIT_INTERRUPTED, Program
from lib.command_line.output import Output
from lib.command_line.server_url_option import checked_server_url
from lib.errors import InvalidInputError
from lib.redaction import redacted_streams, this_process
from lib.redisqueue.keys import parse_backlog
from lib.routing.view import BACKENDS
from lib.setting_fields.compute import POLICIES, RATE_LEAST, RATE_MOST
from lib.settings import Settings, process_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from job_watcher.daemon import Role
    from job_watcher.display import Display
    from job_watcher.draining import Mode
    from job_watcher.metrics.address import Address
    from job_watcher.outcomes import Tally
    from lib.redaction import Redactor


_EPILOG = """\b
Examples:
  job-watcher                        work until told to stop
  job-watcher --drain                work until all is done, then end
  job-watcher --backends metal,cloud here and on the cloud
  job-watcher --backends metal,vast  here and on rented machines
  job-watcher --consumer-name desk   under a name that no other has
  job-watcher ping                   is a watcher from here alive?

\b
Ctrl-C or SIGTERM once: finish what runs, then end.
Twice: hand it back at once.
Exit codes: 0 ok; 1 a job failed (--drain, --once) or a name is taken;
2 bad usage or settings; 3 Redis does not answer; 130 interrupted.
"""

_CONDUCT_EPILOG = """\b
Examples:
  job-watcher conduct --backlog backlog:stress --rate-limit 2.0
  job-watcher conduct --policy deadline --log-json

\b
It says, each once per change: Fed Metal, Fed Cloud, M1 is full, trying
Gemini, Gemini near rate limit, Cloud Paused due to Rate Limit,
No compute available holding.
Watchers elsewhere do the work: job-watcher --backends metal,cloud
"""

app = typer.Typer(
    name="job-watcher",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the library calls it so
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that only --version needs

        typer.echo(f"job-watcher {version('job-runner')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")]

RedisUrl = Annotated[
    str | None, typer.Option("--redis-url", help="Server to use instead of REDIS_URL.", show_default=False)
]
ConsumerName = Annotated[
    str | None,
    typer.Option("--consumer-name", help="This watcher's name; default: host name and a number.", show_default=False),
]

MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=0, max=65535, help="Serve /metrics, /healthz and /readyz there.", show_default=False
    ),
]
MetricsHost = Annotated[str, typer.Option("--metrics-host", help="Address of this machine to serve them on.")]


@app.callback(invoke_without_command=True, epilog=_EPILOG)
def watch(  # noqa: PLR0913 - one parameter for each flag
    ctx: typer.Context,
    *,
    backends: Annotated[
        str, typer.Option("--backends", help="Where jobs may run: metal, cloud, vast, with commas.")
    ] = "metal",
    once: Annotated[bool, typer.Option("--once", help="Work off what waits now, then end.")] = False,
    drain: Annotated[
        bool, typer.Option("--drain", help="Work until all that is due within 15 minutes is done, retries too.")
    ] = False,
    consumer_name: ConsumerName = None,
    redis_url: RedisUrl = None,
    force: Annotated[bool, typer.Option("--force", help="Work even on a Redis that may evict jobs.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")] = False,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
    version: Version = False,  # noqa: ARG001 - its callback has done all
) -> None:
    """Lease jobs from the queue and run them on this machine."""
    if ctx.invoked_subcommand is not None:
        return
    chosen = _chosen_backends(backends)
    metrics = _metrics_address(metrics_port, metrics_host)
    if once and drain:
        raise InvalidInputError("--once and --drain exclude each other", hint="--drain also waits for retries")
    settings = Settings.load(redis_url=checked_server_url(redis_url))
    mode: Mode = "drain" if drain else "once" if once else "forever"

    def role() -> Role:
        from job_watcher.conductor import ConductorSetup  # noqa: PLC0415 - --help must not pay for it
        from job_watcher.daemon import Role  # noqa: PLC0415 - ditto

        return Role(chosen, ConductorSetup.of(settings))

    manner = _Manner(mode, consumer_name, force=force, log_json=log_json, quiet=quiet, metrics=metrics)
    _run(settings, role, manner)


@app.command(epilog=_CONDUCT_EPILOG)
def conduct(  # noqa: PLR0913 - one parameter for each flag
    *,
    backlog: Annotated[
        list[str] | None, typer.Option("--backlog", help="Only these, as backlog:NAME.", show_default="all")
    ] = None,
    rate_limit: Annotated[
        float | None,
        typer.Option("--rate-limit", help="Jobs a minute for the cloud.", show_default="CLOUD_TOKENS_PER_MIN"),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option("--policy", help="local-first, cheapest or deadline.", show_default="CONDUCTOR_POLICY"),
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="End when all that is due is done.")] = False,
    consumer_name: ConsumerName = None,
    redis_url: RedisUrl = None,
    force: Annotated[bool, typer.Option("--force", help="Work even on a Redis that may evict jobs.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON lines.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Log warnings and errors only.")] = False,
) -> None:
    """Only conduct: move jobs from backlogs to watchers, and say each decision. It runs no job itself.

    It takes the lead from a watcher that leads beside its work; when it ends, one of those leads again.
    """
    if rate_limit is not None and not RATE_LEAST <= rate_limit <= RATE_MOST:
        raise InvalidInputError(
            f"--rate-limit: {rate_limit:g} is no number of jobs a minute",
            hint=f"give one from {RATE_LEAST:g} to {RATE_MOST:g}; below 1 it is one job in 60 / N seconds",
        )
    if policy is not None and policy not in POLICIES:
        raise InvalidInputError(f"--policy: {policy!r} is not known", hint=f"allowed: {', '.join(POLICIES)}")
    given = {"CLOUD_TOKENS_PER_MIN": rate_limit, "CONDUCTOR_POLICY": policy}
    flags = {name: str(value) for name, value in given.items() if value is not None}
    settings = Settings.load({**process_environment(), **flags}, redis_url=checked_server_url(redis_url))
    backlogs = [parse_backlog(each) for each in backlog or ()]

    def role() -> Role:
        from job_watcher.conductor import ConductorSetup  # noqa: PLC0415 - --help must not pay for it
        from job_watcher.daemon import Role  # noqa: PLC0415 - ditto

        return Role((), ConductorSetup.of(settings, backlogs=backlogs, dedicated=True))

    _run(settings, role, _Manner("drain" if drain else "forever", consumer_name, force, log_json, quiet, bars=False))


@dataclass(frozen=True, slots=True)
class _Manner:
    """How a process goes on, and how it is shown."""

    mode: Mode
    consumer_name: str | None
    force: bool
    log_json: bool
    quiet: bool
    metrics: Address | None = None
    bars: bool = True


def _run(settings: Settings, role: Callable[[], Role], manner: _Manner) -> NoReturn:
    """Be a watcher until it ends, and say how it went."""
    mode, log_json, quiet = manner.mode, manner.log_json, manner.quiet
    begun = time.monotonic()
    redact = this_process(process_environment, settings.secret_values())
    with redacted_streams(redact), _shown(mode, redact, log_json=log_json, quiet=quiet, bars=manner.bars) as display:
        from job_watcher.daemon import Daemon  # noqa: PLC0415 - --help must not pay for it

        if not manner.bars:
            _log("Start of script")
        daemon = Daemon(
            settings,
            role=role(),
            mode=mode,
            consumer_name=manner.consumer_name,
            display=display,
            force=manner.force,
            metrics=manner.metrics,
            redact=redact,
        )
        asyncio.run(daemon.run())
    tally = daemon.tally
    if mode != "forever" and not quiet and manner.bars:
        _tell(_summary(tally, time.monotonic() - begun), log_json=log_json)
        if daemon.left:
            _tell(_left(daemon.left, mode), log_json=log_json)
    if mode != "forever" and not quiet and not manner.bars and not daemon.left:
        _log(_conducted(daemon.moved))
    if daemon.interrupted:
        _tell("interrupted", log_json=log_json)
        raise typer.Exit(EXIT_INTERRUPTED)
    raise typer.Exit(EXIT_ERROR if tally.failed and mode != "forever" else 0)


def _summary(tally: Tally, seconds: float) -> str:
    """The last line of a watcher that ended by itself."""
    if not tally.done and not tally.failed:
        return "no job ended here; see what there is with `job-runner status`"
    return f"{tally.done} done, {tally.failed} failed in {seconds:.1f} s; see them with `job-runner report FILE`"


def _conducted(moved: int) -> str:
    """The last line of a conductor that ended by itself; what nobody can run was said before."""
    what = {0: "no job was moved here", 1: "1 job was moved"}.get(moved, f"{moved} jobs were moved")
    return f"{what}, and none is left that a living watcher could run; see `job-runner status`"


def _left(count: int, mode: Mode) -> str:
    """What a watcher that was stopped before its end leaves."""
    jobs = "1 job is left; another" if count == 1 else f"{count} jobs are left; another"
    return f"{jobs} `job-watcher --{mode}` goes on with {'it' if count == 1 else 'them'}"


def _tell(text: str, *, log_json: bool) -> None:
    """A line for a person; among JSON lines one of them."""
    if not log_json:
        Output().say(text)
        return
    _log(text)


def _log(text: str) -> None:
    from loguru import logger  # noqa: PLC0415 - --help must not pay for it

    logger.info("{}", text)


@contextlib.contextmanager
def _shown(mode: Mode, redact: Redactor, *, log_json: bool, quiet: bool, bars: bool = True) -> Iterator[Display]:
    """Bars at a terminal for a watcher that ends by itself, else the log."""
    from job_watcher.display import Bars, NoDisplay  # noqa: PLC0415 - --help must not pay for it
    from job_watcher.draining import SOON_MS  # noqa: PLC0415 - ditto
    from lib import logs  # noqa: PLC0415 - ditto

    level = "WARNING" if quiet else "INFO"
    if not bars or mode == "forever" or log_json or quiet or not sys.stderr.isatty():
        logs.configure(json_lines=log_json, level=level, redact=redact)
        yield NoDisplay()
        return
    from rich.console import Console  # noqa: PLC0415 - ditto
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        # After the start of the bars, which take stderr over, so that a warning is printed above them.
        logs.configure(level="WARNING", redact=redact, stream=sys.stderr)
        yield Bars(progress, soon_ms=SOON_MS if mode == "drain" else 0)


def _metrics_address(port: int | None, host: str) -> Address | None:
    if port is None:
        return None
    from job_watcher.metrics.address import Address  # noqa: PLC0415 - only this flag needs it

    return Address(host, port)


def _chosen_backends(given: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in given.split(","))
    for name in names:
        if name not in BACKENDS:
            raise InvalidInputError(f"--backends: {name!r} is not known", hint=f"allowed here: {', '.join(BACKENDS)}")
    return names


@app.command()
def ping(
    consumer_name: ConsumerName = None,
    redis_url: RedisUrl = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")] = False,
) -> None:
    """Say whether a watcher is alive.

    It is when its session stands and its last round trip is recent; one of them is enough for exit code 0.
    Watchers that have ended, and dead ones that another has cleared away, are not listed.
    """
    from job_watcher.pinging import ping as ask  # noqa: PLC0415 - --help must not pay for it

    output = Output(as_json=json)
    settings = Settings.load(redis_url=checked_server_url(redis_url))
    answers = asyncio.run(ask(settings, consumer_name))
    alive = any(answer.alive for answer in answers)
    if json:
        output.document({"alive": alive, "watchers": [answer.document() for answer in answers]})
    elif not answers:
        output.data("no watcher of this state directory is alive")
    else:
        output.data("\n".join(answer.text for answer in answers))
    raise typer.Exit(0 if alive else 1)


app.command(epilog=simulating.EPILOG)(simulating.simulate)
app.command(epilog=reaping.EPILOG)(reaping.reap)

PROGRAM: Final = Program("job-watcher", app, tells_interrupts=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the console script's entry."""
    return PROGRAM.run(argv, Output())


if __name__ == "__main__":
    sys.exit(main())
