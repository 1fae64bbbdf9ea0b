"""Entry of `voice-synth`: the commands by name, loaded lazily, and the one error boundary.

`voice-synth --help` imports no command: names and one-line helps stand here, and a test compares them with the
modules. What a command raises becomes a message, a hint and an exit code in `main` and nowhere else.
"""

from __future__ import annotations

import importlib
import io
import sys
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
import typer.core
import typer.main

from lib.calling import examples_as_called, program_as_called
from lib.errors import InvalidInputError, JobRunnerError
from lib.voice_synth.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.redaction import Redactor

COMMANDS: Final[dict[str, str]] = {
    "speak": "Speak a text: takes, their description and result.json in one directory.",
    "list-voices": "List the voices that a job may name: the built-in one and those that were registered.",
    "list-speakers": "List the speakers that a job may name, and who really speaks here.",
    "register": "Register a voice of your own, or one more engine for a voice.",
    "rename": "Give a voice another name.",
    "delete": "Delete a voice with its files, a broken one too.",
    "export": "Write a voice with its files to one zip archive.",
    "import": "Take a voice from a zip archive that `export` has made.",
    "capabilities": "Show what each engine can do here, or why it cannot.",
}

EXIT_ERROR: Final = 1
EXIT_INTERRUPTED: Final = 130
_COMPLETE_VARIABLE: Final = "_VOICE_SYNTH_COMPLETE"

_EPILOG: Final = """\b
Start here:
  voice-synth speak --voice newsroom --text "Good morning." --out-exact hello
  voice-synth list-voices            who can speak
  voice-synth register anna --piper-model anna.onnx
  voice-synth capabilities           what each engine can do here

\b
Exit codes: 0 ok; 1 it could not be done; 2 bad usage or input; 4 not found; 130 interrupted.
With --json an error is one JSON document on stdout too.
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
        module = importlib.import_module(f"lib.voice_synth.cli.{module_of(cmd_name)}")
        command = typer.main.get_command(module.app)
        command.epilog = examples_as_called(command.epilog or "")
        return command

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
    name="voice-synth",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)


def module_of(command: str) -> str:
    """The module of a command; `import` is a word of the language and cannot name one."""
    return {"import": "import_zip"}.get(command, command.replace("-", "_"))


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the library calls it so
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that only --version needs

        Output().data(f"voice-synth {version('job-runner')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")]


@app.callback()
def _root(*, version: Version = False) -> None:
    """Turn text into speech on this machine, and keep the voices that speak it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the console script's entry."""
    for stream in (sys.stdout, sys.stderr):
        # A name with odd bytes must not end a listing of others.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # the standard streams are TextIOWrapper
    output = Output(as_json="--json" in (argv if argv is not None else sys.argv))
    try:
        command = typer.main.get_command(app)
        command.epilog = examples_as_called(command.epilog or "")
        code = command.main(
            args=argv,
            prog_name=program_as_called("voice-synth"),
            complete_var=_COMPLETE_VARIABLE,
            standalone_mode=False,
        )
    except typer.TyperException as exc:
        usage = io.StringIO()
        exc.show(file=usage)  # type: ignore[attr-defined]  # every kind that parsing raises has it; the base lacks it in the stubs
        redact = _redactor()
        if output.as_json:
            output.error_document(InvalidInputError(redact(exc.format_message())))
        sys.stderr.write(redact(usage.getvalue()))
        return exc.exit_code
    except (KeyboardInterrupt, typer.Abort):
        output.say("interrupted")
        return EXIT_INTERRUPTED
    except JobRunnerError as exc:
        _explain(exc, output)
        return exc.exit_code
    except Exception as exc:  # noqa: BLE001 - whatever else it is, a person gets one sentence
        _explain(
            JobRunnerError(f"this should not happen: {type(exc).__name__}: {exc}", hint="please report it"), output
        )
        return EXIT_ERROR
    if code == EXIT_INTERRUPTED:  # the library turns Ctrl-C into a silent exit
        output.say("interrupted")
    return code if isinstance(code, int) else 0


def _explain(error: JobRunnerError, output: Output) -> None:
    redact = _redactor()
    error.message = redact(error.message)
    error.hint = redact(error.hint) if error.hint else None
    output.fail(error)


def _redactor() -> Redactor:
    from lib.redaction import this_process  # noqa: PLC0415 - --help must not pay for it
    from lib.settings import process_environment  # noqa: PLC0415 - ditto

    return this_process(process_environment)
