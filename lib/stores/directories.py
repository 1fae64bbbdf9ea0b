"""Files below a root, reached without following any symlink, and written so that a crash leaves no half file.

Every directory is opened part by part relative to its parent's descriptor with O_NOFOLLOW, so nobody can swap
a part for a symlink between a check and its use. Only `lib.stores` calls it; all of it blocks.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from lib import failpoints
from lib.errors import PermanentError, TemporaryError
from lib.jobqueue.output_names import output_name_problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

TEMPORARY_PREFIX = ".tmp-"

_BLOCK_BYTES = 1 << 20
# Stored bytes stand under a record that promises them: nobody may open them for writing by mistake, and a hard
# link published from them has the same mode.
_STORED_MODE = 0o444
_NAME_ERRORS = frozenset({errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ELOOP, errno.EILSEQ, errno.EINVAL})


@dataclass(frozen=True, slots=True)
class Digest:
    """What a file holds: its size in bytes and its sha256 as hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A file in an open store directory, and what it must hold."""

    folder: int
    name: str
    digest: Digest


def plain_name(name: str) -> str:
    """The name, if it is one path component that is not hidden; else `PermanentError`."""
    if not name or name.startswith(".") or "/" in name or "\\" in name or not name.isprintable():
        raise PermanentError(
            f"an output is named {name!r}", hint="an output's name is one plain file name, as take_01.wav"
        )
    return name


def plain_parts(relative: str) -> tuple[str, ...]:
    """The parts of a relative name; `PermanentError` for any that could leave the root.

    The rule is that of a job's `output_name`, so what was accepted at submit is never refused here.
    """
    problem = output_name_problem(relative)
    if problem is not None:
        raise PermanentError(f"{relative!r} {problem}")
    return tuple(relative.split("/"))


@contextlib.contextmanager
def disk_errors(doing: str) -> Iterator[None]:
    """Turn the disk's errors into ours."""
    try:
        yield
    except OSError as exc:
        why = exc.strerror or str(exc)
        if exc.errno in _NAME_ERRORS:
            raise PermanentError(
                f"{doing}: {why}: {exc.filename}",
                hint="a part of the name is taken by a file or symlink, or is too long",
            ) from exc
        hint = "free some space" if exc.errno in {errno.ENOSPC, errno.EDQUOT} else "check the disk and its permissions"
        raise TemporaryError(f"{doing}: {why}", hint=f"{hint}; the job is tried again") from exc


@contextlib.contextmanager
def opened_below(root: Path, parts: Sequence[str], *, create: bool) -> Iterator[int]:
    """A descriptor of the directory `root/parts…`, which no symlink below `root` can lead elsewhere.

    The names of directories that it made survive a power cut once the block has ended well: by then what was written
    in them is on the disk, and with it, on most disks, their names too, so that this costs little.
    """
    with contextlib.ExitStack() as opened:
        current = _opened_root(root, create=create)
        opened.callback(os.close, current)
        grown: list[int] = []
        for part in parts:
            below, made = _open_part(current, part, create=create)
            opened.callback(os.close, below)
            if made:
                grown.append(current)
            current = below
        yield current
        for directory in reversed(grown):
            sync(directory)


def _opened_root(root: Path, *, create: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        return os.open(root, flags)
    except FileNotFoundError:
        if not create:
            raise
    root.mkdir(parents=True, exist_ok=True)
    return os.open(root, flags)


def _open_part(parent: int, part: str, *, create: bool) -> tuple[int, bool]:
    """A descriptor, and whether the directory had to be made."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    made = False
    while True:
        try:
            return os.open(part, flags, dir_fd=parent), made
        except FileNotFoundError:
            if not create or made:
                raise
        except OSError as exc:
            # Linux says ENOTDIR for a symlink here and others ELOOP; either way it is not a directory of ours.
            if exc.errno in {errno.ENOTDIR, errno.ELOOP}:
                raise PermanentError(
                    f"{part} on the way below the output root is a symlink or a file, not a directory",
                    hint="remove it or choose another output_name",
                ) from exc
            raise
        # Another process may make it first; its name is then as new to the disk as ours would be.
        with contextlib.suppress(FileExistsError):
            os.mkdir(part, dir_fd=parent)
        made = True


def sync(directory: int) -> None:
    """Make the names in this directory survive a power cut."""
    os.fsync(directory)


def store_file(source: Path, incoming: int, folder: int, name: str) -> Digest:
    """Copy `source` into the directory as `name`, and prove it by reading it back.

    `incoming` is a directory of the same disk where it lies until it is whole. A file that already stands there with
    the same bytes is kept; one with other bytes is an error, because a record may point to it.
    """
    with open_source(source) as opened:
        existing = digest_of(folder, name)
        if existing is not None:
            wanted = _copy(opened, None)
            if wanted != existing:
                raise PermanentError(
                    f"{name} is stored already with other bytes ({existing.sha256[:12]}, not {wanted.sha256[:12]})",
                    hint="each attempt needs a job_dir of its own",
                )
            return existing
        with temporary(incoming) as (target, temporary_name):
            _hold(target)
            wanted = _copy(opened, target)
            target.flush()
            os.fchmod(target.fileno(), _STORED_MODE)
            os.fsync(target.fileno())
            if digest_of(incoming, temporary_name) != wanted:
                raise TemporaryError(
                    f"{name} reads back other than it was written", hint="the disk is failing; check it"
                )
            failpoints.reach("store.rename")
            os.rename(temporary_name, name, src_dir_fd=incoming, dst_dir_fd=folder)
    return wanted


def sweep_incoming(incoming: int, abandoned_seconds: float) -> int:
    """Remove what processes that died left there, how many: old, and held by nobody."""
    removed = 0
    for name in os.listdir(incoming):
        if not name.startswith(TEMPORARY_PREFIX):
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=incoming)
            try:
                # Also by age: there is a moment between making a file and holding it, and disks without locks.
                about = os.fstat(descriptor)
                if stat.S_ISREG(about.st_mode) and time.time() - about.st_mtime > abandoned_seconds:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(name, dir_fd=incoming)
                    removed += 1
            finally:
                os.close(descriptor)
    return removed


def _hold(opened: BinaryIO) -> None:
    """Say that a living process is writing this file; the lock ends with it."""
    with contextlib.suppress(OSError):  # a disk without locks: then age alone protects it
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)


def open_source(source: Path) -> BinaryIO:
    """A file that a task names as its output, which must be a regular one and no symlink."""
    try:
        # O_NONBLOCK: opening a pipe that a task left there would wait for a writer for ever.
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as exc:
        if exc.errno in {errno.ENOENT, errno.ELOOP}:
            raise PermanentError(
                f"the task named an output {source.name} that is no file in its work directory",
                hint="a task must write every output that it returns",
            ) from exc
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PermanentError(f"the task's output {source.name} is not a regular file")
    return os.fdopen(descriptor, "rb")


def temporary_name() -> str:
    """A file name that nobody else uses."""
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"


def _created(folder: int, name: str) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.fdopen(os.open(name, flags, 0o644, dir_fd=folder), "wb")


@contextlib.contextmanager
def temporary(folder: int) -> Iterator[tuple[BinaryIO, str]]:
    """A new file under a name that nobody else uses; gone afterwards unless it was renamed."""
    name = temporary_name()
    try:
        with _created(folder, name) as target:
            yield target, name
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


def digest_of(folder: int, name: str) -> Digest | None:
    """What a file holds now, or None when there is none; a symlink or directory of that name is an error."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as opened:
        return _copy(opened, None)


def copy_file(source: Stored, folder: int, name: str) -> None:
    """Make `name`, a new file, hold the stored bytes, on disks that have no hard links."""
    reading = os.open(source.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source.folder)
    with os.fdopen(reading, "rb") as opened, _created(folder, name) as target:
        _copy(opened, target)
        target.flush()
        os.fchmod(target.fileno(), _STORED_MODE)
        os.fsync(target.fileno())
    if digest_of(folder, name) != source.digest:
        raise TemporaryError(f"{source.name} reads back other than it was written", hint="check the disk")


def _copy(source: BinaryIO, target: BinaryIO | None) -> Digest:
    size = 0
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        size += len(block)
        digest.update(block)
        if target is not None:
            target.write(block)
    return Digest(size, digest.hexdigest())
