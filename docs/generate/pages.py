"""Which pages are generated, and from what. A page is made whole, or one part of it between two marks."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from docs.generate import commands, records, scripts, settings, states

HOUSE: Final = Path(__file__).parents[2]

_WHOLE: Final = {
    "docs/reference/commands.md": commands.page,
    "docs/reference/settings.md": settings.page,
    "docs/reference/records.md": records.page,
    "docs/reference/scripts.md": scripts.page,
}
_PARTS: Final = {"docs/explanation/state-machine.md": ("states", states.part)}
"""Pages written by hand with one generated part: its mark, and what makes it."""


def pages() -> dict[str, str]:
    """Path in the house -> the text that it must have."""
    made = {path: make() for path, make in _WHOLE.items()}
    for path, (mark, make) in _PARTS.items():
        made[path] = with_part((HOUSE / path).read_text(encoding="utf-8"), mark, make())
    return made


def outdated() -> list[str]:
    """The pages whose file is missing or says something else."""
    return [path for path, text in pages().items() if _read(HOUSE / path) != text]


def with_part(page: str, mark: str, part: str) -> str:
    """`page` with what stands between the marks replaced by `part`; ValueError when a mark is missing."""
    begin, end = f"<!-- {mark}: written by `make docs` -->\n", f"<!-- end of {mark} -->\n"
    head, found, rest = page.partition(begin)
    _, found_end, tail = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the page needs the two lines {begin.strip()} and {end.strip()}")
    return f"{head}{begin}\n{part}\n\n{end}{tail}"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""
