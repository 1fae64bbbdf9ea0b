"""Draws who ran what when: a row for each slot, rows grouped by backend, as one SVG. Pure.

It serves real runs, drawn from records, and simulated ones alike. The picture carries its own style for light and dark,
and tells the status of a bar by a pattern too, never by its colour alone.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMESPACE: Final = "http://www.w3.org/2000/svg"
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 1000, 130, 16, 22, 64
_TICKS: Final = 10
_STEPS: Final = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400)
_LETTER: Final = 6.2
"""How wide a letter of a label is, about: a label that does not fit is left to the tooltip."""

_HOUR, _MINUTE = 3600, 60

_LIGHT: Final = {
    "ink": "#1f2933", "faint": "#d5dbe1", "ground": "#ffffff", "metal": "#2f6f4f", "cloud": "#1b6ca8",
    "other": "#7a4fa3", "failed": "#b3261e", "retried": "#8a6d00",
}  # fmt: skip
_DARK: Final = {
    "ink": "#e4e7eb", "faint": "#3a444e", "ground": "#12181f", "metal": "#6cc79a", "cloud": "#74b9ee",
    "other": "#c3a1e8", "failed": "#ff8a80", "retried": "#e6c34a",
}  # fmt: skip
_COLORS: Final = """
.ground {{ fill: {ground} }} text {{ fill: {ink} }} .label {{ fill: {ground} }} .tick {{ stroke: {faint} }}
.metal {{ fill: {metal} }} .cloud {{ fill: {cloud} }} .other {{ fill: {other} }}
.failed {{ stroke: {failed} }} .retried {{ stroke: {retried} }}
"""
# Colours stand in each rule, for some programs that show SVG know no CSS variables.
_STYLE: Final = (
    "\nsvg { font: 11px ui-sans-serif, system-ui, sans-serif } .title { font-size: 15px; font-weight: 600 }\n"
    ".backend { font-weight: 600 } .failed { stroke-width: 3 } .retried { stroke-width: 3; stroke-dasharray: 5 3 }"
    + _COLORS.format(**_LIGHT)
    + "@media (prefers-color-scheme: dark) {"
    + _COLORS.format(**_DARK)
    + "}\n"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One attempt: where, in which slot, from when to when in seconds, whose, and how it ended."""

    backend: str
    slot: str
    start: float
    end: float
    label: str
    status: Literal["done", "failed", "retried"] = "done"


def draw(bars: Sequence[Bar], title: str) -> str:
    """The picture as the text of an SVG file; times run from 0, or from the first start if that is earlier."""
    ET.register_namespace("", _NAMESPACE)
    rows = _rows(bars)
    begin = min((bar.start for bar in bars), default=0.0)
    begin = min(0.0, begin)
    end = max((bar.end for bar in bars), default=1.0)
    scale = (_WIDTH - _LEFT - _RIGHT) / max(end - begin, 1e-9)
    height = _TOP + _ROW * max(1, len(rows)) + 34
    svg = ET.Element(f"{{{_NAMESPACE}}}svg", {"viewBox": f"0 0 {_WIDTH} {height}", "role": "img"})
    _add(svg, "title", text=title)
    _add(svg, "style", text=_STYLE)
    _add(svg, "rect", {"class": "ground", "width": str(_WIDTH), "height": str(height)})
    _add(svg, "text", {"class": "title", "x": "12", "y": "24"}, text=title)
    _ticks(svg, begin, end, scale, height)
    for (backend, slot), row in rows.items():
        middle = _TOP + _ROW * row + 14
        first = all(other >= row for (name, _), other in rows.items() if name == backend)
        if first:
            _add(svg, "text", {"class": "backend", "x": "12", "y": str(middle)}, text=backend)
        _add(svg, "text", {"x": str(_LEFT - 8), "y": str(middle), "text-anchor": "end"}, text=slot[-12:])
    for bar in sorted(bars, key=lambda each: (each.start, each.label)):
        _bar(svg, bar, rows[bar.backend, bar.slot], _LEFT + (bar.start - begin) * scale, (bar.end - bar.start) * scale)
    ET.indent(svg)
    return ET.tostring(svg, encoding="unicode") + "\n"


def clock(seconds: float) -> str:
    """Seconds as a person reads them: 45 s, 2:05, 1:02:05."""
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    hours, rest = divmod(whole, _HOUR)
    minutes, left = divmod(rest, _MINUTE)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _rows(bars: Sequence[Bar]) -> dict[tuple[str, str], int]:
    """Metal first, then the others by name; the slots of each in the order of their names and numbers."""
    found = {(bar.backend, bar.slot) for bar in bars}
    ordered = sorted(found, key=lambda each: (each[0] != "metal", each[0], _natural(each[1])))
    return {each: row for row, each in enumerate(ordered)}


def _natural(name: str) -> tuple[str, int]:
    head = name.rstrip("0123456789")
    return head, int(name[len(head) :] or 0)


def _ticks(svg: ET.Element, begin: float, end: float, scale: float, height: int) -> None:
    step = next((each for each in _STEPS if (end - begin) / each <= _TICKS), None)
    step = step or -(-int(end - begin) // _TICKS)
    at = -(-begin // step) * step
    while at <= end:
        x = f"{_LEFT + (at - begin) * scale:.1f}"
        _add(svg, "line", {"class": "tick", "x1": x, "x2": x, "y1": str(_TOP - 12), "y2": str(height - 26)})
        _add(svg, "text", {"x": x, "y": str(_TOP - 18), "text-anchor": "middle"}, text=clock(at))
        at += step


def _bar(svg: ET.Element, bar: Bar, row: int, x: float, width: float) -> None:
    known = bar.backend if bar.backend in {"metal", "cloud"} else "other"
    classes = known if bar.status == "done" else f"{known} {bar.status}"
    wide = max(1.0, width - 1)
    group = _add(svg, "g")
    place = {"x": f"{x:.1f}", "y": str(_TOP + _ROW * row), "width": f"{wide:.1f}", "height": str(_ROW - 4), "rx": "3"}
    _add(group, "rect", {"class": classes, **place})
    told = f"{bar.label}: {bar.backend}, {clock(bar.start)} to {clock(bar.end)}, {bar.status}"
    _add(group, "title", text=told)
    if len(bar.label) * _LETTER + 6 <= wide:
        at = {"class": "label", "x": f"{x + 5:.1f}", "y": str(_TOP + _ROW * row + 13)}
        _add(group, "text", at, text=bar.label)


def _add(parent: ET.Element, tag: str, attributes: dict[str, str] | None = None, *, text: str = "") -> ET.Element:
    element = ET.SubElement(parent, f"{{{_NAMESPACE}}}{tag}", attributes or {})
    # XML knows no control characters; a label may come from a job.
    element.text = (
        "".join(letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text)
        or None
    )
    return element
