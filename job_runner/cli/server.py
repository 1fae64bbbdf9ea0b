"""`job-runner server`: the bundled Valkey of this state directory."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from job_runner.cli.options import Json, NoColor, Quiet
from job_runner.service.bundled import watchers_of_bundled
from lib import embedded
from lib.command_line.output import Output
from lib.errors import NotFoundError
from lib.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

EXAMPLES = """\b
Examples:
  job-runner server start
  job-runner server start --private       on a free port, kept there
  job-runner server start --fsync always  for JOBS_DURABILITY=fsynced
  job-runner server status --json
  job-runner server stop

It listens on 127.0.0.1 only and keeps its data under JOBS_STATE_DIR. Once it was started there, every command
without REDIS_URL means this server; while it is stopped they say so.
"""

Private = Annotated[bool, typer.Option("--private", help="On a free port: not 6379 even at first.")]
Port = Annotated[
    int | None, typer.Option("--port", min=1, max=65535, help="On this port; else that of last time, at first 6379.")
]
Fsync = Annotated[
    Literal["everysec", "always"] | None,
    typer.Option("--fsync", help="How often data is forced to disk.", show_default=False),
]


@app.callback(epilog=EXAMPLES)
def server() -> None:
    """Start, stop or look at the bundled Redis-compatible server."""


@app.command(epilog=EXAMPLES)
def start(
    *,
    private: Private = False,
    port: Port = None,
    fsync: Fsync = None,
    json: Json = False,
    quiet: Quiet = False,
    no_color: NoColor = False,
) -> None:
    """Start it, or say where it runs already."""
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = Settings.load()
    wanted = port or (None if private else embedded.last_port(settings.jobs_state_dir) or embedded.DEFAULT_PORT)
    started = asyncio.run(embedded.start(settings.jobs_state_dir, port=wanted, fsync=fsync))
    if json:
        output.document({"running": True, **asdict(started)})
        return
    output.data(f"{started.url}  (pid {started.pid}, fsync {started.fsync}, data in {started.dir})")
    if wanted not in {None, started.port}:
        output.say(f"it was running already, on port {started.port}; stop it first to move it")
    if settings.redis_url_source in {"flag", "environment"} and settings.redis_url != started.url:
        output.warn("REDIS_URL is set and names another server, which commands will use")


@app.command()
def stop(*, json: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Stop it; its data stays.

    Watchers wait until it is there again.
    """
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = Settings.load()
    alive = asyncio.run(watchers_of_bundled(settings.jobs_state_dir))
    if alive:
        number = "1 watcher is" if len(alive) == 1 else f"{len(alive)} watchers are"
        output.warn(f"{number} alive ({', '.join(alive)}) and can do nothing until it is started again")
    stopped = asyncio.run(embedded.stop(settings.jobs_state_dir))
    if json:
        output.document({"stopped": stopped})
        return
    output.data("stopped" if stopped else "none was running")


@app.command()
def status(*, json: Json = False, quiet: Quiet = False, no_color: NoColor = False) -> None:
    """Say whether it runs and where.

    Exit code 4 when it does not, also when it was killed; its log is named then.
    """
    output = Output(as_json=json, quiet=quiet, no_color=no_color)
    settings = Settings.load()
    found = asyncio.run(embedded.status(settings.jobs_state_dir))
    # `stop` takes the address away, so one that is there without a server was left by a server that was killed.
    died = found.server is None and settings.embedded_address_file.exists()
    if json:
        output.document(_document(found, died=died))
    if died:
        raise NotFoundError(
            f"the bundled server has died, it was not stopped; see {found.log_file}",
            hint="`job-runner server start` starts it again, with the data that it had on disk",
        )
    if found.server is None:
        raise NotFoundError("the bundled server does not run", hint="start it with `job-runner server start`")
    if not json:
        answers = "answers" if found.answers else "DOES NOT ANSWER"
        output.data(
            f"{found.server.url}  {answers}  (pid {found.server.pid}, fsync {found.server.fsync}, "
            f"since {found.server.started_at})"
        )
    if not found.answers:
        output.warn(f"it does not answer; see {found.log_file}")
        raise typer.Exit(1)


def _document(found: embedded.EmbeddedStatus, *, died: bool) -> dict[str, Any]:
    about = {} if found.server is None else asdict(found.server)
    running = found.server is not None
    return {"running": running, "died": died, "answers": found.answers, "log_file": str(found.log_file), **about}
