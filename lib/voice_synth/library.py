"""The voices of a directory, one folder each, as the registry that a job's `voice` is looked up in.

    <voices>/anna/voice.json             what she is on each engine
    <voices>/anna/piper-model-….onnx     what voice.json names, and only in this folder

Everything is read when it is asked for, so a voice that is registered while a watcher runs is there for its next job,
and a broken one hides no other. It changes nothing (`library_changes` does) and loads no engine.
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from lib.errors import TaskError, TemporaryError
from lib.voice_synth.engines.base import EngineVoice
from lib.voice_synth.library_document import (
    DOCUMENT_NAME,
    MAX_DOCUMENT_BYTES,
    BrokenVoiceError,
    StoredFile,
    VoiceDocument,
    read_document,
)
from lib.voice_synth.library_files import digest_of, open_own
from lib.voice_synth.voices import NEWSROOM, UnknownVoiceError, Voice, VoiceRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUILT_IN_SLUGS: Final = frozenset({NEWSROOM.slug})
"""Voices that nobody can register, rename or delete."""

_NO_FILE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class Listed:
    """One voice of a directory: what it is, or what is wrong with it."""

    slug: str
    document: VoiceDocument | None
    broken: TaskError | None


class VoiceLibrary(VoiceRegistry):
    """The built-in voices and those of a directory, which need not exist.

    With `check_files` each file's digest is checked before its first use by this object, and again when the file has
    changed: for those who speak. Without it only names and sizes are looked at: for those who plan.
    """

    def __init__(self, directory: Path, *, check_files: bool = False) -> None:
        super().__init__()
        self.directory = directory
        self._check_files = check_files
        self._checked: set[tuple[str, int, int, int, str]] = set()

    @property
    def slugs(self) -> tuple[str, ...]:
        """The built-in voices and every folder that could be one."""
        return (*super().slugs, *folders_of(self.directory))

    def require(self, slug: str) -> Voice:
        """The voice, as its folder has it now.

        Raises:
            UnknownVoiceError: there is none of this name.
            BrokenVoiceError: it is there, but not whole.
            TemporaryError: it cannot be read now.

        """
        if slug in BUILT_IN_SLUGS or slug not in folders_of(self.directory):
            return self._by_name(slug)
        try:
            return voice_of(self.directory, self._whole(slug))
        except BrokenVoiceError:
            if slug in folders_of(self.directory):
                raise
            return self._by_name(slug)  # it went while it was looked at

    def _by_name(self, slug: str) -> Voice:
        try:
            return super().require(slug)
        except UnknownVoiceError as exc:
            if exc.hint and exc.hint.startswith("known"):  # no name is near, so it is no slip of the hand
                exc.hint += "; `voice-synth register` adds a voice"
            raise

    def listed(self) -> tuple[Listed, ...]:
        """The voices of the directory in the order of their names, broken ones too."""
        found: list[Listed] = []
        for slug in folders_of(self.directory):
            try:
                found.append(Listed(slug, self._whole(slug), None))
            except TaskError as exc:
                if slug in folders_of(self.directory):
                    found.append(Listed(slug, None, exc))
        return tuple(found)

    def _whole(self, slug: str) -> VoiceDocument:
        """The document of a voice whose files are as it says."""
        seen: VoiceDocument | None = None
        while True:
            document = document_in(self.directory, slug)
            try:
                self._verify(slug, document)
            except BrokenVoiceError:
                if document == seen:
                    raise
                # Perhaps it was replaced between the two: it is broken only if its document stays the same.
                seen = document
            else:
                return document

    def _verify(self, slug: str, document: VoiceDocument) -> None:
        for stored in document.stored_files.values():
            path = self.directory / slug / stored.file
            size, key = _looked_at(path, stored)
            if size != stored.bytes:
                raise _not_as_described(path, f"has {size} bytes and not {stored.bytes}")
            if not self._check_files or key in self._checked:
                continue
            with _read_errors(path):
                same = digest_of(path) == stored.sha256
            if not same:
                raise _not_as_described(path, "has another sha256 than was registered")
            self._checked.add(key)


def folders_of(directory: Path) -> tuple[str, ...]:
    """The folders that could be voices, by name; none where there is no directory.

    Raises:
        TemporaryError: it cannot be read now.

    """
    try:
        with os.scandir(directory) as entries:
            return tuple(sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    except OSError as exc:
        raise _unreadable(directory, exc) from exc


def document_in(directory: Path, slug: str) -> VoiceDocument:
    """The voice.json of a folder.

    Raises:
        BrokenVoiceError: there is none, or it cannot be believed.
        TemporaryError: it cannot be read now.

    """
    path = directory / slug / DOCUMENT_NAME
    with _read_errors(path), open_own(path) as opened:
        raw = opened.read(MAX_DOCUMENT_BYTES + 1)
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise BrokenVoiceError(f"{path} has more than {MAX_DOCUMENT_BYTES} bytes", hint="register the voice again")
    document = read_document(raw, place=str(path))
    if document.slug != slug:
        raise BrokenVoiceError(
            f"{path} is the voice {document.slug} in the folder {slug}",
            hint=f"rename the folder to {document.slug}, or write {slug} as the slug in it",
        )
    return document


def voice_of(directory: Path, document: VoiceDocument) -> Voice:
    """The voice that a document describes, with its files where they are."""
    folder = directory.absolute() / document.slug
    on_engine = {
        engine: EngineVoice(
            sound.name,
            sound.speed,
            MappingProxyType({role: folder / stored.file for role, stored in sound.files.items()}),
            MappingProxyType(dict(sound.texts)),
        )
        for engine, sound in document.engines.items()
    }
    return Voice(document.slug, document.description, MappingProxyType(on_engine), document.language)


def _looked_at(path: Path, stored: StoredFile) -> tuple[int, tuple[str, int, int, int, str]]:
    """A file's size, and what would be another were it another file."""
    with _read_errors(path), open_own(path) as opened:
        seen = os.fstat(opened.fileno())
    return seen.st_size, (str(path), seen.st_ino, seen.st_size, seen.st_mtime_ns, stored.sha256)


@contextlib.contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """A file that is none makes a voice broken; a disk or network that fails does not."""
    try:
        yield
    except OSError as exc:
        if exc.errno in _NO_FILE:
            raise _not_as_described(path, exc.strerror or str(exc)) from exc
        raise _unreadable(path, exc) from exc


def _unreadable(path: Path, error: OSError) -> TemporaryError:
    return TemporaryError(
        f"{path}: {error.strerror or error}", hint="let this program's user read it, or mend the disk it is on"
    )


def _not_as_described(path: Path, why: str) -> BrokenVoiceError:
    return BrokenVoiceError(
        f"the voice {path.parent.name} is broken: {path} {why}",
        hint="register or import it again with --replace, or delete it",
    )
