"""What a child prints: to the log, under the job that it was running, and its last words into the crash report.

It is read straight from the pipe whenever there is something, and once more when a job ends, so that each line is
logged for the right job.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
from collections import deque
from typing import Final

from loguru import logger

_BLOCK_BYTES: Final = 64 * 1024
# A pipe holds at most 1 MiB; a body that prints for ever must not keep the parent reading for ever.
_BLOCKS_A_TURN: Final = 16
_LINE_CHARACTERS: Final = 1_000
# An engine that prints per sample would bury everything else.
_LINES_A_JOB: Final = 1_000
_LAST_LINES: Final = 12


class ChildOutput:
    """Owns the read end of a child's standard output and error."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor: int | None = descriptor
        self._loop = asyncio.get_running_loop()
        self._request_id = ""
        self._context = contextvars.copy_context()
        self._rest = b""
        self._lines = 0
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._loop.add_reader(descriptor, self.drain)

    @property
    def last_words(self) -> str:
        """The last lines of the current job, or of the start."""
        return "\n".join(self._last)

    def begin(self, request_id: str) -> None:
        """From here on what comes belongs to this job."""
        self.drain()
        self._flush_rest()
        self._request_id = request_id
        # The log's fields of this job: the reader of the pipe runs outside of every job.
        self._context = contextvars.copy_context()
        self._lines = 0
        self._last.clear()

    def end(self) -> None:
        """The job is over; what it printed is logged before this returns."""
        self.drain()
        self._flush_rest()
        self._request_id = ""

    def drain(self) -> None:
        """Log what is there now, without waiting."""
        for _ in range(_BLOCKS_A_TURN):
            if self._descriptor is None:
                return
            try:
                block = os.read(self._descriptor, _BLOCK_BYTES)
            except BlockingIOError:
                return
            except OSError:
                block = b""
            if not block:
                self.close()
                return
            *lines, self._rest = (self._rest + block).split(b"\n")
            for line in lines:
                self._say(line)
            if len(self._rest) > _BLOCK_BYTES:
                self._flush_rest()

    def close(self) -> None:
        """Stop reading. Repeatable."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        self._flush_rest()
        self._loop.remove_reader(descriptor)
        with contextlib.suppress(OSError):
            os.close(descriptor)

    def _flush_rest(self) -> None:
        if self._rest:
            rest, self._rest = self._rest, b""
            self._say(rest)

    def _say(self, line: bytes) -> None:
        text = line[: 4 * _LINE_CHARACTERS].decode("utf-8", "backslashreplace").rstrip()[:_LINE_CHARACTERS]
        if not text:
            return
        self._last.append(text)
        self._lines += 1
        if self._lines <= _LINES_A_JOB:
            self._context.run(logger.bind(request_id=self._request_id).debug, "child: {}", text)
        elif self._lines == _LINES_A_JOB + 1:
            self._context.run(
                logger.bind(request_id=self._request_id).warning,
                "child: more than {} lines; the rest is not logged",
                _LINES_A_JOB,
            )
