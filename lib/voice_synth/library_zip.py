"""A voice as one file: written so that the same voice gives the same bytes, read as if somebody hostile had made it.

The archive holds voice.json and the files that it names, nothing else, without folders. Its directory is believed in
nothing: names, kinds, sizes and digests are checked, and sizes again while the bytes come. Only when all is sound does
the voice appear, through `library_changes`.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Final

from lib.errors import InvalidInputError, NotFoundError, RefusedError
from lib.jobqueue.problems import shown
from lib.voice_synth.library import VoiceLibrary, document_in
from lib.voice_synth.library_changes import checked_slug, install, require_there, suffix_of
from lib.voice_synth.library_document import (
    DOCUMENT_NAME,
    MAX_DOCUMENT_BYTES,
    BrokenVoiceError,
    StoredFile,
    VoiceDocument,
    file_name_problem,
    read_document,
)
from lib.voice_synth.library_files import Staging, disk_errors, open_own
from lib.voice_synth.library_parts import CheckedSound, check_file, check_roles
from lib.voice_synth.replaceable import require_replaceable

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

MAX_FILES: Final = 64
MAX_TOTAL_BYTES: Final = 2 * 1024**3
MAX_RATIO: Final = 200
"""Unpacked to packed. Models shrink by a tenth, silence in a recording to a fiftieth; a bomb to a thousandth."""

# Small files may shrink to nothing without harm.
_RATIO_COUNTS_FROM_BYTES: Final = 1 << 20
_EARLIEST: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = (stat.S_IFREG | 0o644) << 16
_UNIX: Final = 3
_BLOCK_BYTES: Final = 1 << 20
_ENCRYPTED_FLAGS: Final = 0x1 | 0x40 | 0x2000
_END_BYTES: Final = 22
_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR_BYTES: Final = 20
_MEND: Final = "import only what `voice-synth export` has made"


def export_voice(directory: Path, slug: str, out: Path) -> VoiceDocument:
    """Write a voice to the file `out`, which appears when it is whole.

    Raises:
        NotFoundError: there is no such voice.
        BrokenVoiceError: it is not what its voice.json says.
        InvalidInputError: the file cannot be written.

    """
    require_there(directory, slug)
    VoiceLibrary(directory, check_files=True).require(slug)
    document = document_in(directory, slug)
    partial = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        require_replaceable(out, "--out")
        try:
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
                _add(archive, DOCUMENT_NAME, document.as_bytes())
                for name, stored in document.stored_files.items():
                    _add_file(archive, directory / slug / name, stored)
            with partial.open("rb+") as made:
                os.fsync(made.fileno())
            partial.replace(out)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as exc:
        raise InvalidInputError(
            f"{exc.filename or out}: {exc.strerror or exc}", hint="name a file that can be written"
        ) from exc
    except zipfile.LargeZipFile as exc:
        raise RefusedError(f"the voice {slug} is too large for one archive", hint="copy its folder instead") from exc
    return document


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _EARLIEST)
    info.create_system = _UNIX
    info.external_attr = _MODE
    return info


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_entry(name), content)


def _add_file(archive: zipfile.ZipFile, path: Path, stored: StoredFile) -> None:
    info = _entry(path.name)
    info.file_size = stored.bytes
    with open_own(path) as source, archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, _BLOCK_BYTES)


def import_voice(
    directory: Path, archive_file: Path, *, slug: str | None = None, replace: bool = False
) -> VoiceDocument:
    """Make the voice of an archive one of this directory, under `slug` if that is given.

    Raises:
        NotFoundError: there is no such file.
        InvalidInputError: it is no archive of a voice, or one that would do harm; nothing is left of it.
        RefusedError: the voice is there already and `replace` is not set, or it is built in.

    """
    try:
        with archive_file.open("rb") as opened:
            _check_end(opened, archive_file)
            with zipfile.ZipFile(opened) as archive:
                return _import(directory, archive, archive_file, slug, replace=replace)
    except FileNotFoundError as exc:
        raise NotFoundError(f"no file {archive_file}", hint="name an archive of a voice") from exc
    except OSError as exc:
        raise InvalidInputError(f"{archive_file}: {exc.strerror or exc}", hint="name a file that can be read") from exc
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, struct.error, ValueError) as exc:
        raise _refused(archive_file, f"cannot be read: {str(exc) or 'it ends early'}") from exc


def _import(
    directory: Path, archive: zipfile.ZipFile, archive_file: Path, slug: str | None, *, replace: bool
) -> VoiceDocument:
    entries = _checked_entries(archive, archive_file)
    document = _document(archive, entries, archive_file)
    wanted = checked_slug(slug or document.slug)
    foreign = sorted(entries.keys() - document.stored_files.keys() - {DOCUMENT_NAME})
    if foreign:
        raise _refused(archive_file, f"holds {shown(foreign[0])}, which its voice.json does not name")
    missing = sorted(document.stored_files.keys() - entries.keys())
    if missing:
        raise _refused(archive_file, f"lacks {missing[0]}, which its voice.json names")
    with disk_errors(directory), Staging(directory) as staged:
        placed = _unpacked(archive, entries, document, staged, archive_file)
        final = placed.model_copy(update={"slug": wanted})
        return install(
            directory, wanted, staged, lambda current: _decided(current, final, replace=replace), over=replace
        )


def _decided(current: VoiceDocument | None, wanted: VoiceDocument, *, replace: bool) -> VoiceDocument:
    if current is not None and not replace:
        raise RefusedError(f"a voice {wanted.slug} is there already", hint="add --replace, or --as with another name")
    return wanted


def _check_end(opened: BinaryIO, place: Path) -> None:
    """Look at the end of the archive before its directory is read: a directory of millions would fill the memory."""
    size = opened.seek(0, os.SEEK_END)
    if size < _END_BYTES:
        raise _refused(place, "is no zip archive")
    opened.seek(max(0, size - _END_BYTES - _LOCATOR_BYTES))
    tail = opened.read()
    signature, _, _, _, count, directory_bytes, _, comment = _END.unpack(tail[-_END_BYTES:])
    if signature != b"PK\x05\x06" or comment:
        raise _refused(place, "is no zip archive, or one with something after its end")
    if tail.startswith(b"PK\x06\x07"):
        raise _refused(place, "is a zip64 archive")
    if count > MAX_FILES + 1 or directory_bytes > (MAX_FILES + 1) * 1024:
        raise _refused(place, f"holds {count} files; a voice has at most {MAX_FILES}")


def _checked_entries(archive: zipfile.ZipFile, place: Path) -> dict[str, zipfile.ZipInfo]:
    found: dict[str, zipfile.ZipInfo] = {}
    total = 0
    for info in archive.infolist():
        problem = _entry_problem(info)
        if problem is not None:
            raise _refused(place, f"holds {shown(info.orig_filename)}, {problem}")
        if info.filename.lower() in found:
            raise _refused(place, f"holds {shown(info.filename)} twice")
        found[info.filename.lower()] = info
        total += info.file_size
    if len(found) > MAX_FILES + 1:
        raise _refused(place, f"holds {len(found)} files; a voice has at most {MAX_FILES}")
    if total > MAX_TOTAL_BYTES:
        raise _refused(place, f"unpacks to {total} bytes; a voice has at most {MAX_TOTAL_BYTES}")
    if DOCUMENT_NAME not in found:
        raise _refused(place, "has no voice.json")
    return {info.filename: info for info in found.values()}


def _entry_problem(info: zipfile.ZipInfo) -> str | None:
    # What stands in the archive, not what the library has made of it: that one cuts names at a NUL.
    name = info.orig_filename
    if name != DOCUMENT_NAME and (name != info.filename or file_name_problem(name) is not None):
        return "which is no plain file name"
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in {0, stat.S_IFREG}:
        return "which is a link or another thing that is no file"
    if info.flag_bits & _ENCRYPTED_FLAGS:
        return "which is encrypted"
    if info.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        return "which is packed in a way that is not read here"
    if info.file_size > max(_RATIO_COUNTS_FROM_BYTES, MAX_RATIO * info.compress_size):
        return f"which unpacks to more than {MAX_RATIO} times its size"
    return None


def _document(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], place: Path) -> VoiceDocument:
    info = entries[DOCUMENT_NAME]
    if info.file_size > MAX_DOCUMENT_BYTES:
        raise _refused(place, f"has a voice.json of {info.file_size} bytes")
    with archive.open(info) as opened:
        raw = opened.read(MAX_DOCUMENT_BYTES + 1)
    try:
        return read_document(raw, place=f"{DOCUMENT_NAME} in {place}")
    except BrokenVoiceError as exc:
        raise InvalidInputError(exc.message, hint=_MEND) from exc


def _unpacked(
    archive: zipfile.ZipFile,
    entries: dict[str, zipfile.ZipInfo],
    document: VoiceDocument,
    staged: Staging,
    place: Path,
) -> VoiceDocument:
    """Bring the files into `staged` under the names that registering gives; the document with those names."""
    engines = {}
    for engine, sound in document.engines.items():
        files: dict[str, StoredFile] = {}
        for role, told in sound.files.items():
            if entries[told.file].file_size != told.bytes:
                raise _refused(place, f"holds {told.file} with another size than its voice.json says")
            with archive.open(entries[told.file]) as opened:
                made = staged.copy(
                    opened,
                    stem=f"{engine}-{role}",
                    suffix=suffix_of(told.file),
                    limit=told.bytes,
                )
            if (made.bytes, made.sha256) != (told.bytes, told.sha256):
                raise _refused(place, f"holds {told.file} with other content than its voice.json says")
            files[role] = made
        paths = {role: staged.path / made.file for role, made in files.items()}
        check_roles(CheckedSound(engine, sound.name, sound.speed, paths, sound.texts))
        for role, path in paths.items():
            check_file(role, path)
        engines[engine] = sound.model_copy(update={"files": files})
    return document.model_copy(update={"engines": engines})


def _refused(place: Path, why: str) -> InvalidInputError:
    return InvalidInputError(f"{place} {why}", hint=_MEND)
