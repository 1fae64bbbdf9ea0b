"""`python -m docs.generate.pictures`: the picture of a terminal in the README, made from real output of real commands.

The commands are typed into a pseudo-terminal in a fresh checkout; what they print, colours included, becomes an SVG. It
holds its own background, so it looks the same on a light page and a dark one. Times in it are those of the machine
at hand, so no test compares it; `make docs-pictures` makes it anew after the output of a command has changed.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
import tempfile
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from docs.generate.pages import HOUSE
from tests.support.checkout import fresh_checkout

TOUR: Final = (
    "./run job-runner enqueue jobs.example.yaml",
    "./run job-watcher --drain",
    "./run job-runner report jobs.example.yaml",
)
COLUMNS: Final = 100
HOME: Final = "~/job-runner"

_THEME: Final = TerminalTheme(
    background=(24, 26, 31),
    foreground=(208, 211, 218),
    normal=[
        (60, 64, 74),
        (224, 108, 117),
        (152, 195, 121),
        (229, 192, 123),
        (97, 175, 239),
        (198, 120, 221),
        (86, 182, 194),
        (208, 211, 218),
    ],
)
# A font from the network would not be loaded inside a page; any font of one width does.
_FONTS: Final = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_CELL: Final = 12.2
"""The width of a letter in the SVG that rich writes."""
_LED: Final = re.compile(
    r'x="(?P<x>[\d.]+)"(?P<y> y="[\d.]+" )textLength="(?P<length>[\d.]+)"(?P<rest>[^>]*)>'
    r"(?P<blanks>(?:&#160;)+)(?=[^<\s])"
)


async def tour(place: Path) -> list[str]:
    """The screen after the commands, line by line, with colours."""
    screen: list[str] = []
    async with fresh_checkout(place) as checkout:
        await checkout.type("./run job-runner server start")
        for line in TOUR:
            said = await checkout.type(line)
            if said.code:
                raise RuntimeError(str(said))
            screen += [f"\x1b[1;32m$\x1b[0m \x1b[1m{line}\x1b[0m", *on_screen(said.text), ""]
    return [line.replace(str(place), HOME) for line in screen[:-1]]


def on_screen(text: str) -> list[str]:
    """What a terminal shows in the end of all that it was sent: bars that were drawn over and over stand there once."""
    lines, row = [""], 0
    for piece in re.split(r"(\n|\r|\x1b\[\d*[A-HJK]|\x1b\[\?\d+[hl])", text):
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif re.fullmatch(r"\x1b\[\d*A", piece):
            row = max(0, row - int(piece[2:-1] or 1))
        elif piece == "\r" or re.fullmatch(r"\x1b\[\d*K", piece):
            # Whoever goes back to the front here writes the whole line anew.
            lines[row] = ""
        elif not piece.startswith("\x1b[?"):
            lines[row] += piece
    while lines and not lines[-1].strip():
        lines.pop()
    return [line for line in lines if line.strip()]


def picture(lines: list[str], title: str) -> str:
    """The lines as an SVG of a terminal's window."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line, no_wrap=True, overflow="ellipsis"))
    svg = _LED.sub(_moved, _FONTS.sub("", console.export_svg(title=title, theme=_THEME, unique_id="tour")))
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _moved(found: re.Match[str]) -> str:
    """A piece of text that begins with blanks, put where its first letter is: some viewers drop blanks in front."""
    led = found["blanks"].count(";") * _CELL
    x, length = float(found["x"]) + led, float(found["length"]) - led
    return f'x="{x:g}"{found["y"]}textLength="{length:g}"{found["rest"]}>'


def main() -> int:
    """Write docs/pictures/tour.svg."""
    with tempfile.TemporaryDirectory() as directory:
        lines = asyncio.run(tour(Path(directory) / "job-runner"))
    path = HOUSE / "docs" / "pictures" / "tour.svg"
    path.parent.mkdir(exist_ok=True)
    path.write_text(picture(lines, "job-runner"), encoding="utf-8")
    sys.stdout.write(f"{path.relative_to(HOUSE)} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
