"""A terminal for tests: a line of shell typed into a real pseudo-terminal, prompts answered, everything seen.

Called by tests that must see what a person sees: colours, questions, bars. Without a window nothing is drawn wider than
COLUMNS says.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_ROWS: Final = 40
_COLUMNS: Final = 100
_READ_BYTES: Final = 65_536
_SHOWN: Final = 2_000
"""Characters of the screen's end that a failure shows: bars that are drawn again and again would fill pages."""


@dataclass(frozen=True, slots=True)
class Said:
    """A line, its exit code, and what the terminal was sent."""

    line: str
    code: int
    text: str

    def __str__(self) -> str:
        return f"$ {self.line}\n{self.text}\n(exit code {self.code})"


async def typed(
    line: str, *, cwd: Path, environ: Mapping[str, str], answers: Mapping[str, str], deadline_seconds: float
) -> Said:
    """Run `line` with `sh`; whenever what was said since the last answer matches a pattern, its answer is typed.

    Raises:
        AssertionError: it did not end in time; everything that it started is killed.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", _ROWS, _COLUMNS, 0, 0))
    try:
        process = await asyncio.create_subprocess_exec(
            "sh",
            "-c",
            line,
            cwd=cwd,
            env=dict(environ),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
    finally:
        os.close(theirs)
    screen = _Screen(ours, answers)
    try:
        async with asyncio.timeout(deadline_seconds):
            # A server that it left behind keeps the terminal open, so its own end is what counts.
            await process.wait()
            await screen.settle()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise AssertionError(f"not within {deadline_seconds:g} s: {line}\n{screen.text[-_SHOWN:]}") from None
    finally:
        screen.close()
    assert process.returncode is not None
    return Said(line, process.returncode, screen.text)


class _Screen:
    """Reads what is said, and answers."""

    def __init__(self, descriptor: int, answers: Mapping[str, str]) -> None:
        self._descriptor = descriptor
        self._answers = {re.compile(pattern): answer for pattern, answer in answers.items()}
        self._heard = bytearray()
        self._answered_to = 0
        self._ended = asyncio.Event()
        os.set_blocking(descriptor, False)
        asyncio.get_running_loop().add_reader(descriptor, self._read)

    @property
    def text(self) -> str:
        return self._heard.decode(errors="replace").replace("\r\n", "\n")

    def _read(self) -> None:
        try:
            piece = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last one that had the terminal has closed it
            piece = b""
        if not piece:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._ended.set()
            return
        self._heard += piece
        new = self._heard[self._answered_to :].decode(errors="replace")
        for pattern, answer in self._answers.items():
            if pattern.search(new):
                self._answered_to = len(self._heard)
                os.write(self._descriptor, f"{answer}\n".encode())
                return

    async def settle(self) -> None:
        """Wait until all that was said is read; where a server keeps the terminal, until it is quiet."""
        seen = -1
        while not self._ended.is_set() and seen != len(self._heard):
            seen = len(self._heard)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), 0.1)

    def close(self) -> None:
        if not self._ended.is_set():
            asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
