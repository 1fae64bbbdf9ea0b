"""Start times of the commands that people wait for, against a Python that does nothing."""

from __future__ import annotations

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from bench.figure import Figure, Found, Target, at_most
from bench.stand import BIN, HOUSE, said_by, standing
from bench.turns import by_turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.sizes import Sizes

_EXAMPLE: Final = str(HOUSE / "jobs.example.yaml")
COMMANDS: Final[tuple[tuple[str, tuple[str, ...], Target | None], ...]] = (
    ("job-runner --help", ("--help",), at_most(150)),
    ("job-runner status", ("status",), at_most(300)),
    ("job-runner plan, 7 jobs", ("plan", _EXAMPLE), None),
)
_TIMES: Final = 3
"""Runs of each for every repeat: single starts vary by a fifth."""


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """Each command and a bare Python by turns, over and over; the files are in the page cache."""
    times: dict[str, list[tuple[float, float]]] = {what: [] for what, _, _ in COMMANDS}
    async with standing() as stand:
        environ = stand.environ()
        environ.pop("JOBS_TASK_MODULES")
        for number in range(1 + sizes.repeats * _TIMES):
            for what, words, _ in COMMANDS:
                command = (str(BIN / "job-runner"), *words)
                ours, beside = await by_turns(
                    number,
                    partial(seconds_of, *command, environ=environ, cwd=stand.state),
                    partial(seconds_of, sys.executable, "-c", "pass", environ=environ, cwd=stand.state),
                )
                if number:  # the first round fills the caches
                    times[what].append((ours * 1000, beside * 1000))
            step()
    found = []
    for what, _, target in COMMANDS:
        mine, other = zip(*times[what], strict=True)
        found.append(Figure("start", what, "ms", mine, other, "python -c pass", target))
    return Found(found)


async def seconds_of(*words: str, environ: dict[str, str], cwd: Path) -> float:
    """From start to end of a program; `cwd` is a place without a .env file of the user's.

    Raises:
        StandError: it failed; the message has what it said.

    """
    begun = time.perf_counter()
    await said_by(*words, environ=environ, cwd=cwd)
    return time.perf_counter() - begun
