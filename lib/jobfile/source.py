"""The bytes of a job file, bounded, and the line of any byte in them.

A file is refused by its size before it is read, and a file that grows meanwhile is cut off at the same limit.
Lines are found for the errors that libyaml reports by byte offset only (wrong encodings, control characters).
"""

from __future__ import annotations

import io
import os
import stat
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final

from lib.errors import InvalidInputError
from lib.jobfile.escapes import JoinedEscapes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lib.jobfile.escapes import Readable

# libyaml reads ahead by at most two of its own buffers of 16 KiB, so an offset it names is in the last few.
_KEPT_CHUNKS: Final = 4


class BoundedStream:
    """What libyaml reads from: counts bytes and lines, and ends in an error at the limit; `source` is its name."""

    def __init__(self, raw: Readable, source: str, max_bytes: int) -> None:
        self._raw = raw
        self.source = source
        self._max_bytes = max_bytes
        self._offset = 0
        self._lines = 0
        self._chunks: deque[tuple[int, int, bytes]] = deque(maxlen=_KEPT_CHUNKS)
        self._width = 1

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        try:
            chunk = self._raw.read(size)
        except OSError as exc:
            raise InvalidInputError(
                f"{self.source} cannot be read: {exc.strerror}", hint="is its disk well? Copy the file and try again"
            ) from exc
        if not self._offset:
            self._width = 2 if chunk[:2] in {b"\xff\xfe", b"\xfe\xff"} else 1
        self._chunks.append((self._offset, self._lines, chunk))
        self._offset += len(chunk)
        self._lines += self._newlines(chunk)
        if self._offset > self._max_bytes:
            raise too_large(self.source, self._offset, self._max_bytes)
        return chunk

    def line_at(self, offset: int) -> int:
        """The 1-based line of the byte at `offset`; the nearest known one when it is no longer held."""
        line = self._lines
        for start, lines, chunk in reversed(self._chunks):
            line = lines
            if start <= offset:
                line += self._newlines(chunk[: offset - start])
                break
        return line + 1

    def text_of(self, line: int) -> str:
        """The 1-based line as far as it is still held, for a message; empty when it is not, or not in UTF-8."""
        if not self._chunks or self._width != 1:
            return ""
        held = b"".join(chunk for _, _, chunk in self._chunks).split(b"\n")
        at = line - 1 - self._chunks[0][1]
        return held[at].decode("utf-8", "replace") if 0 <= at < len(held) else ""

    def _newlines(self, chunk: bytes) -> int:
        # In UTF-16 a newline is one of two bytes; the other must be zero for it not to be half of a letter.
        if self._width == 1:
            return chunk.count(b"\n")
        return chunk.count(b"\n\x00") if chunk[1::2].count(0) > chunk[::2].count(0) else chunk.count(b"\x00\n")


def too_large(source: str, size: int, limit: int) -> InvalidInputError:
    """The error for a file over the limit."""
    return InvalidInputError(
        f"{source} is {size} bytes or more; JOBS_MAX_FILE_BYTES allows {limit}",
        hint="split the file, or raise JOBS_MAX_FILE_BYTES",
    )


class JobFile:
    """A file that can be read more than once. What is no regular file (a pipe) is kept in memory after one read."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._kept: bytes | None = None

    @property
    def name(self) -> str:
        """The path as it was given."""
        return str(self._path)

    @contextmanager
    def opened(self) -> Iterator[BoundedStream]:
        """A fresh stream from the start; blocks on disk.

        Raises:
            InvalidInputError: missing, unreadable, a directory, or over the limit.
        """
        if self._kept is not None:
            yield self._stream(io.BytesIO(self._kept))
            return
        with self._open() as raw:
            status = os.fstat(raw.fileno())
            if status.st_size > self._max_bytes:
                raise too_large(self.name, status.st_size, self._max_bytes)
            if stat.S_ISREG(status.st_mode):
                yield self._stream(raw)
                return
            self._kept = raw.read(self._max_bytes + 1)
        yield self._stream(io.BytesIO(self._kept))

    def _stream(self, raw: BinaryIO) -> BoundedStream:
        return BoundedStream(JoinedEscapes(raw), self.name, self._max_bytes)

    def _open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except FileNotFoundError:
            raise InvalidInputError(f"{self.name} does not exist", hint="check the path") from None
        except IsADirectoryError:
            raise InvalidInputError(f"{self.name} is a directory", hint="name a YAML file") from None
        except (OSError, ValueError) as exc:
            why = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise InvalidInputError(f"{self.name} cannot be read: {why}", hint="check its permissions") from exc
