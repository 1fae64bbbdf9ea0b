"""Plain tables that read well at 80 columns, on a terminal, in a mail and in a test.

Nothing is cut off: an id that is too long for its column stands on a line of its own above its row, and details
(a path, an error) stand indented below it. It knows no colour but the painter it is given.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from lib.job_rate import jobs_in_window
from lib.routing.view import RENTED
from lib.terminal import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Painter = Callable[[str, str], str]

Align = Literal["left", "right"]

_GAP: Final = "  "
_INDENT: Final = "  "
_FIRST_LEAST: Final = 12
_MINUTE: Final = 60


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
    _widths: list[int] = field(default_factory=list)

    def row(self, *cells: str, details: Sequence[str] = (), style: str | None = None) -> None:
        """One row; `details` are lines below it, `style` is by default the text of the styled cell."""
        cleaned = self.fit(*cells)
        self._rows.append(_Row(cleaned, tuple(map(clean, details)), style or cleaned[self.styled]))

    def fit(self, *cells: str) -> tuple[str, ...]:
        """Make room for these cells, cleaned: for a row that `lines_of` is given later."""
        cleaned = tuple(map(clean, cells))
        widths = self._widths or [display_width(title) for title in self.titles]
        self._widths = [max(width, display_width(cell)) for width, cell in zip(widths, cleaned, strict=True)]
        return cleaned

    def lines(self, width: int, paint: Painter = lambda _, text: text) -> list[str]:
        """The table's lines for a terminal of `width` columns."""
        return list(self._all_lines(self._rows, width, paint))

    def lines_of(self, rows: Iterable[Sequence[str]], width: int, paint: Painter) -> Iterator[str]:
        """The lines of a table of these rows, which all were given to `fit` before and are too many to be kept."""
        cleaned = (tuple(map(clean, cells)) for cells in rows)
        return self._all_lines((_Row(cells, (), cells[self.styled]) for cells in cleaned), width, paint)

    def _all_lines(self, rows: Iterable[_Row], width: int, paint: Painter) -> Iterator[str]:
        widths = list(self._widths) or [display_width(title) for title in self.titles]
        room = width - sum(widths[1:]) - len(_GAP) * (len(widths) - 1)
        widths[0] = min(widths[0], max(_FIRST_LEAST, room))
        yield paint("bold", self._line(self.titles, widths, None))
        for row in rows:
            cells = row.cells
            if display_width(cells[0]) > widths[0]:
                yield cells[0]
                cells = ("", *cells[1:])
            yield self._line(cells, widths, lambda text, style=row.style: paint(style, text))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            for detail in row.details:
                yield paint("dim", f"{_INDENT}{detail}")

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
    """How long the rest will take, out of the document of `status`: by what was measured, else by the rate.

    `-` unless jobs run now and others ended within the last minutes: a rate from before a pause says nothing.
    """
    eta = document.get("eta")
    if eta is not None:
        return span_text(eta)
    runs = document["totals"]["leased"] and document["rate"]["jobs_per_min"]
    return seconds_text(document["eta_sec"]) if runs else "-"


def span_text(eta: Mapping[str, float]) -> str:
    """`1:30`, and `p90 1:50` behind it where that differs."""
    p50, p90 = seconds_text(eta["p50_sec"]), seconds_text(eta["p90_sec"])
    return p50 if p50 == p90 else f"{p50} (p90 {p90})"


def spend_text(spend: Mapping[str, Any]) -> str:
    """`$0.12 of $3.00, $0.01 more reserved`; empty where nothing is paid for."""
    today, reserved, budget = spend["today_usd"], spend["reserved_usd"], spend["budget_usd"]
    if not (today or reserved or budget is not None):
        return ""
    of_all = "" if budget is None else f" of {cap_text(budget)}"
    more = f", ${reserved:.4f} more reserved" if reserved else ""
    over = ": the budget is reached" if budget is not None and today + reserved >= budget else ""
    return f"${today:.4f}{of_all}{more}{over}"


def cap_text(usd: float) -> str:
    """`$3.00`; four digits where two would hide a part of it."""
    return f"${usd:.2f}" if round(usd, 2) == round(usd, 4) else f"${usd:.4f}"


def moves_text(rate: Mapping[str, Any]) -> str:
    """How much of the limit of the cloud's jobs is used, in its own window; empty where it got nothing then."""
    moves = rate["cloud_moves_in_window"]
    if not moves:
        return ""
    allowed, window_ms = jobs_in_window(rate["cloud_per_min"])
    # Without the moment of slack that is added to it. Below one job a minute the window is longer than that.
    seconds = window_ms // 1000
    if seconds == _MINUTE:
        return f"{counted(moves, 'job')} in the last minute, {allowed} a minute allowed"
    return f"{counted(moves, 'job')} in the last {seconds} s, {allowed} allowed"


def pool_lines(pools: Iterable[Mapping[str, Any]]) -> list[str]:
    """A line for each API model that grants nothing now, and one for what the others were asked."""
    lines: list[str] = []
    for pool in pools:
        name = clean(str(pool["model"]))
        if pool["closed_sec"] > 0:
            why = f": {clean(str(pool['why']))}" if pool["why"] else ""
            lines.append(f"{name} is closed for {seconds_text(pool['closed_sec'])}{why}")
        elif pool["requests_last_min"]:
            asked = counted(pool["requests_last_min"], "request")
            lines.append(f"{name}: {asked}, {pool['tokens_last_min']} tokens in the last minute")
    return lines


def rented_text(document: Mapping[str, Any]) -> str:
    """`2 machines (draining, loading), 34 jobs in hand, 12 done, $0.0123 at $0.720 an hour`; empty without any."""
    machines = document["instances"]
    if not machines:
        return ""
    sound = [each for each in machines if not each["damaged"]]
    in_hand = sum(lane["running"] for lane in document["lanes"].values() if lane["backend"] == RENTED)
    so_far, hourly = (sum(each[name] for each in sound) for name in ("usd", "usd_per_hour"))
    alone = sum(not each["owner_alive"] for each in sound)
    parts = [
        f"{counted(len(machines), 'machine')} ({rented_states(machines)})",
        f"{counted(in_hand, 'job')} in hand",
        f"{sum(each['jobs'] for each in sound)} done",
        f"${so_far:.4f} at ${hourly:.3f} an hour",
        *([f"{alone} without a watcher"] if alone else []),
    ]
    return ", ".join(parts)


def rented_states(machines: Iterable[Mapping[str, Any]]) -> str:
    """`2 draining, loading`: in the order of the rows."""
    states = Counter("damaged" if each["damaged"] else str(each["state"]) for each in machines)
    return ", ".join(state if count == 1 else f"{count} {state}" for state, count in states.items())


def counted(number: int, noun: str) -> str:
    """`1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary_text(summary: dict[str, int]) -> str:
    """`3 queued, 1 conflict`."""
    return ", ".join(f"{count} {status}" for status, count in summary.items()) or "nothing"
