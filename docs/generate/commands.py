"""The page of commands, from the command lines themselves."""

from __future__ import annotations

import importlib
import inspect
import os
import re
from typing import Any, Final

import typer.main

from docs.generate.markdown import block, code, flowed, joined, opening, table
from docs.generate.shapes import SHAPES, written
from lib import errors
from lib.calling import RUN_VARIABLE

_PROGRAMS: Final = {
    "job-runner": "job_runner.cli.app",
    "job-watcher": "job_watcher.cli",
    "voice-synth": "lib.voice_synth.cli.app",
}

_COMPLETION: Final = {"--install-completion", "--show-completion"}
_HELP: Final = "--help"


def page() -> str:
    """Every command of every program."""
    return joined(
        opening(
            "Commands",
            "the command lines",
            "Data goes to stdout, everything else to stderr. `--json` prints one JSON document on stdout and nothing "
            "else there; every document has `schema_version: 1`, and every time is UTC, ISO 8601, with a `Z`. Commands "
            "that could do harm ask on a terminal and need `--yes` where there is none. In a checkout, put `./run` in "
            "front.",
        ),
        "## Exit codes",
        _exit_codes(),
        *(_program(name) for name in programs()),
    )


def programs() -> dict[str, Any]:
    """Name -> the command of each program, in the order of the page."""
    # Examples are to be those of an installed program, whoever calls.
    os.environ.pop(RUN_VARIABLE, None)
    return {name: typer.main.get_command(importlib.import_module(module).app) for name, module in _PROGRAMS.items()}


def commands_of(name: str) -> dict[str, Any]:
    """Full name -> command, of a program and everything below it that does something."""
    root = programs()[name]
    # A program that works without a subcommand is a command itself.
    found: dict[str, Any] = {name: root} if root.invoke_without_command else {}
    return found | _below(name, root)


def _below(full: str, group: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    context = group.make_context(full, [], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        is_group = hasattr(command, "list_commands")
        found |= _below(f"{full} {name}", command) if is_group else {f"{full} {name}": command}
    return found


def options_of(command: Any) -> list[tuple[str, str]]:
    """What a command takes, as its help writes it, without what every command takes."""
    context = command.make_context("program", [], resilient_parsing=True)
    records = [each.get_help_record(context) for each in command.get_params(context)]
    # An argument's type says less than its name.
    rows = [(re.sub(r" <list\[\w+\]>$", "", names), said) for names, said in filter(None, records)]
    return [(names, said) for names, said in rows if not {_HELP, *_COMPLETION} & set(names.replace(",", "").split())]


def _program(name: str) -> str:
    root = programs()[name]
    commands = commands_of(name)
    parts = [f"## {name}"]
    if name not in commands:
        rows = [(code(names), said) for names, said in options_of(root)]
        parts += [*_said(root), table(("option", "meaning"), rows) if rows else "", _remarks(root.epilog)]
    parts += [_command(full, command) for full, command in commands.items()]
    return "\n\n".join(part for part in parts if part)


def _command(full: str, command: Any) -> str:
    context = command.make_context(full, [], resilient_parsing=True)
    usage = " ".join([full, *command.collect_usage_pieces(context)])
    rows = [(code(names), said) for names, said in options_of(command)]
    parts = [f"### {full}", *_said(command), block(usage), table(("option", "meaning"), rows) if rows else ""]
    parts.append(_remarks(command.epilog))
    if full in SHAPES:
        parts += ["JSON:", block(written(SHAPES[full]), "json")]
    return "\n\n".join(part for part in parts if part)


def _said(command: Any) -> list[str]:
    """The help, paragraph by paragraph."""
    return [flowed(each) for each in inspect.cleandoc(command.help or "").replace("\b", "").split("\n\n")]


def _remarks(epilog: str | None) -> str:
    """Examples as code, what else stands there as text."""
    shown = []
    for paragraph in inspect.cleandoc((epilog or "").replace("\b\n", "")).split("\n\n"):
        title, _, rest = paragraph.partition("\n")
        if rest and title.endswith(":"):
            shown += [title, block(inspect.cleandoc(rest), "sh")]
        elif paragraph:
            shown.append(flowed(paragraph))
    return "\n\n".join(shown)


def _exit_codes() -> str:
    kinds = [
        each
        for each in vars(errors).values()
        if inspect.isclass(each) and issubclass(each, errors.JobRunnerError) and each is not errors.JobRunnerError
    ]
    meaning = {
        0: "done",
        1: "the command ran, and jobs failed or were refused",
        2: "bad usage, a bad setting or bad input",
        3: "Redis or another service does not answer",
        4: "not found",
        130: "interrupted (Ctrl-C)",
    }
    rows = []
    for number, said in meaning.items():
        names = sorted({each.code for each in kinds if each.exit_code == number and "code" in vars(each)})
        rows.append((str(number), said, ", ".join(map(code, names))))
    return table(("exit code", "meaning", "error codes"), rows)
