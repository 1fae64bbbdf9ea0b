"""The clips of one machine: a folder of bounded size that any number of processes share without a lock.

    <folder>/<first two digits of the key>/<key>

A clip is written beside its place and renamed, read whole and compared with its digest, and one that is damaged is
removed and spoken anew. When there is no room the ones that were not used for longest go. The folder is worth what
speaking costs and no more, so a disk that is full or closed to us is no error anywhere: clips are then not kept.
Whoever speaks uses it, and `job-runner cache` and `doctor` look at it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lib.voice_synth.clips import MOST_CLIP_BYTES, of_bytes, to_bytes
from lib.voice_synth.library_files import open_own

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from lib.voice_synth.clips import Clip

LEAST_FREE_BYTES: Final = 256 << 20
"""What a disk must have left for a clip to be kept: the outputs of jobs come first. `doctor` calls less full."""

_PART: Final = 16
"""A sixteenth of the folder is written between two looks at all of it."""

_HEAD_BYTES: Final = 1 << 20
"""Beside the samples of a clip, at the most."""

_FOLDER: Final = "clips"
_PREFIX: Final = 2
_KEY_DIGITS: Final = 64
_PARTIAL: Final = ".part"
_FORGOTTEN_SECONDS: Final = 3600.0
"""A file that is still beside its place after this has nobody who writes it."""


@dataclass(frozen=True, slots=True)
class Kept:
    """How much there is in the folder."""

    clips: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tidied:
    """What is left of the folder, and how many clips were dropped."""

    kept: Kept
    dropped: int


@dataclass(frozen=True, slots=True)
class _Found:
    used: float
    bytes: int
    path: str


class ClipFolder:
    """The folder as one process uses it; `most_bytes` 0 keeps and finds nothing.

    One process never passes the bound; several at once may, by a sixteenth each.
    """

    def __init__(self, directory: Path, most_bytes: int, *, least_free_bytes: int = LEAST_FREE_BYTES) -> None:
        self.directory = directory
        self.most_bytes = most_bytes
        self._least_free = least_free_bytes
        # What may be written before the folder is looked at again.
        self._room = 0

    @classmethod
    def of_machine(cls, state_dir: Path, most_bytes: int) -> ClipFolder:
        """The one of this machine: `clips` in its state directory."""
        return cls(state_dir / _FOLDER, most_bytes)

    def find(self, key: str) -> Clip | None:
        """The clip of this key; it counts as used now."""
        if not self.most_bytes:
            return None
        path = self._path(key)
        try:
            with open_own(path) as opened:
                size = os.fstat(opened.fileno()).st_size
                clip = of_bytes(key, opened.read(size)) if size <= MOST_CLIP_BYTES + _HEAD_BYTES else None
                if clip is not None:
                    with contextlib.suppress(OSError):  # of another user: found, though it counts as old
                        os.utime(opened.fileno())
                    return clip
        except OSError:
            return None
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def keep(self, key: str, clip: Clip) -> None:
        """Write it, if there is room or room can be made."""
        size = sum(len(piece.pcm) for piece in clip.pieces)
        if not 0 < size <= min(self.most_bytes // _PART, MOST_CLIP_BYTES):
            return
        path = self._path(key)
        with contextlib.suppress(OSError):
            raw = to_bytes(key, clip)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self._lacks_disk(len(raw)):
                return
            if len(raw) > self._room:
                self._room = self._make_room(len(raw))
            self._room -= len(raw)
            partial = path.with_name(f".{path.name[:16]}-{secrets.token_hex(6)}{_PARTIAL}")
            try:
                with os.fdopen(
                    os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb"
                ) as to:
                    to.write(raw)
                partial.replace(path)
            except BaseException:
                with contextlib.suppress(OSError):
                    partial.unlink()
                raise

    def forget(self, keys: Iterable[str]) -> None:
        """Remove these."""
        if not self.most_bytes:
            return
        for key in keys:
            with contextlib.suppress(OSError):
                self._path(key).unlink()

    def kept(self) -> Kept:
        """How much there is. What cannot be read counts as nothing."""
        found = list(self._clips())
        return Kept(len(found), sum(each.bytes for each in found))

    def tidy(self, before: float | None = None) -> Tidied:
        """Remove what is beyond the bound, and what was not used since `before`, in seconds of the epoch."""
        found = sorted(self._clips(), key=lambda each: each.used)
        left = sum(each.bytes for each in found)
        kept: list[_Found] = []
        for each in found:
            old = before is not None and each.used < before
            if (old or left > self.most_bytes) and _gone(each.path):
                left -= each.bytes
            else:
                kept.append(each)
        return Tidied(Kept(len(kept), left), len(found) - len(kept))

    def _path(self, key: str) -> Path:
        return self.directory / key[:_PREFIX] / key

    def _lacks_disk(self, size: int) -> bool:
        room = os.statvfs(self.directory)
        return room.f_bavail * room.f_frsize < self._least_free + size

    def _make_room(self, size: int) -> int:
        """How much may be written now, which is at least `size`; the oldest clips go for it."""
        part = max(size, self.most_bytes // _PART)
        found = sorted(self._clips(), key=lambda each: each.used)
        left = sum(each.bytes for each in found)
        for each in found:
            if left + part <= self.most_bytes:
                break
            if _gone(each.path):
                left -= each.bytes
        if left + part > self.most_bytes:
            raise OSError(f"no room can be made in {self.directory}")
        return part

    def _clips(self) -> Iterator[_Found]:
        """All that is there; what was left half written long ago is removed."""
        forgotten = time.time() - _FORGOTTEN_SECONDS
        for shelf in _entries(str(self.directory)):
            if len(shelf.name) != _PREFIX:
                continue
            for each in _entries(shelf.path):
                try:
                    seen = each.stat(follow_symlinks=False)
                except OSError:
                    continue
                if not stat.S_ISREG(seen.st_mode):
                    continue
                if len(each.name) == _KEY_DIGITS:
                    yield _Found(seen.st_mtime, seen.st_size, each.path)
                elif each.name.endswith(_PARTIAL) and seen.st_mtime < forgotten:
                    _gone(each.path)


def _entries(place: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError:
        return []


def _gone(path: str) -> bool:
    """Remove it; whether it is gone, also by another."""
    try:
        os.unlink(path)  # noqa: PTH108 - one of thousands, whose path is text
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
