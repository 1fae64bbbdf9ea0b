"""The one error boundary of a program: what its commands raise becomes a message, a hint and an exit code here.

Nothing that is said of an error holds a secret, and nobody sees a traceback who did not ask for one.
"""

from __future__ import annotations

import io
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

from lib.calling import program_as_called
from lib.command_line.groups import command_as_called
from lib.dotenv_lines import bad_lines_told
from lib.errors import InvalidInputError, InvalidJobsError, JobRunnerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.command_line.output import Output
    from lib.redaction import Redactor

EXIT_ERROR: Final = 1
EXIT_INTERRUPTED: Final = 130
DEBUG_VARIABLE: Final = "JOB_RUNNER_DEBUG"


@dataclass(frozen=True, slots=True)
class Program:
    """A command line: its name, its commands, and what to type to see more of an unexpected error.

    `tells_interrupts` says that its commands tell of a Ctrl-C themselves, in a form of their own.
    """

    name: str
    app: typer.Typer
    debug: str = f"run it again with {DEBUG_VARIABLE}=1 in front and report what it prints"
    tells_interrupts: bool = False

    def run(self, argv: Sequence[str] | None, output: Output) -> int:
        """Run one command line; its exit code."""
        for stream in (sys.stdout, sys.stderr):
            # A name with odd bytes must not end a listing of a thousand others.
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # the standard streams are TextIOWrapper
        try:
            with bad_lines_told(output.warn):
                _tell_of_slips(sys.argv[1:] if argv is None else argv, output)
                code = command_as_called(self.app).main(
                    args=argv,
                    prog_name=program_as_called(self.name),
                    complete_var=f"_{self.name.upper().replace('-', '_')}_COMPLETE",
                    standalone_mode=False,
                )
        except typer.TyperException as exc:
            _say_usage(exc, output)
            return exc.exit_code
        except (KeyboardInterrupt, typer.Abort):
            _say_interrupted(output)
            return EXIT_INTERRUPTED
        except Exception as exc:
            if debugging():
                _hide_secrets_of_tracebacks()
                raise
            known = isinstance(exc, JobRunnerError)
            error = (
                exc
                if isinstance(exc, JobRunnerError)
                else JobRunnerError(f"this should not happen: {type(exc).__name__}: {exc}", hint=self.debug)
            )
            explain(error, output)
            return error.exit_code if known else EXIT_ERROR
        if code == EXIT_INTERRUPTED and not self.tells_interrupts:
            # The library turns a Ctrl-C in a command into a silent exit.
            _say_interrupted(output)
        return code if isinstance(code, int) else 0


def _tell_of_slips(argv: Sequence[str], output: Output) -> None:
    """Warn of variables that are nearly settings; not for help, nor for a shell that completes a word."""
    if not argv or not {"-h", "--help", "--version"}.isdisjoint(argv) or _completes():
        return
    from lib.setting_slips import misspelt  # noqa: PLC0415 - --help must not pay for it

    for name, meant in misspelt():
        output.warn(f"{name} is set and is no setting; did you mean {meant}?")


def _completes() -> bool:
    return any(name.startswith("_") and name.endswith("_COMPLETE") for name in os.environ)


def explain(error: JobRunnerError, output: Output) -> None:
    """An error and what to do about it, without the secrets that it may quote."""
    redact = _redactor()
    if isinstance(error, InvalidJobsError):
        for problem in error.problems:
            output.line_of_error(redact(str(problem)))
    error.message = redact(error.message)
    error.hint = redact(error.hint) if error.hint else None
    output.fail(error)


def debugging() -> bool:
    """Whether somebody wants tracebacks."""
    return os.environ.get(DEBUG_VARIABLE, "") not in {"", "0"}


def _say_usage(exc: typer.TyperException, output: Output) -> None:
    usage = io.StringIO()
    exc.show(file=usage)  # type: ignore[attr-defined]  # every kind that parsing raises has it; the base lacks it in the stubs
    output.usage(_redactor()(usage.getvalue()), InvalidInputError(_redactor()(exc.format_message())))


def _say_interrupted(output: Output) -> None:
    # A terminal shows ^C at the end of the line that is being written.
    output.say("\ninterrupted" if sys.stderr.isatty() else "interrupted")


def _redactor() -> Redactor:
    from lib.redaction import this_process  # noqa: PLC0415 - --help must not pay for it
    from lib.settings import process_environment  # noqa: PLC0415 - ditto

    return this_process(process_environment)


def _hide_secrets_of_tracebacks() -> None:
    from lib.redaction import excepthook  # noqa: PLC0415 - --help must not pay for it

    sys.excepthook = excepthook(_redactor())
