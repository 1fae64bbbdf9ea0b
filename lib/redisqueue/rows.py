"""A row of the index as Python sees it: the one place that reads the format of `lua/include/rows.lua`.

Only the scripts write rows. `reader` and `fsck` parse them here; nobody changes one in Python.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Self

ActiveState = Literal["queued", "leased", "delayed"]

_STATES: Final[dict[str, ActiveState]] = {"Q": "queued", "L": "leased", "D": "delayed"}
_FIELDS: Final = 12
"""Parts of a row; the conflict key is the last and alone may contain the separator."""


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What is true about one active job; empty text where a part does not apply.

    `stream` is relative (an intake or lane), `reason` says why a job is delayed: `run_after`, `retry`, `key`, or
    `key:<due Unix ms>`, and of a leased one when no death of its watcher counts: `drain`, or `ahead` while its body has
    not begun. `attempts_used` counts finished tries.
    """

    state: ActiveState
    generation: str
    attempts_used: int
    deaths: int
    crashes: int
    stream: str
    entry: str
    identity: str
    session: str
    fence: str
    reason: str
    key: str

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """The row of its text.

        Raises:
            ValueError: the text was not written by the scripts.

        """
        parts = raw.decode("utf-8", "surrogateescape").split("|", _FIELDS - 1)
        if len(parts) != _FIELDS or parts[0] not in _STATES or not parts[1].isdigit():
            raise ValueError(f"not a row of the index: {raw[:200]!r}")
        state, generation, attempts, deaths, crashes, stream, entry, *rest = parts
        if entry[:1].islower():
            # Short, of a job that has not moved: a letter for how many ms it was written before its generation.
            entry = f"{int(generation) // 1000 - (ord(entry[0]) - ord('a'))}-{entry[1:]}"
        return cls(_STATES[state], generation, int(attempts), int(deaths or 0), int(crashes or 0), stream, entry, *rest)

    @classmethod
    def readable(cls, raw: bytes | None) -> Self | None:
        """The row, or None where there is none or a damaged one: that must not hide others, and fsck names it."""
        try:
            return cls.parse(raw) if raw is not None else None
        except ValueError:
            return None
