"""Entry of `job-runner`: the commands by name, loaded lazily, and the one error boundary.

`job-runner --help` imports no command: names and one-line helps stand here, and a test compares them with the
modules. What a command raises becomes a message and an exit code in `main` and nowhere else.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lib.command_line.boundary import DEBUG_VARIABLE, Program
from lib.command_line.groups import lazy_group
from lib.command_line.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence


COMMANDS: Final[dict[str, str]] = {
    "plan": "Check job files and show what they would cost; needs no Redis.",
    "enqueue": "Put the jobs of files into the queue, each once by its request_id.",
    "enqueue-beatsheet": "Put the beats of a beatsheet into the queue, each as one speech job.",
    "compile": "Write job files as a folder of texts with a manifest, to execute anywhere; needs no Redis.",
    "execute-manifest": "Make the audio of a compiled folder on this machine; needs no Redis.",
    "run": "Make the audio of job files at once, on this machine; needs no Redis.",
    "logs": "Show the latest execution.json of a run without a queue.",
    "status": "Show what waits, what runs, who works and how long it will take.",
    "watch": "Follow the queue live: progress bars, lanes, rate and ETA.",
    "report": "Show what became of the jobs of files, with the paths of what they made.",
    "history": "List the newest finished jobs, newest first.",
    "result": "Show what became of one job.",
    "why": "Say why a job is where it is: what is in its way, and what to do about it.",
    "retry": "Queue failed or cancelled jobs again.",
    "cancel": "End jobs: waiting ones at once, running ones within seconds.",
    "flush": "Empty the queue.",
    "instances": "Show rented machines and their bills, and end them.",
    "offers": "Show which machine would be rented now, and why.",
    "cache": "See why a job was made or taken from an earlier one, and clear what is out of date.",
    "dispatch": "Put the tasks of a manifest into a backlog, each once.",
    "verify": "Check that every task of a manifest is done, with a sound receipt.",
    "workflow": "Plan work of a known kind, as a manifest to dispatch.",
    "server": "Start, stop or look at the bundled Redis-compatible server.",
    "doctor": "Check Redis, voices and this machine; one line each, with the mend.",
}

_EPILOG: Final = """\b
Start here:
  job-runner server start            a server, if there is no Redis yet
  job-runner enqueue jobs.yaml       put jobs in
  job-watcher                        work on them
  job-runner report jobs.yaml        see what became of them

\b
Exit codes: 0 ok; 1 jobs failed or were refused; 2 bad usage or input;
3 Redis or another service does not answer; 4 not found; 130 interrupted.
Errors are told on stderr. With --json, stdout holds one document or nothing:
a document also where a file has mistakes (plan) or an id is not known.
"""


def _load(name: str) -> typer.Typer:
    module = importlib.import_module(f"job_runner.cli.{name.replace('-', '_')}")
    found: typer.Typer = module.app
    return found


app = typer.Typer(
    cls=lazy_group(COMMANDS, _load),
    name="job-runner",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the library calls it so
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that only --version needs

        Output().data(f"job-runner {version('job-runner')}")
        raise typer.Exit


def _set_debug(wanted: bool) -> None:  # noqa: FBT001 - the library calls it so
    if wanted:
        os.environ[DEBUG_VARIABLE] = "1"


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")]
Debug = Annotated[bool, typer.Option("--debug", callback=_set_debug, help="Show tracebacks of errors.")]


@app.callback()
def _root(*, version: Version = False, debug: Debug = False) -> None:
    """Queue batches of AI work (speech first) and see what became of them."""


PROGRAM: Final = Program("job-runner", app, debug="run it again with `job-runner --debug …` and report what it prints")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the console script's entry."""
    return PROGRAM.run(argv, Output(no_color="--no-color" in (argv if argv is not None else sys.argv)))


if __name__ == "__main__":
    sys.exit(main())
