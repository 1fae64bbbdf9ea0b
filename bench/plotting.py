"""The pictures of a report, as SVG: what is drawn is chosen here in plain values, and matplotlib draws it.

It comes with the extra [bench]; without it there are no pictures and everything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_GROWN: Final = re.compile(r"^(\w+), (\d+)([kM]) (waiting|done)$")
_TIMES: Final = {"k": 1_000, "M": 1_000_000}
_OWN: Final = "#1b6ca8"
_OTHER: Final = "#9aa5b1"
_MARK: Final = "#c0392b"
_SETTINGS: Final[Any] = {
    # The same report gives the same bytes, so that a diff shows figures and nothing else.
    "svg.hashsalt": "bench",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its value, how far the runs lay apart, and the target if there is one."""

    name: str
    value: float
    low: float
    high: float
    target: float | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One thing over sizes: (jobs, ours by raw)."""

    name: str
    which: str
    points: tuple[tuple[int, float], ...]


def ratio_bars(told: Mapping[str, Any]) -> list[Bar]:
    """Ours by raw where raw does the same work."""
    found = []
    for each in told["figures"]:
        if each["part"] in {"submit", "move", "drain"} and each["ratio"]:
            target = each["target"]["at"] if each["target"] else None
            ratio = each["ratio"]
            name = f"{each['part']}: {each['what']}"
            found.append(Bar(name, ratio["median"], ratio["low"], ratio["high"], target))
    return found


def peer_bars(told: Mapping[str, Any], what: str) -> list[Bar]:
    """Of every queue, the best first; ratios where there are any."""
    found = []
    for each in told["figures"]:
        if each["part"] == "peers" and each["what"] == what:
            value = each["ratio"] or each["ours"]
            found.append(Bar(str(each["who"]), value["median"], value["low"], value["high"]))
    return found


def recovery_bars(told: Mapping[str, Any]) -> list[Bar]:
    """Seconds; who did not recover has the time that was waited."""
    found = []
    for each in told["losses"]:
        seconds = each["recovered_seconds"]
        value = each["waited_seconds"] if seconds is None else seconds
        lost = f"{each['lost']} lost" if each["lost"] else "none lost"
        name = f"{each['who']} ({lost}{', not over' if seconds is None else ''})"
        found.append(Bar(name, value, value, value))
    return found


def growth_lines(told: Mapping[str, Any]) -> list[Line]:
    """Ours by raw over the size of the queue, each divided by its own first point."""
    points: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for each in told["figures"]:
        grown = _GROWN.match(each["what"]) if each["part"] == "growth" else None
        if grown and each["ratio"]:
            size = int(grown[2]) * _TIMES[grown[3]]
            points.setdefault((grown[1], grown[4]), []).append((size, each["ratio"]["median"]))
    return [
        Line(what, which, tuple((size, value / some[0][1]) for size, value in sorted(some)))
        for (what, which), some in points.items()
    ]


def draw(told: Mapping[str, Any], folder: Path) -> list[str]:
    """Every picture for which the report has figures; their file names.

    Raises:
        ImportError: matplotlib is not installed.

    """
    import matplotlib as mpl  # noqa: PLC0415 - half a second that only pictures need

    mpl.use("svg")
    ratios, drains, bulks = ratio_bars(told), peer_bars(told, "drain"), peer_bars(told, "bulk submit")
    quick, slow = peer_bars(told, "to body p50"), peer_bars(told, "to body p99")
    recoveries, lines = recovery_bars(told), growth_lines(told)
    wanted: dict[str, tuple[bool, Callable[[Any], None]]] = {
        "ratios.svg": (bool(ratios), lambda each: _bars(each, [("ours / raw", ratios)])),
        "peers.svg": (bool(drains), lambda each: _bars(each, [("drain / raw", drains), ("bulk submit / raw", bulks)])),
        "latency.svg": (bool(quick), lambda each: _bars(each, [("p50, ms", quick), ("p99, ms", slow)])),
        "recovery.svg": (bool(recoveries), lambda each: _bars(each, [("seconds", recoveries)])),
        "growth.svg": (bool(lines), lambda each: _lines(each, lines)),
    }
    drawn = []
    for name, (there, paint) in wanted.items():
        if there:
            with mpl.rc_context(_SETTINGS):
                _saved(paint, folder / name)
            drawn.append(name)
    return drawn


def _saved(paint: Callable[[Any], None], path: Path) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415 - see draw

    figure = Figure(layout="constrained")
    paint(figure)
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    # Its writer leaves blanks at the ends of lines.
    path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")


def _bars(figure: Any, groups: list[tuple[str, list[Bar]]]) -> None:
    figure.set_size_inches(8 if len(groups) == 1 else 10, 0.8 + 0.32 * max(len(bars) for _, bars in groups))
    for place, (title, bars) in enumerate(groups, start=1):
        axes = figure.add_subplot(1, len(groups), place)
        upwards = list(reversed(bars))
        errors = [[bar.value - bar.low for bar in upwards], [bar.high - bar.value for bar in upwards]]
        several = any(bar.name.startswith("job-runner") for bar in bars)
        colours = [_OTHER if several and not bar.name.startswith("job-runner") else _OWN for bar in upwards]
        names = [bar.name for bar in upwards]
        axes.barh(names, [bar.value for bar in upwards], xerr=errors, color=colours, ecolor="#444444", height=0.65)
        for row, bar in enumerate(upwards):
            if bar.target is not None:
                axes.plot([bar.target] * 2, [row - 0.4, row + 0.4], color=_MARK, linewidth=2)
        axes.set_xlabel(title)


def _lines(figure: Any, lines: list[Line]) -> None:
    figure.set_size_inches(10, 4)
    whiches = list(dict.fromkeys(line.which for line in lines))
    for place, which in enumerate(whiches, start=1):
        axes = figure.add_subplot(1, len(whiches), place)
        for line in lines:
            if line.which == which:
                sizes, values = zip(*line.points, strict=True)
                axes.plot(sizes, values, marker="o", label=line.name)
        axes.set_xscale("log")
        axes.set_ylim(0, max(1.2, *(1.1 * value for line in lines for _, value in line.points)))
        axes.set_xlabel(f"jobs {which}")
        axes.set_ylabel("ours by raw (rates: more is better; views: less)")
        axes.legend(fontsize=8, loc="lower left")
