"""How commands speak: data on stdout, everything else on stderr; with `--json` one document, of an error too.

Names and descriptions come from other people's files, so what is printed of them has its control characters escaped.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

import typer

from lib.calling import as_called
from lib.errors import InvalidInputError, RefusedError
from lib.terminal import clean, wrapped, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.errors import JobRunnerError

SCHEMA_VERSION: Final = 1


class Output:
    """Where a command's words go."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json

    def document(self, document: dict[str, Any]) -> None:
        """The one JSON document of a command."""
        ascii_only = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
        text = json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2, ensure_ascii=ascii_only)
        write(sys.stdout, text + "\n")

    def data(self, text: str = "") -> None:
        """A line of data."""
        write(sys.stdout, clean(text, keep="\t") + "\n")

    def sentence(self, text: str, *, indent: int) -> None:
        """A line of data that a terminal breaks at its width, what follows set in by `indent`."""
        write(sys.stdout, wrapped(clean(text), sys.stdout, indent=indent) + "\n")

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell, the last one free."""
        lines = [titles, *([clean(cell) for cell in row] for row in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            write(sys.stdout, "  ".join(cells).rstrip() + "\n")

    def say(self, text: str) -> None:
        """A message to the person."""
        write(sys.stderr, wrapped(as_called(clean(text)), sys.stderr) + "\n")

    def error_document(self, error: JobRunnerError) -> None:
        """The one document of a command that failed."""
        self.document({"error": {"code": error.code, "message": error.message, "hint": error.hint}})

    def fail(self, error: JobRunnerError) -> None:
        """An error and what to do about it."""
        if self.as_json:
            self.error_document(error)
        write(sys.stderr, f"error: {as_called(clean(error.message, keep=chr(10)))}\n")
        if error.hint:
            write(sys.stderr, f"hint: {as_called(clean(error.hint))}\n")

    def confirm(self, question: str, *, yes: bool) -> None:
        """Ask on a terminal; `yes` answers for the person.

        Raises:
            InvalidInputError: there is no terminal to ask on.
            RefusedError: the answer is no.

        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise InvalidInputError(f"not done: {question}", hint="add --yes: there is no terminal to ask on")
        if not typer.confirm(question, err=True):
            raise RefusedError("not done, as you wished")
