"""How `voice-synth` speaks: as the other programs do, and with `--json` an error is a document on stdout too.

Names and descriptions come from other people's files, so what is printed of them has its control characters escaped.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from lib.command_line import output
from lib.terminal import clean, write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.errors import JobRunnerError


class Output(output.Output):
    """Where a command's words go."""

    def data(self, text: str = "") -> None:
        """A line of data."""
        super().data(clean(text, keep="\t"))

    def sentence(self, text: str, *, indent: int) -> None:
        """A line of data that a terminal breaks at its width, what follows set in by `indent`."""
        super().sentence(clean(text), indent=indent)

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell, the last one free."""
        lines = [titles, *([clean(cell) for cell in row] for row in rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
        for line in lines:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            write(sys.stdout, "  ".join(cells).rstrip() + "\n")

    def say(self, text: str) -> None:
        """A message to the person."""
        super().say(clean(text, keep="\n"))

    def fail(self, error: JobRunnerError) -> None:
        """An error and what to do about it."""
        self._document_of(error)
        super().fail(error)

    def usage(self, text: str, error: JobRunnerError) -> None:
        """How a command is typed, after it was mistyped."""
        self._document_of(error)
        super().usage(text, error)

    def _document_of(self, error: JobRunnerError) -> None:
        if self.as_json:
            self.document({"error": {"code": error.code, "message": error.message, "hint": error.hint}})
