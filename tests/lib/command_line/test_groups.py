"""How what is typed becomes values, without the library's pydantic where nothing has to be converted."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the library looks at it
from typing import Annotated, Literal

import pytest
import typer

from lib.command_line.groups import command_as_called

app = typer.Typer(add_completion=False, rich_markup_mode=None)
seen: list[object] = []


@app.command()
def show(  # noqa: PLR0913 - one of each kind
    names: Annotated[list[str], typer.Argument()],
    *,
    text: Annotated[str | None, typer.Option()] = None,
    word: Annotated[str, typer.Option()] = "none",
    several: Annotated[list[str] | None, typer.Option()] = None,
    number: Annotated[int, typer.Option(min=1)] = 3,
    kind: Annotated[Literal["a", "b"] | None, typer.Option()] = None,
    where: Annotated[Path | None, typer.Option()] = None,
    parsed: Annotated[str | None, typer.Option(parser=lambda typed: f"<{typed}>")] = None,
    flag: Annotated[bool | None, typer.Option("--flag/--no-flag")] = None,
) -> None:
    """Note what it was called with."""
    seen[:] = [names, text, word, several, number, kind, where, parsed, flag]


def called_with(*words: str, ours: bool = True) -> list[object]:
    """The values that the command sees."""
    seen.clear()
    command = command_as_called(app) if ours else typer.main.get_command(app)
    command.main(args=list(words), prog_name="show", standalone_mode=False)
    return list(seen)


@pytest.mark.parametrize(
    "words",
    [
        ["a"],
        ["a", "b"],
        ["a", "--text", "", "--word", "1"],
        ["a", "--several", "x", "--several", "y"],
        ["a", "--number", "7", "--kind", "b", "--where", "/somewhere/else"],
        ["a", "--parsed", "x"],
        ["a", "--flag"],
        ["a", "--no-flag"],
        ["--", "--text"],
    ],
)
def test_values_are_those_of_the_library(words: list[str]) -> None:
    """Texts, lists, numbers, choices, paths and what has a parser of its own."""
    assert called_with(*words) == called_with(*words, ours=False)
    assert seen


@pytest.mark.parametrize(
    "words", [[], ["a", "--number", "0"], ["a", "--number", "x"], ["a", "--kind", "c"], ["a", "--text"]]
)
def test_mistakes_are_refused_as_the_library_refuses_them(words: list[str]) -> None:
    """Missing ones, and what cannot be converted; with the same words, but for those of its own inner library."""
    said = []
    for ours in (True, False):
        with pytest.raises(typer.TyperException) as caught:
            called_with(*words, ours=ours)
        said.append(
            (type(caught.value), caught.value.format_message().replace("Value error, ", "" if not ours else "?"))
        )
    assert said[0] == said[1]
