"""How the reader of a message calls the programs: by name, or through `./run` of a checkout.

Messages name commands as `job-runner …` in backquotes, examples as lines that begin with one. Whoever started the
program through `./run` would not find that name, so both command lines pass what they print for people through here.
"""

from __future__ import annotations

import os
import re
import shlex
from typing import Final

RUN_VARIABLE: Final = "JOB_RUNNER_RUN"
"""`./run` sets it to its own name as it was typed."""

_PROGRAMS: Final = "job-runner|job-watcher|voice-synth"
_QUOTED: Final = re.compile(rf"`({_PROGRAMS})(?=[ `])")
_EXAMPLE: Final = re.compile(rf"^( +)({_PROGRAMS})(?= |$)", re.MULTILINE)


def _run() -> str:
    return shlex.quote(run) if (run := os.environ.get(RUN_VARIABLE, "")) else ""


def as_called(text: str) -> str:
    """A message with its commands as the reader can type them."""
    run = _run()
    return _QUOTED.sub(lambda found: f"`{run} {found[1]}", text) if run else text


def examples_as_called(text: str) -> str:
    """The same for a block of examples, one command a line."""
    run = _run()
    return as_called(_EXAMPLE.sub(lambda found: f"{found[1]}{run} {found[2]}", text)) if run else text


def install_extra(extra: str) -> str:
    """What to type, in a checkout, for what the default installation leaves out.

    Never a bare package name: an index may hold somebody else's package under ours.
    """
    return f".venv/bin/pip install --constraint constraints.txt --editable '.[{extra}]'"


def program_as_called(name: str) -> str:
    """The name of a program, for its usage line."""
    run = _run()
    return f"{run} {name}" if run else name
