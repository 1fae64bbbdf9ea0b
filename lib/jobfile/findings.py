"""The problems of one file, gathered while it is read.

A file that is wrong in every row would otherwise fill memory and the terminal: reading stops after a thousand
problems, and a hundred are shown.
"""

from __future__ import annotations

from typing import Final

from lib.errors import Problem

MAX_FOUND: Final = 1_000
"""Reading stops here: more would not help anybody mend the file."""

MAX_SHOWN: Final = 100
"""So many are handed on; the rest is a number."""

_WHERE_CHARACTERS: Final = 200


class TooManyError(Exception):
    """`MAX_FOUND` problems were found; nothing more is read."""


class Findings:
    """Collects problems of `source`; the same one is kept once."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._found: list[Problem] = []
        self._said: set[tuple[int, str, str]] = set()
        self._fresh = 0

    def add(self, line: int, where: str, message: str) -> None:
        """Note a problem.

        Raises:
            TooManyError: this was the last one that is noted.
        """
        place = where if len(where) <= _WHERE_CHARACTERS else where[: _WHERE_CHARACTERS - 1] + "…"
        if (line, place, message) in self._said:
            return
        self._said.add((line, place, message))
        self._found.append(Problem(self._source, line, place, message))
        if len(self._found) >= MAX_FOUND:
            raise TooManyError

    def fresh(self) -> list[Problem]:
        """Those added since the last call."""
        fresh = self._found[self._fresh :]
        self._fresh = len(self._found)
        return fresh

    def __len__(self) -> int:
        return len(self._found)
