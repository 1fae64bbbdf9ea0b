"""Commands that are imported when they are used: a program's help lists them by name and pays for none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

import typer
import typer.core
import typer.main

from lib.calling import examples_as_called

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


_PLAIN: Final = frozenset({str, int, float, bool})


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
    for each in (command, *getattr(command, "commands", {}).values()):
        each.epilog = examples_as_called(each.epilog or "")
        _coerce_what_must_be(each)
    return command


class _Coercion:
    """What makes a typed word the value of a parameter: the library's own way, but only where there is one to go.

    The library lets pydantic turn text into text and nothing into nothing, and to import that for `--redis-url` takes
    a third of the time of `job-runner status`.
    """

    def __init__(self, param: Any) -> None:
        typed = param.type_descriptor
        self._library_way = param.get_runtime_param
        own_parser = typed.parameter_info.parser is not None
        # Of a word that is typed only text has its kind already; of a default a number has too.
        self._kind = typed.annotation if typed.annotation in _PLAIN and not own_parser else None
        self._words = get_args(typed.annotation) if get_origin(typed.annotation) is Literal and not own_parser else ()
        self._is_texts = typed.annotation == list[str] and not own_parser

    def itself(self) -> _Coercion:
        """What the library asks a parameter for."""
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The value, as the library's own coercion gives it."""
        if value is None:
            return () if param.multiple or param.nargs == -1 else None
        if type(value) is self._kind or (isinstance(value, str) and value in self._words):
            return value
        if self._words and isinstance(value, str):
            # Said here, because the library would say it in the words of pydantic.
            raise typer.BadParameter(
                f"{value!r} is not one of {', '.join(map(repr, self._words))}.", ctx=ctx, param=param
            )
        if self._is_texts and isinstance(value, tuple):
            return list(value)
        return self._library_way().coerce(value, param=param, ctx=ctx)


def _coerce_what_must_be(command: Any) -> None:
    params_of = command.get_params

    def get_params(ctx: Any) -> list[Any]:
        # All, with that of --help, which the library makes only here.
        found: list[Any] = params_of(ctx)
        for param in found:
            if not isinstance(getattr(param.get_runtime_param, "__self__", None), _Coercion):
                param.get_runtime_param = _Coercion(param).itself
        return found

    command.get_params = get_params
