"""The cache of a store on a disk: entries as small files, other jobs' files as hard links.

An entry appears by rename and is not synced: after a power cut it may be missing or empty, which costs a synthesis. The
links of a job are synced like any of its files, since a record is going to name them. `lib.stores.cache` has the rules.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from lib.errors import PermanentError
from lib.failpoints import reach
from lib.stores import directories
from lib.stores.artifacts import INCOMING, STORE_DIRECTORY, StoredOutput
from lib.stores.cache import (
    CACHE_DIRECTORY,
    MOST_BYTES,
    CachedFile,
    Cleared,
    Entry,
    entry_name,
    is_entry_name,
    newest_first,
    read_entry,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from lib.jobqueue.artifact_key import ArtifactKey
    from lib.jobqueue.records import StoredOutputLike
    from lib.stores.cache import Made

_CACHE: Final = (STORE_DIRECTORY, CACHE_DIRECTORY)
_NO_LINKS: Final = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


class DiskCache:
    """The entries below the root of a `LocalArtifacts`. All disk work runs in threads."""

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self._store = f"{self._root.joinpath(STORE_DIRECTORY).as_posix()}/"

    async def find(self, key: ArtifactKey) -> Entry | None:
        """One file is read."""
        return await asyncio.to_thread(self._find, key)

    async def take(self, entry: Entry, job_dir: str) -> list[StoredOutput] | None:
        """Link every file, read each through its new name, and compare."""
        return await asyncio.to_thread(self._take, entry, job_dir)

    async def keep(self, made: Made, stored: Sequence[StoredOutputLike]) -> None:
        """Write a file of a thousand bytes or two."""
        await asyncio.to_thread(self._keep, Entry(made, tuple(self._file(each) for each in stored)))

    async def same_content(self, content_hash: str) -> list[Entry]:
        """One directory is read."""
        folder = content_hash.rpartition(":")[2]
        return newest_first(await asyncio.to_thread(lambda: [each for each in self._in(folder) if each is not None]))

    async def newest(self, most: int) -> list[Entry]:
        """Every directory is listed, and the newest files are read."""
        return newest_first(await asyncio.to_thread(self._newest, most))

    async def clear(self, before: datetime | None = None) -> Cleared:
        """Every entry is read; of the files that it names the sizes are looked at."""
        return await asyncio.to_thread(self._clear, before)

    def _find(self, key: ArtifactKey) -> Entry | None:
        folder, name = entry_name(key)
        entry = self._read(folder, name)
        return entry if entry is not None and entry.made.key == key else None

    def _read(self, folder: str, name: str) -> Entry | None:
        with (
            contextlib.suppress(OSError, PermanentError),
            directories.opened_below(self._root, (*_CACHE, folder), create=False) as place,
        ):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place)
            with os.fdopen(descriptor, "rb") as opened:
                return read_entry(opened.read(MOST_BYTES))
        return None

    def _take(self, entry: Entry, job_dir: str) -> list[StoredOutput] | None:
        parts = (STORE_DIRECTORY, *directories.plain_parts(job_dir))
        if not all(map(self._is_there, entry.files)):
            return None
        with (
            directories.disk_errors(f"taking outputs under {self._root}"),
            directories.opened_below(self._root, parts, create=True) as place,
        ):
            stored: list[StoredOutput] = []
            for file in entry.files:
                reach("cache.link")
                if not self._given(file, place):
                    for each in stored:
                        os.unlink(each.name, dir_fd=place)
                    return None
                uri = self._root.joinpath(*parts, file.name).as_uri()
                stored.append(StoredOutput(file.name, file.kind, uri, file.bytes, file.sha256))
            directories.sync(place)
        return stored

    def _given(self, file: CachedFile, place: int) -> bool:
        """Whether `place` has the file now, with the bytes that the entry says."""
        *folders, name = directories.plain_parts(file.place)
        try:
            with directories.opened_below(self._root, (STORE_DIRECTORY, *folders), create=False) as source:
                if not _link(source, name, place, file.name):
                    self._copy(self._root.joinpath(STORE_DIRECTORY, *folders, name), place, file.name)
            # Through the new name: what that one stands for can be removed by nobody else.
            if directories.digest_of(place, file.name) == directories.Digest(file.bytes, file.sha256):
                return True
        except (FileNotFoundError, PermanentError):
            return False
        os.unlink(file.name, dir_fd=place)
        return False

    def _copy(self, source: Path, place: int, name: str) -> None:
        with directories.opened_below(self._root, (STORE_DIRECTORY, INCOMING), create=True) as incoming:
            directories.store_file(source, incoming, place, name)

    def _keep(self, entry: Entry) -> None:
        folder, name = entry_name(entry.made.key)
        with (
            directories.disk_errors(f"noting what was made under {self._root}"),
            directories.opened_below(self._root, (STORE_DIRECTORY, INCOMING), create=True) as incoming,
            directories.opened_below(self._root, (*_CACHE, folder), create=True) as place,
            directories.temporary(incoming) as (target, temporary_name),
        ):
            target.write(entry.to_json())
            target.flush()
            reach("cache.keep")
            os.rename(temporary_name, name, src_dir_fd=incoming, dst_dir_fd=place)

    def _file(self, stored: StoredOutputLike) -> CachedFile:
        split = urlsplit(stored.uri)
        path = unquote(split.path)
        if split.scheme != "file" or not path.startswith(self._store):
            raise PermanentError(f"{stored.uri} is not in the store of {self._root}")
        return CachedFile(stored.name, stored.kind, path.removeprefix(self._store), stored.bytes, stored.sha256)

    def _in(self, folder: str) -> Iterator[Entry | None]:
        for name in _names(self._root.joinpath(*_CACHE, folder)):
            if is_entry_name(name):
                yield self._read(folder, name)

    def _newest(self, most: int) -> list[Entry]:
        seen: list[tuple[float, str, str]] = []
        for folder in _names(self._root.joinpath(*_CACHE)):
            for name in _names(self._root.joinpath(*_CACHE, folder)):
                with contextlib.suppress(OSError):
                    seen.append((self._root.joinpath(*_CACHE, folder, name).lstat().st_mtime, folder, name))
        entries = (self._read(folder, name) for _, folder, name in sorted(seen, reverse=True)[:most])
        return [entry for entry in entries if entry is not None]

    def _clear(self, before: datetime | None) -> Cleared:
        entries = gone = old = unreadable = 0
        for folder in _names(self._root.joinpath(*_CACHE)):
            for name in self._entry_files(folder):
                entries += 1
                entry = self._read(folder, name)
                if entry is None:
                    unreadable += 1
                elif before is not None and entry.made.made_at < before:
                    old += 1
                elif not all(map(self._is_there, entry.files)):
                    gone += 1
                else:
                    continue
                self._drop(folder, name)
            # It goes when it is empty; whoever is about to write into it makes it again.
            with contextlib.suppress(OSError):
                self._root.joinpath(*_CACHE, folder).rmdir()
        return Cleared(entries, gone, old, unreadable)

    def _entry_files(self, folder: str) -> list[str]:
        """What could be removed there as an entry: no symlink is followed, and a directory is none."""
        path = self._root.joinpath(*_CACHE, folder)
        if path.is_symlink():
            return []
        return [name for name in _names(path) if is_entry_name(name) and not (path / name).is_dir()]

    def _is_there(self, file: CachedFile) -> bool:
        with contextlib.suppress(OSError, PermanentError):
            path = self._root.joinpath(STORE_DIRECTORY, *directories.plain_parts(file.place))
            return path.lstat().st_size == file.bytes
        return False

    def _drop(self, folder: str, name: str) -> None:
        with (
            contextlib.suppress(FileNotFoundError),
            directories.disk_errors(f"dropping an entry under {self._root}"),
            directories.opened_below(self._root, (*_CACHE, folder), create=False) as place,
        ):
            os.unlink(name, dir_fd=place)


def _link(source: int, name: str, place: int, new_name: str) -> bool:
    """False where there can be no link; one that stands there already was made by an earlier try, and is looked at."""
    try:
        os.link(name, new_name, src_dir_fd=source, dst_dir_fd=place, follow_symlinks=False)
    except FileExistsError:
        return True
    except OSError as exc:
        if exc.errno not in _NO_LINKS:
            raise
        return False
    return True


def _names(directory: Path) -> list[str]:
    try:
        return sorted(os.listdir(directory))  # noqa: PTH208 - names are wanted, a hundred thousand of them
    except (FileNotFoundError, NotADirectoryError):
        return []
