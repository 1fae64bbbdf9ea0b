"""The drawn view of `watch`: bars for running jobs, lanes, totals, rate and ETA, redrawn at each snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from job_runner.cli.tables import eta_text, moves_text, pool_lines, rented_text, spend_text
from lib.terminal import clean

if TYPE_CHECKING:
    from job_runner.service.watching import Snapshot

BARS_MAX: Final = 12
"""More bars than this push the totals off a small terminal."""

_BAR_COLUMNS: Final = 24


class LiveView:
    """A context that draws on the terminal until it is left; call it with each snapshot."""

    def __init__(self, *, colored: bool, console: Console | None = None) -> None:
        self._console = console or Console(no_color=not colored, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=False)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._live.stop()

    def __call__(self, snapshot: Snapshot) -> None:
        """Draw this one over the last."""
        self._live.update(drawn(snapshot), refresh=True)


def drawn(snapshot: Snapshot) -> Group:
    """One snapshot as something to print."""
    document = snapshot.document
    parts: list[Any] = [_bars(snapshot.progress), _lanes(document["lanes"]), _totals(document)]
    if snapshot.trouble:
        parts.append(Text(f"waiting: {clean(snapshot.trouble)}", style="bold red"))
    return Group(*parts)


def _bars(progress: dict[str, dict[str, Any]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(max_width=40, no_wrap=True, overflow="ellipsis")
    for _ in range(3):
        grid.add_column(no_wrap=True)
    for request_id, state in sorted(progress.items())[:BARS_MAX]:
        percent = float(state.get("percent") or 0)
        message = clean(str(state.get("message") or ""))
        bar = ProgressBar(total=100, completed=percent, width=_BAR_COLUMNS)
        grid.add_row(Text(clean(request_id)), bar, Text(f"{percent:3.0f} %"), Text(message))
    if len(progress) > BARS_MAX:
        grid.add_row(Text(f"and {len(progress) - BARS_MAX} more"))
    return grid


def _lanes(lanes: dict[str, Any]) -> Text:
    shown = [
        f"{lane['backend']} {lane['capability']}: {lane['running']} running, {lane['waiting']} waiting"
        for lane in lanes.values()
        if lane["length"]
    ]
    return Text("   ".join(shown) or "no lane is busy", style="dim")


def _totals(document: dict[str, Any]) -> Text:
    totals = document["totals"]
    text = Text()
    for name, style in (("queued", "cyan"), ("leased", "yellow"), ("delayed", "yellow"), ("done", "green")):
        text.append(f"{totals[name]} {name}  ", style=style)
    text.append(f"{totals['failed']} failed  ", style="red" if totals["failed"] else "dim")
    text.append(f"{totals['cancelled']} cancelled\n", style="dim")
    text.append(f"{document['rate']['jobs_per_min']:g} jobs/min  ETA {eta_text(document)}")
    spent = spend_text(document["spend"])
    if spent:
        text.append(f"  today {spent}")
    for line in (moves_text(document["rate"]), *pool_lines(document["pools"])):
        if line:
            text.append(f"\ncloud: {line}", style="dim")
    rented = rented_text(document)
    if rented:
        text.append(f"\nrented: {rented}", style="dim")
    return text
