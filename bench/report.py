"""The report of a run: a table for a terminal, a document for programs. Pure; `bench.__main__` prints it.

`bench.page` makes the page of docs/benchmarks/ from the same document.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bench.figure import Found

SCHEMA: Final = 1
BUSY: Final = "busy at start"
"""The condition that is there only when the machine had other work."""
TITLES: Final = {
    "submit": "submit: validated jobs in, idempotent by name",
    "move": "move: from intake to lane",
    "drain": "drain: no-op jobs, first to last record",
    "latency": "latency: one job into an idle watcher, through the conductor",
    "memory": "memory: of the server, for each job",
    "commands": "commands: what the server does for each job",
    "watcher": "watcher: resident memory, no engine loaded",
    "start": "start: from nothing to the command's end",
    "plan": "plan, enqueue: job files",
    "growth": "growth: with many jobs in the queue",
    "speech": "speech: seconds of audio a second, one slot, engine warm",
    "peers": "peers: the same work and payload",
}
_HEADINGS: Final = ("", "ours", "beside", "ratio", "spread", "target", "")
_WIDTHS: Final = (35, 10, 10, 8, 13, 8, 7)


def document(found: Found, conditions: Mapping[str, str]) -> dict[str, Any]:
    """Everything, for the JSON file."""
    return {
        "schema": SCHEMA,
        "conditions": dict(conditions),
        "figures": [figure.document() for figure in found.figures],
        "losses": [loss.document() for loss in found.losses],
        "failures": dict(found.failures),
    }


def table(told: Mapping[str, Any]) -> list[str]:
    """The document as lines of at most a hundred characters."""
    lines = ["  ".join(f"{name} {value}" for name, value in list(told["conditions"].items())[:4])]
    lines += disturbed(told["conditions"])
    own = [each for each in told["figures"] if each["part"] != "peers"]
    for part, some in groupby(own, key=lambda each: str(each["part"])):
        figures = list(some)
        lines += ["", f"{TITLES.get(part, part)}; beside: {besides(figures)}", _row(_HEADINGS)]
        lines += [_row(cells(figure)) for figure in figures]
    lines += _of_peers([each for each in told["figures"] if each["part"] == "peers"])
    lines += _of_losses(told["losses"])
    if off := missed(told["figures"]):
        lines += ["", "not met", *(f"  {each}" for each in off)]
    if told["failures"]:
        lines += ["", "not measured"]
        lines += [f"  {name}: {why}" for name, why in told["failures"].items()]
    return lines


def besides(figures: Sequence[Mapping[str, Any]]) -> str:
    """What these figures are held against."""
    return ", ".join(dict.fromkeys(str(each["beside_is"]) for each in figures if each["beside_is"])) or "nothing"


def cells(figure: Mapping[str, Any]) -> tuple[str, ...]:
    """One figure as a row: what, ours, beside, ratio, spread, target, verdict."""
    ratio, target = figure["ratio"], figure["target"]
    spread = ratio or figure["ours"]
    return (
        figure["what"],
        amount(figure["ours"]["median"], figure["unit"]),
        amount(figure["beside"]["median"], figure["unit"]) if figure["beside"] else "",
        f"{ratio['median']:.2f} x" if ratio else "",
        f"{spread['low']:.3g}-{spread['high']:.3g}",
        target_text(target, figure["unit"]) if target else "",
        verdict(figure["met"]),
    )


def disturbed(conditions: Mapping[str, str]) -> list[str]:
    """The line that says that something else ran when it began; none for a quiet machine."""
    busy = conditions.get(BUSY)
    return [f"The machine was busy when this run began ({busy}): its figures are worth little."] if busy else []


def missed(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """Each target that was missed: what was found, what was wanted, and how far the one is from the other."""
    return [_missed(each) for each in figures if each["met"] is False]


def _missed(figure: Mapping[str, Any]) -> str:
    target = figure["target"]
    of_ratio = target["of"] == "ratio"
    value = figure["ratio" if of_ratio else "ours"]["median"]
    unit = f"of {figure['beside_is']}" if of_ratio else str(figure["unit"])
    # A ten-thousandth over the bound is no more "0 % over" than it is met.
    percent = max(0.1, figure["missed_by"] * 100)
    far = f"{percent:.{0 if percent >= 1 else 1}f} % {'short' if target['bound'] == 'at least' else 'over'}"
    wanted = target_text(target, figure["unit"])
    return f"{figure['part']}, {figure['what']}: {amount(value, unit)}, {wanted} wanted: {far}"


def target_text(target: Mapping[str, Any], unit: str) -> str:
    """The bound, with its unit unless it is a ratio."""
    sign = "≥" if target["bound"] == "at least" else "≤"
    return f"{sign} {target['at']:g}" if target["of"] == "ratio" else f"{sign} {target['at']:g} {unit}"


def verdict(met: bool | None) -> str:  # noqa: FBT001 - the value itself is told
    """For people."""
    return "" if met is None else "met" if met else "NOT MET"


def amount(value: float, unit: str) -> str:
    """A figure with its unit; thousands apart, small ones with the digits that count."""
    text = f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits
    return f"{text} {unit}"


def _row(row: Sequence[str]) -> str:
    first, *others = row
    padded = [
        f"  {first:<{_WIDTHS[0]}}",
        *(f"{cell:>{width}}" for cell, width in zip(others, _WIDTHS[1:], strict=True)),
    ]
    return " ".join(padded).rstrip()


def _of_peers(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    """One row for each who, one column for each what."""
    if not figures:
        return []
    grid = peer_grid(figures)
    columns = list(dict.fromkeys(str(each["what"]) for each in figures))
    rows = [["", *columns], *([who, *(row.get(column, "-") for column in columns)] for who, row in grid.items())]
    return ["", TITLES["peers"], *(f"  {row[0]:<12}" + "".join(f"{cell:>13}" for cell in row[1:]) for row in rows)]


def peer_grid(figures: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    """Who -> what -> its ratio to raw, or the figure itself where there is no raw one."""
    grid: dict[str, dict[str, str]] = {}
    for each in figures:
        text = f"{each['ratio']['median']:.3f} x" if each["ratio"] else amount(each["ours"]["median"], each["unit"])
        grid.setdefault(str(each["who"]), {})[str(each["what"])] = text
    return grid


def _of_losses(losses: Sequence[Mapping[str, Any]]) -> list[str]:
    if not losses:
        return []
    rows = [["", "in hand", "lost", "twice", "all begun again after"]]
    rows += [
        [str(each["who"]), str(each["in_hand"]), str(each["lost"]), str(each["repeated"]), recovery_text(each)]
        for each in losses
    ]
    runs = max(int(each["runs"]) for each in losses)
    title = f"killed: a worker by SIGKILL in mid-job, another started in its place at once; n = {runs} each"
    return ["", title, *(f"  {who:<24}{had:>8}{lost:>6}{twice:>7}   {when}" for who, had, lost, twice, when in rows)]


def recovery_text(loss: Mapping[str, Any]) -> str:
    """Seconds, or that it did not happen while anybody looked."""
    seconds = loss["recovered_seconds"]
    return f"not within {loss['waited_seconds']:.0f} s" if seconds is None else f"{seconds:.1f} s"
