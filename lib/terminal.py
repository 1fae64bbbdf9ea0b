"""Words on their way to a terminal: what comes from others is shown there and never obeyed.

Names, errors and descriptions come from files and jobs of anybody. The three command lines and the logs pass what they
print of them through here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


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
