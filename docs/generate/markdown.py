"""The little Markdown that all generated pages use."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH: Final = 118
"""Of running text; tables and code are as wide as they are."""


def opening(title: str, source: str, *paragraphs: str) -> str:
    """Title, where the page comes from, and what it is about."""
    note = f"<!-- Written by `make docs` from {source}; changes by hand are lost. -->"
    return "\n\n".join([f"# {title}", note, *map(flowed, paragraphs)])


def flowed(text: str) -> str:
    """One paragraph at a fixed width."""
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table; what a cell says never ends it."""
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *([_cell(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(text: str) -> str:
    """A word of code; nothing for nothing."""
    return f"`{text}`" if text else ""


def codes(words: Iterable[str]) -> str:
    """Several words of code."""
    return ", ".join(map(code, words))


def block(text: str, language: str = "") -> str:
    """Several lines of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def joined(*parts: str) -> str:
    """The parts that say something, as one page."""
    return "\n\n".join(part for part in parts if part) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
