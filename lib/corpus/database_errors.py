"""What an error of a database means: whether it passes, whether we may log in, and what the database said.

One reading for corpora and for the tasks that try a database out; each has its own errors and words for it. PostgreSQL
has codes, of which the class decides; SQLite has none that reach us, so its words do. What is not known to last passes
where the driver calls it one of its operations: another try costs little, and a batch given up costs its answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import exc

# Classes of SQLSTATE after which the same request may go well: connection, conflict, resources, lock, shutdown, system.
_PASSING: Final = ("08", "40", "53", "55", "57", "58")
_LOGIN: Final = ("28", "3D")
# What SQLite says that no waiting mends.
_LASTING: Final = (
    "unable to open",
    "readonly",
    "not a database",
    "malformed",
    "no such table",
    "no such column",
    "has no column",
)


@dataclass(frozen=True, slots=True)
class DatabaseWord:
    """`state` is the SQLSTATE, empty where there is none; `said` one line, without statement and values."""

    kind: Literal["passes", "login", "lasts"]
    state: str
    said: str


def read_error(caught: exc.DBAPIError) -> DatabaseWord:
    """What it means. Only what the database itself says: the library's text holds the statement and its values."""
    original = caught.orig
    first = original.args[0] if original is not None and original.args else ""
    if isinstance(first, dict):  # pg8000 hands on the fields of the server's answer: C its code, M its message
        state, said = str(first.get("C", "")), " ".join(str(first.get("M", "")).split())
        if state.startswith(_LOGIN):
            return DatabaseWord("login", state, said)
        passes = not state or state.startswith(_PASSING) or caught.connection_invalidated
        return DatabaseWord("passes" if passes else "lasts", state, said)
    said = " ".join(str(first or type(original).__name__).split())
    passes = isinstance(caught, exc.OperationalError | exc.InterfaceError) and not any(
        each in said for each in _LASTING
    )
    return DatabaseWord("passes" if passes or caught.connection_invalidated else "lasts", "", said)
