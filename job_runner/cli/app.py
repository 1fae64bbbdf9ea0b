"""Entry of `job-runner`: the commands by name, loaded lazily, and the one error boundary.

`job-runner --help` imports no command: names and one-line helps stand here, and a test compares them with the
modules. What a command raises becomes a message and an exit code in `main` and nowhere else.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import typer.core
import typer.main

from job_runner.cli.output import Output
from lib.calling import examples_as_called, program_as_called
from lib.dotenv_lines import bad_lines_told
from lib.errors import InvalidJobsError, JobRunnerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.redaction import Redactor

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
    "server": "Start, stop or look at the bundled Redis-compatible server.",
    "doctor": "Check Redis, voices and this machine; one line each, with the mend.",
}

EXIT_ERROR: Final = 1
EXIT_INTERRUPTED: Final = 130
DEBUG_VARIABLE: Final = "JOB_RUNNER_DEBUG"
_COMPLETE_VARIABLE: Final = "_JOB_RUNNER_COMPLETE"

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


class LazyGroup(typer.core.TyperGroup):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is the library's
        """Every name, in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is the library's
        """The command, imported now; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"job_runner.cli.{cmd_name.replace('-', '_')}")
        return _as_called(typer.main.get_command(module.app))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """As the parent does; it takes the near names of a mistyped one from the keys of `commands`."""
        self.commands = dict.fromkeys(COMMANDS, self)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is the library's
        """The list of the help, out of COMMANDS."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


app = typer.Typer(
    cls=LazyGroup,
    name="job-runner",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)


def _as_called(command: Any) -> Any:
    """The command with the examples of its help, and of those below it, as the reader can type them."""
    command.epilog = examples_as_called(command.epilog or "")
    for below in getattr(command, "commands", {}).values():
        below.epilog = examples_as_called(below.epilog or "")
    return command


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the console script's entry."""
    for stream in (sys.stdout, sys.stderr):
        # An id with odd bytes must not end a listing of a thousand others.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # the standard streams are TextIOWrapper
    output = Output(no_color="--no-color" in (argv if argv is not None else sys.argv))
    try:
        command = _as_called(typer.main.get_command(app))
        with bad_lines_told(output.warn):
            code = command.main(
                args=argv,
                prog_name=program_as_called("job-runner"),
                complete_var=_COMPLETE_VARIABLE,
                standalone_mode=False,
            )
    except typer.TyperException as exc:
        usage = io.StringIO()
        exc.show(file=usage)  # type: ignore[attr-defined]  # every kind that parsing raises has it; the base lacks it in the stubs
        sys.stderr.write(_redactor()(usage.getvalue()))
        return exc.exit_code
    except (KeyboardInterrupt, typer.Abort):
        output.say("\ninterrupted")
        return EXIT_INTERRUPTED
    except JobRunnerError as exc:
        if _debugging():
            _hide_secrets_of_tracebacks()
            raise
        _explain(exc, output)
        return exc.exit_code
    except Exception as exc:
        if _debugging():
            _hide_secrets_of_tracebacks()
            raise
        _explain(
            JobRunnerError(
                f"this should not happen: {type(exc).__name__}: {exc}",
                hint="run it again with `job-runner --debug …` and report what it prints",
            ),
            output,
        )
        return EXIT_ERROR
    return code if isinstance(code, int) else 0


def _explain(error: JobRunnerError, output: Output) -> None:
    redact = _redactor()
    if isinstance(error, InvalidJobsError):
        for problem in error.problems:
            output.line_of_error(redact(str(problem)))
    output.fail(JobRunnerError(redact(error.message), hint=redact(error.hint) if error.hint else None))


def _redactor() -> Redactor:
    from lib.redaction import this_process  # noqa: PLC0415 - --help must not pay for it
    from lib.settings import process_environment  # noqa: PLC0415 - ditto

    return this_process(process_environment)


def _hide_secrets_of_tracebacks() -> None:
    from lib.redaction import excepthook  # noqa: PLC0415 - --help must not pay for it

    sys.excepthook = excepthook(_redactor())


def _debugging() -> bool:
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


if __name__ == "__main__":
    sys.exit(main())
