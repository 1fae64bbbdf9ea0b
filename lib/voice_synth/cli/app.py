"""Entry of `voice-synth`: the commands by name, loaded lazily, and the one error boundary.

`voice-synth --help` imports no command: names and one-line helps stand here, and a test compares them with the
modules. What a command raises becomes a message, a hint and an exit code in `main` and nowhere else.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Annotated, Final

import typer

from lib.command_line.boundary import Program
from lib.command_line.groups import lazy_group
from lib.voice_synth.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Sequence


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

_EPILOG: Final = """\b
Start here:
  voice-synth speak --voice newsroom --text "Good morning." --out-exact hello
  voice-synth list-voices            who can speak
  voice-synth register anna --piper-model anna.onnx
  voice-synth capabilities           what each engine can do here

\b
Exit codes: 0 ok; 1 it could not be done; 2 bad usage or input; 4 not found;
130 interrupted.
With --json an error is one JSON document on stdout too.
"""


def module_of(command: str) -> str:
    """The module of a command; `import` is a word of the language and cannot name one."""
    return {"import": "import_zip"}.get(command, command.replace("-", "_"))


def _load(name: str) -> typer.Typer:
    found: typer.Typer = importlib.import_module(f"lib.voice_synth.cli.{module_of(name)}").app
    return found


app = typer.Typer(
    cls=lazy_group(COMMANDS, _load),
    name="voice-synth",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - the library calls it so
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 20 ms that only --version needs

        Output().data(f"voice-synth {version('job-runner')}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")]


@app.callback()
def _root(*, version: Version = False) -> None:
    """Turn text into speech on this machine, and keep the voices that speak it."""


PROGRAM: Final = Program("voice-synth", app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; the console script's entry."""
    return PROGRAM.run(argv, Output(as_json="--json" in (argv if argv is not None else sys.argv)))
