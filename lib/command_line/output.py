"""How commands speak: data on stdout, everything else on stderr.

Colour is only ever added to a terminal and never carries meaning alone. Text that comes from jobs is printed with its
control characters escaped, so that an error message cannot drive somebody's terminal. If the reader of stdout goes
away (`… | head`), the rest is dropped and the command ends as it would have.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TextIO

import typer

from lib.calling import as_called
from lib.errors import InvalidInputError, RefusedError
from lib.terminal import clean, width_of, wrapped, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.errors import JobRunnerError

SCHEMA_VERSION: Final = 1

ROWS: Final = "(rows)"
"""In a document: here stand the rows that are given beside it."""

_LINES_A_WRITE: Final = 1_000

_COLORS: Final = {
    "done": "32",
    "queued": "36",
    "already_done": "32",
    "leased": "33",
    "delayed": "33",
    "failed": "31",
    "conflict": "31",
    "key_busy": "31",
    "not_found": "31",
    "cancelled": "35",
    "ok": "32",
    "wrong": "31",
    "bold": "1",
    "dim": "2",
    "error": "31;1",
    "hint": "36",
    "warning": "33",
}


class Output:
    """Where a command's words go. `data` and `say` write lines; `document` is the one thing under `--json`."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, no_color: bool = False) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self._may_color = not no_color and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """Columns of stdout; 80 when it is no terminal."""
        return width_of(sys.stdout)

    @property
    def on_terminal(self) -> bool:
        """Whether stdout is a terminal."""
        return sys.stdout.isatty()

    @property
    def colored(self) -> bool:
        """Whether stdout takes colour."""
        return self._may_color and sys.stdout.isatty()

    def document(self, document: dict[str, Any], *, rows: Iterable[Mapping[str, Any]] | None = None) -> None:
        """The one JSON document of a command; `rows`, too many for one text, stand for the first value `ROWS` in it."""
        text = _json({"schema_version": SCHEMA_VERSION, **document})
        if rows is not None:
            before, _, text = text.partition(f'"{ROWS}"')
            write(sys.stdout, before)
            self._rows(rows)
        write(sys.stdout, text + "\n")

    def _rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        rest = iter(rows)
        begin = "[\n    "
        while some := list(islice(rest, _LINES_A_WRITE)):
            text = ",\n    ".join(_json(row).replace("\n", "\n    ") for row in some)
            write(sys.stdout, begin + text)
            begin = ",\n    "
        write(sys.stdout, "[]" if begin.startswith("[") else "\n  ]")

    def data(self, text: str = "") -> None:
        """Lines of data."""
        write(sys.stdout, text + "\n")

    def listing(self, lines: Iterable[str]) -> None:
        """Many lines of data, some thousands a write."""
        rest = iter(lines)
        while some := list(islice(rest, _LINES_A_WRITE)):
            self.data("\n".join(some))

    def sentence(self, text: str, *, indent: int) -> None:
        """A line of data that a terminal breaks at its width, what follows set in by `indent`."""
        write(sys.stdout, wrapped(text, sys.stdout, indent=indent) + "\n")

    def say(self, text: str) -> None:
        """A message to the person; silent with --quiet."""
        if not self.quiet:
            write(sys.stderr, wrapped(as_called(text), sys.stderr) + "\n")

    def warn(self, text: str) -> None:
        """A message that matters; shown even with --quiet."""
        write(sys.stderr, f"{self.paint('warning', 'warning:', sys.stderr)} {as_called(clean(text))}\n")

    def line_of_error(self, text: str) -> None:
        """One of many errors, as it is: `FILE:LINE: place: message`."""
        write(sys.stderr, clean(text) + "\n")

    def fail(self, error: JobRunnerError) -> None:
        """An error and what to do about it."""
        message = as_called(clean(error.message, keep="\n"))
        write(sys.stderr, f"{self.paint('error', 'error:', sys.stderr)} {message}\n")
        if error.hint:
            write(sys.stderr, f"{self.paint('hint', 'hint:', sys.stderr)} {as_called(clean(error.hint))}\n")

    def usage(self, text: str, error: JobRunnerError) -> None:  # noqa: ARG002 - for programs that show errors as documents
        """How a command is typed, after it was mistyped."""
        write(sys.stderr, clean(text, keep="\n"))

    def paint(self, style: str, text: str, stream: TextIO | None = None) -> str:
        """`text` in the colour of a status or style, if the stream takes colour."""
        code = _COLORS.get(style)
        if code is None or not self._may_color or not (stream or sys.stdout).isatty():
            return text
        return f"\x1b[{code}m{text}\x1b[0m"

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


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=not _is_utf8())


def _is_utf8() -> bool:
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
