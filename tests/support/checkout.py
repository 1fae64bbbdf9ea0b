"""A fresh checkout for tests of what documents tell people to type: its files, its programs, a state of its own.

`.venv` holds small scripts that start the programs of this tree, and the stamps that tell `make` that nothing is to be
installed: no network, and never a hand on the real environment. `tests/test_tutorial.py`, `tests/test_readme.py` and
`tests/test_requirement_002.py` use it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lib import embedded
from tests.support.terminal import Said, typed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

HOUSE: Final = Path(__file__).parents[2]

PROGRAMS: Final = {
    "job-runner": "job_runner.cli.app",
    "job-watcher": "job_watcher.cli",
    "voice-synth": "lib.voice_synth.cli",
}

_FILES: Final = ("Makefile", "run", "pyproject.toml", "constraints.txt", "jobs.example.yaml", ".env.example")
_FOLDERS: Final = ("examples",)


@dataclass
class Checkout:
    """A directory that looks like a clone after `make install`."""

    place: Path
    environ: dict[str, str] = field(default_factory=dict)

    async def type(self, line: str, *, answers: Mapping[str, str] | None = None, deadline_seconds: float = 90) -> Said:
        """What the terminal shows after this line of shell, and its exit code; prompts are answered from `answers`."""
        return await typed(
            line, cwd=self.place, environ=self.environ, answers=answers or {}, deadline_seconds=deadline_seconds
        )

    def write(self, name: str, text: str) -> None:
        """A file that the reader of a document is told to write."""
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


@asynccontextmanager
async def fresh_checkout(place: Path) -> AsyncIterator[Checkout]:
    """A checkout whose bundled server will come up on a free port of its own, and is stopped in the end."""
    _copy_files(place)
    programs = place / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, module in PROGRAMS.items():
        _script(programs / name, f"-c {_start_of(name, module)}")
    _script(programs / "python", "")
    for stamp in ("made", "core", "dev"):
        (place / ".venv" / stamp).touch()
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    checkout = Checkout(place, {**kept, "HOME": str(place), "TERM": "xterm-256color", "COLUMNS": "100"})
    state = place / ".state"
    try:
        # So that `server start`, as documents have it, takes a free port and not 6379, which may be somebody's.
        await embedded.start(state, port=None)
        await embedded.stop(state)
        yield checkout
    finally:
        await asyncio.shield(embedded.stop(state))


def _copy_files(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copy2(HOUSE / name, place / name)
    for name in _FOLDERS:
        if (HOUSE / name).is_dir():
            shutil.copytree(HOUSE / name, place / name)


def _start_of(name: str, module: str) -> str:
    code = f"import sys; sys.argv[0] = {name!r}; from {module} import main; sys.exit(main())"
    return f'"{code}"'


def _script(path: Path, arguments: str) -> None:
    path.write_text(
        "#!/bin/sh\n"
        f"PYTHONPATH='{HOUSE}'${{PYTHONPATH:+:$PYTHONPATH}}\n"
        "export PYTHONPATH\n"
        f"exec '{sys.executable}' {arguments} \"$@\"\n"
    )
    path.chmod(0o755)


def without_colour(text: str) -> str:
    """What a terminal was sent, without what drives it."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]", "", text).replace("\r\n", "\n")
