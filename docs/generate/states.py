"""The diagram of a job's states and its text form, from `lib.jobqueue.states.MOVES`."""

from __future__ import annotations

from docs.generate.markdown import block, code, table
from lib.jobqueue.states import HTTP_NAMES, MOVES, STATES, TERMINAL


def part() -> str:
    """The diagram, the same as a table, and the states in a row."""
    title = "## Where a state is kept"
    return "\n\n".join([block(diagram(), "mermaid"), "The same as a table:", _arrows(), title, _kept()])


def diagram() -> str:
    """One arrow a move, and how a record leaves in the end."""
    lines = ["stateDiagram-v2", "    direction LR"]
    for move in MOVES:
        again = " (next generation)" if move.new_generation and move.source else ""
        lines.append(f"    {move.source or '[*]'} --> {move.target}: {move.by}{again}")
    lines += [f"    {state} --> [*]: its time to live, or flush --hard" for state in STATES if state in TERMINAL]
    return "\n".join(lines)


def _arrows() -> str:
    rows = []
    for move in MOVES:
        source = code(move.source) if move.source else "(new)"
        rows.append((source, code(move.target), move.by, "yes" if move.new_generation else ""))
    return table(("from", "to", "by", "next generation"), rows)


_PLACES = {
    "queued": "a row of the index, and an entry in an intake or a lane",
    "leased": "a row of the index with session and fence, and an entry that is pending in a lane",
    "delayed": "a row of the index, the job in `jobs:delayed`, and its due time or its place behind a conflict key",
    "done": "a record in `jobs:result`",
    "failed": "a record in `jobs:failed`",
    "cancelled": "a record in `jobs:failed` whose `status` says so",
}


def _kept() -> str:
    rows = [(code(state), _PLACES[state], code(HTTP_NAMES[state])) for state in STATES]
    return table(("state", "kept as", "name for HTTP clients"), rows)
