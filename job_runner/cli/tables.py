"""Plain tables that read well at 80 columns, on a terminal, in a mail and in a test.

Nothing is cut off: an id that is too long for its column stands on a line of its own above its row, and details
(a path, an error) stand indented below it. It knows no colour but the painter it is given.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from lib.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Align = Literal["left", "right"]

_GAP: Final = "  "
_INDENT: Final = "  "
_FIRST_LEAST: Final = 12


def display_width(text: str) -> int:
    """Columns that `text` takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


class _Row(NamedTuple):
    cells: tuple[str, ...]
    details: tuple[str, ...]
    style: str


@dataclass(slots=True)
class Table:
    """Columns by title; the first holds names and may be long. `styled` is the column that is painted."""

    titles: Sequence[str]
    aligns: Sequence[Align]
    styled: int = 1
    _rows: list[_Row] = field(default_factory=list)

    def row(self, *cells: str, details: Sequence[str] = (), style: str | None = None) -> None:
        """One row; `details` are lines below it, `style` is by default the text of the styled cell."""
        cleaned = tuple(map(clean, cells))
        self._rows.append(_Row(cleaned, tuple(map(clean, details)), style or cleaned[self.styled]))

    def lines(self, width: int, paint: Callable[[str, str], str] = lambda _, text: text) -> list[str]:
        """The table's lines for a terminal of `width` columns."""
        widths = [
            max(map(display_width, column))
            for column in zip(self.titles, *(row.cells for row in self._rows), strict=True)
        ]
        room = width - sum(widths[1:]) - len(_GAP) * (len(widths) - 1)
        widths[0] = min(widths[0], max(_FIRST_LEAST, room))
        lines = [paint("bold", self._line(self.titles, widths, None))]
        for row in self._rows:
            cells = row.cells
            if display_width(cells[0]) > widths[0]:
                lines.append(cells[0])
                cells = ("", *cells[1:])
            lines.append(self._line(cells, widths, lambda text, style=row.style: paint(style, text)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            lines += [paint("dim", f"{_INDENT}{detail}") for detail in row.details]
        return lines

    def _line(self, cells: Sequence[str], widths: Sequence[int], painted: Callable[[str], str] | None) -> str:
        parts: list[str] = []
        for i, (cell, align, size) in enumerate(zip(cells, self.aligns, widths, strict=True)):
            space = " " * (size - display_width(cell))
            shown = painted(cell) if painted is not None and i == self.styled else cell
            parts.append(space + shown if align == "right" else shown + space)
        return _GAP.join(parts).rstrip()


def seconds_text(seconds: float | None) -> str:
    """A length of time as people write it; `-` when unknown."""
    if seconds is None:
        return "-"
    if seconds < 60:  # noqa: PLR2004 - a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def eta_text(document: Mapping[str, Any]) -> str:
    """How long the rest will take, out of the document of `status`.

    `-` unless jobs run now and others ended within the last minutes: a rate from before a pause says nothing.
    """
    runs = document["totals"]["leased"] and document["rate"]["jobs_per_min"]
    return seconds_text(document["eta_sec"]) if runs else "-"


def counted(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary_text(summary: dict[str, int]) -> str:
    """`3 queued, 1 conflict`."""
    return ", ".join(f"{count} {status}" for status, count in summary.items()) or "nothing"
