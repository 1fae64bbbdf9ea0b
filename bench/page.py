"""The report as a page of docs/benchmarks/: the same document as the table, in Markdown. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from bench.report import TITLES, besides, cells, disturbed, missed, peer_grid, recovery_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PICTURES: Final = {
    "ratios.svg": "Submit, move and drain by the raw limit, with the targets",
    "peers.svg": "Drain and bulk submit of all queues by the raw limit",
    "latency.svg": "From submit to the body, idle",
    "recovery.svg": "From a worker's SIGKILL until its jobs had begun again",
    "growth.svg": "Ours by raw, with more and more jobs in the queue",
}
_PEER_COLUMNS: Final = ("bulk submit", "one by one", "drain", "to body p50", "to body p99", "bytes a job")


def page(told: Mapping[str, Any], pictures: Sequence[str]) -> str:
    """The whole page; `pictures` are those that could be drawn."""
    lines = ["# The last run", "", "Made by `make bench`; [how to read it](index.md).", ""]
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in told["conditions"].items())]
    if busy := disturbed(told["conditions"]):
        lines += ["", *(f"**{each}**" for each in busy)]
    aimed = [each for each in told["figures"] if each["met"] is not None]
    if aimed:
        off = missed(aimed)
        lines += ["", f"Of {len(aimed)} targets {len(aimed) - len(off)} are met{'; not met:' if off else '.'}", ""]
        lines += [f"- {each}" for each in off]
    own = [each for each in told["figures"] if each["part"] != "peers"]
    for part, figures in groupby(own, key=lambda each: str(each["part"])):
        lines += ["", *_section(part, list(figures))]
    lines += _peers([each for each in told["figures"] if each["part"] == "peers"])
    lines += _losses(told["losses"])
    if told["failures"]:
        lines += ["", "## Not measured", "", *(f"- {name}: {_one_line(why)}" for name, why in told["failures"].items())]
    if pictures:
        lines += ["", "## Pictures"]
        for name in pictures:
            lines += ["", f"![{PICTURES[name]}]({name})"]
    return "\n".join(lines) + "\n"


def _section(part: str, figures: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [f"## {TITLES.get(part, part).capitalize()}", ""]
    lines += [f"| | ours | {besides(figures)} | ratio | spread | target | |", "|---|---|---|---|---|---|---|"]
    lines += ["| " + " | ".join(cells(each)) + " |" for each in figures]
    notes = list(dict.fromkeys(str(each["note"]) for each in figures if each["note"]))
    return lines + (["", "; ".join(notes) + f"; {figures[0]['runs']} runs."] if notes else [])


def _peers(figures: Sequence[Mapping[str, Any]]) -> list[str]:
    if not figures:
        return []
    grid = peer_grid(figures)
    columns = [each for each in _PEER_COLUMNS if any(each in row for row in grid.values())]
    lines = ["", "## Other queues, the same work and payload", ""]
    lines += ["Rates are by the raw limit of the same server in the same minute.", ""]
    lines += ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {who} | " + " | ".join(row.get(column, "-") for column in columns) + " |" for who, row in grid.items()
    ]
    settings = {str(each["who"]): str(each["note"]) for each in figures}
    return [*lines, "", *(f"- {who}: {note}" for who, note in settings.items())]


def _losses(losses: Sequence[Mapping[str, Any]]) -> list[str]:
    if not losses:
        return []
    runs = max(int(each["runs"]) for each in losses)
    lines = ["", "## A worker killed in mid-job", ""]
    lines += [f"n = {runs} for each: what was lost was lost, but the seconds are one run's, and say no more.", ""]
    lines += ["| | in hand | lost | ended twice | begun again after | setting |", "|---|---|---|---|---|---|"]
    return lines + [
        f"| {each['who']} | {each['in_hand']} of {each['jobs']} | {each['lost']} | {each['repeated']} | "
        f"{recovery_text(each)} | {each['setting']} |"
        for each in losses
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
