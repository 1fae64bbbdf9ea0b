"""Commands that are imported when they are used: a program's help lists them by name and pays for none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
import typer.core
import typer.main

from lib.calling import examples_as_called

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def lazy_group(commands: Mapping[str, str], load: Callable[[str], typer.Typer]) -> type[typer.core.TyperGroup]:
    """The class of a group of `commands` (name -> one line of help), each made by `load(name)` when it is asked for."""

    class LazyGroup(typer.core.TyperGroup):
        """Knows its commands by name."""

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the signature is the library's
            """Every name, in the order of the help."""
            return list(commands)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 - the signature is the library's
            """The command, imported now; None for an unknown name."""
            if cmd_name not in commands:
                return None
            return command_as_called(load(cmd_name))

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            """As the parent does; it takes the near names of a mistyped one from the keys of `commands`."""
            self.commands = dict.fromkeys(commands, self)
            return super().resolve_command(ctx, args)

        def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - the signature is the library's
            """The list of the help."""
            with formatter.section("Commands"):
                formatter.write_dl(list(commands.items()))

    return LazyGroup


def command_as_called(app: typer.Typer) -> Any:
    """The command of an app, with the examples of its help, and of those below it, as the reader can type them."""
    command = typer.main.get_command(app)
    command.epilog = examples_as_called(command.epilog or "")
    for below in getattr(command, "commands", {}).values():
        below.epilog = examples_as_called(below.epilog or "")
    return command
