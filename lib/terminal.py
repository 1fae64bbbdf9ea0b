"""Words on their way to a terminal: what comes from others is shown there and never obeyed.

Names, errors and descriptions come from files and jobs of anybody. The three command lines and the logs pass what they
print of them through here.
"""

from __future__ import annotations

import os
import re
import shutil
import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO


WIDTH_UNKNOWN: Final = 80
"""Columns where nobody says how many there are."""

_WIDTH_LEAST: Final = 40
_COMMAND: Final = re.compile(r"`[^`]*`")
_HELD_BLANK: Final = "\x00"


def width_of(stream: TextIO) -> int:
    """Columns of a stream; 80 when it is no terminal."""
    if not stream.isatty():
        return WIDTH_UNKNOWN
    return max(_WIDTH_LEAST, shutil.get_terminal_size((WIDTH_UNKNOWN, 24)).columns)


def wrapped(text: str, stream: TextIO, *, indent: int = 2) -> str:
    """Broken at blanks for a terminal, never inside a command in backquotes; as it is when there is no terminal."""
    if not stream.isatty():
        return text
    held = _COMMAND.sub(lambda found: found[0].replace(" ", _HELD_BLANK), text)
    lines = textwrap.wrap(
        held,
        width_of(stream),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace(_HELD_BLANK, " ") or text


def clean(text: str, *, keep: str = "") -> str:
    """Text with control characters (but those in `keep`) and direction marks shown as escapes."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else character.encode("unicode_escape").decode()
        for character in text
    )


def write(stream: TextIO, text: str) -> None:
    """Write at once. Where the reader has gone (`… | head`), this and all that follows is dropped."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        # The stream is pointed at nothing, so that the interpreter's last flush is quiet too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
