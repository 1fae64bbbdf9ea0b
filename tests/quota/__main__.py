"""The courses' command line.

    python -m tests.quota [allowance] [closing] [day] [budget] [--watchers 8] [--minutes 3]

Exit code 0: all figures are within their bounds; 1: one is not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.quota import course

if TYPE_CHECKING:
    from collections.abc import Sequence

COURSES = ("allowance", "closing", "day", "budget")


def options_of(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line; all courses where none is named."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.quota", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("courses", nargs="*", type=_name, metavar="COURSE", help=", ".join(COURSES))
    parser.add_argument("--watchers", type=int, default=8)
    parser.add_argument("--minutes", type=int, default=3)
    options = parser.parse_args(words)
    options.courses = options.courses or list(COURSES)
    return options


def main() -> int:
    """Run those asked for and print their figures."""
    options = options_of()
    wrong = False
    for name in options.courses:
        with tempfile.TemporaryDirectory(prefix="quota-") as folder:
            figures = asyncio.run(_course(name, Path(folder), options.watchers, options.minutes))
        sys.stdout.write(f"{name}\n" + "".join(f"  {what}: {value}\n" for what, value in figures.seen.items()))
        sys.stdout.write("".join(f"  not as it must be: {each}\n" for each in figures.wrong))
        sys.stdout.flush()
        wrong = wrong or bool(figures.wrong)
    return 1 if wrong else 0


def _name(text: str) -> str:
    # As `choices` it would refuse to be left out.
    if text not in COURSES:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(COURSES)}")
    return text


async def _course(name: str, folder: Path, watchers: int, minutes: int) -> course.Figures:
    match name:
        case "allowance":
            return await course.allowance(folder, watchers=watchers, minutes=minutes, rpm=120, tpm=1_000_000)
        case "closing":
            return await course.closing(folder, watchers=watchers, rpm=600, seconds=17.0)
        case "day":
            return await course.day(folder, watchers=watchers, rpd=150)
        case _:
            return await course.budget(folder, watchers=2, usd=1.0, seconds=30.0)


if __name__ == "__main__":
    sys.exit(main())
