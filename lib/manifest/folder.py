"""The folder of a manifest: one program at work in it at a time, and documents that are always whole.

The lock is on the folder itself, ends with the process however it ends, and leaves no file behind.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lib.errors import InvalidInputError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Have the folder alone for the block.

    Raises:
        RefusedError: another program compiles or executes there now.
        InvalidInputError: it is no directory that can be read.

    """
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as exc:
        raise InvalidInputError(f"{folder}: {exc.strerror}", hint="name a directory") from exc
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RefusedError(
                f"another job-runner is at work in {folder}", hint="wait for its end, or use another directory"
            ) from None
        except OSError as exc:
            # Some network file systems have no locks; there, two at once are their owner's care.
            if exc.errno not in {errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL}:
                raise
        yield
    finally:
        os.close(handle)


def opened_plain(path: Path, *, follow: bool = False) -> int:
    """A descriptor to read `path` with; never waits for a writer, and follows a symlink at its end only if `follow`.

    Raises:
        OSError: it cannot be opened, or is no regular file (EINVAL).

    """
    link = 0 if follow else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | link)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return descriptor


def read_plain(path: Path, most: int, *, follow: bool = False) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than `most` bytes (EFBIG).

    """
    with os.fdopen(opened_plain(path, follow=follow), "rb") as opened:
        content = opened.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most} bytes", str(path))
    return content


def write_whole(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write so that a reader sees the old file or the new one and nothing between.

    When `durable`, that holds after a power cut too.

    Raises:
        RefusedError: the disk did not take it.

    """
    partial = path.with_name(f".{path.name}.part")
    try:
        # A planted symlink is replaced, never followed.
        partial.unlink(missing_ok=True)
        handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(handle, "wb") as opened:
            opened.write(content)
            opened.flush()
            if durable:
                os.fsync(opened.fileno())
        partial.replace(path)
        if durable:
            _sync_directory(path.parent)
    except OSError as exc:
        raise RefusedError(
            f"{path} cannot be written: {exc.strerror}", hint="free some space, or name a directory that can be written"
        ) from exc


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
