"""Files of voices: opened without following a link out of their folder, copied so that a crash leaves no half voice.

New content is gathered in a hidden folder beside the voices and gets its place by one rename, under a lock that all
who change voices take. It knows files and digests, not what a voice is. All of it blocks.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
import time
from typing import IO, TYPE_CHECKING, Final, Self

from lib import failpoints
from lib.errors import InvalidInputError, RefusedError
from lib.voice_synth.library_document import MAX_FILE_BYTES, StoredFile

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

NEW_PREFIX: Final = ".new-"
GONE_PREFIX: Final = ".gone-"
_LOCK_NAME: Final = ".lock"
# A change holds the lock for a few renames; who waits longer waits for a process that is stopped.
_LOCK_SECONDS: Final = 10.0
_LOCK_PAUSE_SECONDS: Final = 0.02
# Half-made folders of processes that died; a living one is done with its copies long before.
_FORGOTTEN_SECONDS: Final = 86_400.0
_BLOCK_BYTES: Final = 1 << 20


@contextlib.contextmanager
def disk_errors(place: Path) -> Iterator[None]:
    """Turn what the disk of the voices refuses into a message."""
    try:
        yield
    except OSError as exc:
        raise RefusedError(
            f"{exc.filename or place}: {exc.strerror or exc}",
            hint=f"make {place} writable and give it space, or name another place with --voices-dir",
        ) from exc


def open_own(path: Path) -> io.BufferedReader:
    """A regular file to read; `OSError` for anything else, a symlink too."""
    # Not blocking: a FIFO in place of a file must not hang whoever lists voices.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return os.fdopen(descriptor, "rb")


def digest_of(path: Path) -> str:
    """The sha256 of a file of a voice."""
    with open_own(path) as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextlib.contextmanager
def changing(directory: Path) -> Iterator[None]:
    """Hold the one lock of this directory; `RefusedError` when another change does not end.

    Whoever enters also clears away what dead processes left.
    """
    with (directory / _LOCK_NAME).open("ab") as lock:
        until = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise RefusedError(
                        f"another change of the voices in {directory} is under way", hint="run it again when it is done"
                    ) from None
                time.sleep(_LOCK_PAUSE_SECONDS)
        _clear(directory)
        yield


def _clear(directory: Path) -> None:
    for entry in os.scandir(directory):
        forgotten = entry.name.startswith(NEW_PREFIX) and (
            time.time() - entry.stat(follow_symlinks=False).st_mtime > _FORGOTTEN_SECONDS
        )
        if forgotten or entry.name.startswith(GONE_PREFIX):
            remove_tree(directory / entry.name)


def remove_tree(path: Path) -> None:
    """A folder with all in it, or a link to one; what cannot be removed stays for the next change."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def put_aside(directory: Path, slug: str) -> None:
    """Take a voice away in one step; what it leaves on the disk is nobody's."""
    gone = directory / f"{GONE_PREFIX}{secrets.token_hex(8)}"
    (directory / slug).rename(gone)
    sync_directory(directory)
    failpoints.reach("voices.put_aside")
    remove_tree(gone)


def sync_directory(path: Path) -> None:
    """Make renames in it survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Staging:
    """A hidden folder for a voice in the making; use it as a context, which removes what was not moved away."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / f"{NEW_PREFIX}{secrets.token_hex(8)}"

    def __enter__(self) -> Self:
        self.path.mkdir(parents=True)
        return self

    def __exit__(self, *_: object) -> None:
        remove_tree(self.path)

    def copy(self, source: IO[bytes], *, stem: str, suffix: str, limit: int = MAX_FILE_BYTES) -> StoredFile:
        """Everything that `source` still gives, durable, under a name that says its content.

        So a new version of a file never has the name of an old one that somebody may be reading. More than `limit`
        bytes are an `InvalidInputError`.
        """
        partial = self.path / ".part"
        digest = hashlib.sha256()
        size = 0
        with partial.open("wb") as made:
            while block := source.read(_BLOCK_BYTES):
                size += len(block)
                if size > limit:
                    raise InvalidInputError(f"{stem} has more than {limit} bytes", hint="bring a smaller file")
                digest.update(block)
                made.write(block)
            made.flush()
            os.fsync(made.fileno())
        name = f"{stem}-{digest.hexdigest()[:12]}{suffix}"
        partial.replace(self.path / name)
        return StoredFile(file=name, bytes=size, sha256=digest.hexdigest())

    def write(self, name: str, content: bytes) -> None:
        """A small file, durable."""
        with (self.path / name).open("wb") as made:
            made.write(content)
            made.flush()
            os.fsync(made.fileno())

    def take(self, source: Path) -> None:
        """A file of another voice under its own name: linked where the disk can, else copied."""
        target = self.path / source.name
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError:
            with open_own(source) as opened, target.open("wb") as made:
                shutil.copyfileobj(opened, made, _BLOCK_BYTES)
                made.flush()
                os.fsync(made.fileno())
