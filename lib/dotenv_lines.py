"""Lines of `.env` that are no settings, told once and in our words.

The library that reads the file logs each of them anew whenever the file is read, and names no file. `lib.settings`
reads it; a program's `main` wraps its work in `bad_lines_told`, and `doctor` asks for the lines themselves.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from dotenv.parser import Binding

DOTENV: Final = ".env"
"""In the working directory."""

MEND: Final = "write NAME=value, or # before a comment"
_LOGGER: Final = "dotenv.main"
_LOGGED: Final = "python-dotenv could not parse"


def unread_lines(path: Path) -> list[int]:
    """The 1-based numbers of the lines that set nothing and are no comment; blocks on the disk."""
    from dotenv.parser import parse_stream  # noqa: PLC0415 - 10 ms that only a file costs

    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            bindings = list(parse_stream(stream))
    except OSError:
        return []
    return [_line_of(each) for each in bindings if each.error or (each.key is not None and each.value is None)]


def _line_of(binding: Binding) -> int:
    # What the library calls a statement begins with the blank lines above it.
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


@contextmanager
def bad_lines_told(say: Callable[[str], object]) -> Iterator[None]:
    """Within the block every such line is told to `say`, once, in place of what the library logs."""
    path = Path(DOTENV)
    if not path.is_file():
        yield
        return
    import logging  # noqa: PLC0415 - the library imports it too, and only for such a file

    told: set[int] = set()

    def hold_back(record: logging.LogRecord) -> bool:
        for line in unread_lines(path):
            if line not in told:
                told.add(line)
                say(f"{DOTENV}:{line} is no setting and is left out; {MEND}")
        return not record.getMessage().startswith(_LOGGED)

    logger = logging.getLogger(_LOGGER)
    logger.addFilter(hold_back)
    try:
        yield
    finally:
        logger.removeFilter(hold_back)
