"""The states of a job and the moves between them, as data.

The Lua scripts make the moves; this table is what they, the diagram in the documentation and the model of the
property tests are compared with. It decides nothing about who may move a job or when, only which arrows exist.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

JobState = Literal["queued", "leased", "delayed", "done", "failed", "cancelled"]
TerminalState = Literal["done", "failed", "cancelled"]

STATES: Final[tuple[JobState, ...]] = get_args(JobState)
TERMINAL: Final[frozenset[JobState]] = frozenset(get_args(TerminalState))
ACTIVE: Final[frozenset[JobState]] = frozenset(STATES) - TERMINAL

HTTP_NAMES: Final[dict[JobState, str]] = {
    "queued": "pending",
    "delayed": "pending",
    "leased": "processing",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
"""What a client of the HTTP face sees."""


@dataclass(frozen=True, slots=True)
class Move:
    """One arrow: from `source` (None: the id is new) to `target`, made by the operation `by`.

    `new_generation` is true where the move accepts a new request for the same id.
    """

    source: JobState | None
    target: JobState
    by: str
    new_generation: bool = False


MOVES: Final[tuple[Move, ...]] = (
    Move(None, "queued", "submit", new_generation=True),
    Move(None, "delayed", "submit with run_after, or behind a conflict key", new_generation=True),
    Move("queued", "leased", "start"),
    Move("leased", "done", "commit"),
    Move("leased", "failed", "commit, or the last attempt's end"),
    Move("leased", "cancelled", "cancel"),
    Move("leased", "delayed", "retry after a temporary error"),
    Move("leased", "queued", "hand back, drain or sweep"),
    Move("queued", "delayed", "conflict key held by another"),
    Move("delayed", "queued", "due, or conflict key free"),
    Move("queued", "cancelled", "cancel"),
    Move("delayed", "cancelled", "cancel"),
    Move("queued", "failed", "unreadable, lost or refused before its start"),
    Move("delayed", "failed", "unreadable, lost or refused before its start"),
    Move("failed", "queued", "retry or replace", new_generation=True),
    Move("cancelled", "queued", "retry or replace", new_generation=True),
    Move("done", "queued", "replace", new_generation=True),
    Move("failed", "delayed", "retry or replace, not yet due or behind a key", new_generation=True),
    Move("cancelled", "delayed", "retry or replace, not yet due or behind a key", new_generation=True),
    Move("done", "delayed", "replace, not yet due or behind a key", new_generation=True),
)


def targets(source: JobState | None) -> frozenset[JobState]:
    """The states that a job in `source` may move to."""
    return frozenset(move.target for move in MOVES if move.source == source)
