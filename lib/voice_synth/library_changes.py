"""Changes of the voices in a directory: each is whole or has not happened, also when two come at once.

voice.json is what makes a voice: new files are put beside it under names of their own, then it is replaced in one
step, then what it names no more is removed. A new voice appears by the rename of its folder. Who reads meanwhile sees
the old voice or the new one. What a registration may bring is checked in `library_parts`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from lib import failpoints
from lib.clock import SystemClock, iso
from lib.errors import InvalidInputError, NotFoundError, RefusedError
from lib.jobqueue import fields
from lib.jobqueue.problems import from_validation
from lib.voice_synth.library import BUILT_IN_SLUGS, document_in, folders_of
from lib.voice_synth.library_document import DOCUMENT_NAME, BrokenVoiceError, Sound, StoredFile, VoiceDocument
from lib.voice_synth.library_files import Staging, changing, disk_errors, put_aside, sync_directory
from lib.voice_synth.voices import VoiceRegistry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lib.voice_synth.library_parts import CheckedSound

# What `Staging.copy` names files, so that what nobody names any more can be told from what a person has put there.
_OWN_NAME: Final = re.compile(r"[a-z][a-z0-9_-]*-[0-9a-f]{12}(\.[A-Za-z0-9]+)*")
_SUFFIX: Final = re.compile(r"(\.[A-Za-z0-9]{1,8}){1,2}$")


@dataclass(frozen=True, slots=True)
class Registration:
    """What somebody wants to register; None leaves what is there already."""

    slug: str
    sound: CheckedSound
    description: str | None = None
    language: str | None = None
    replace: bool = False


def checked_slug(slug: str) -> str:
    """The slug, if a voice of one's own may have it.

    Raises:
        InvalidInputError: it is no slug.
        RefusedError: the voice is built in.

    """
    try:
        TypeAdapter(fields.VoiceSlug).validate_python(slug)
    except ValidationError as exc:
        raise InvalidInputError("; ".join(problem.message for problem in from_validation(exc, ()))) from exc
    if slug in BUILT_IN_SLUGS:
        raise RefusedError(f"the voice {slug} is built in", hint="choose another name")
    return slug


def suffix_of(name: str) -> str:
    """The endings of a file's name, as `.onnx.json`; empty when they are odd."""
    found = _SUFFIX.search(name)
    return found[0].lower() if found else ""


def register(directory: Path, wanted: Registration) -> VoiceDocument:
    """Register a voice for an engine: a new voice, or one more engine of a voice that is there.

    Raises:
        InvalidInputError: a file cannot be read or is too large.
        RefusedError: the voice has a sound on this engine already, and `replace` is not set; or the disk refuses.
        BrokenVoiceError: the voice is there but broken, and `replace` is not set.

    """
    slug = checked_slug(wanted.slug)
    with disk_errors(directory), Staging(directory) as staged:
        files: dict[str, StoredFile] = {}
        for role, source in wanted.sound.files.items():
            stem = f"{wanted.sound.engine}-{role}"
            try:
                opened = source.open("rb")
            except OSError as exc:
                raise InvalidInputError(f"{source}: {exc.strerror}", hint="name a file that can be read") from exc
            with opened:
                files[role] = staged.copy(opened, stem=stem, suffix=suffix_of(source.name))
        sound = Sound(name=wanted.sound.name, speed=wanted.sound.speed, files=files, texts=dict(wanted.sound.texts))
        return install(directory, slug, staged, lambda current: _joined(current, wanted, sound), over=wanted.replace)


def _joined(current: VoiceDocument | None, wanted: Registration, sound: Sound) -> VoiceDocument:
    engine = wanted.sound.engine
    if current is None:
        return _document(
            slug=wanted.slug,
            description=wanted.description or "",
            language=wanted.language,
            created_at=iso(SystemClock().now()),
            engines={engine: sound},
        )
    if engine in current.engines and not wanted.replace:
        raise RefusedError(
            f"the voice {wanted.slug} has a sound on the engine {engine} already", hint="add --replace, or another name"
        )
    return _document(
        slug=current.slug,
        description=current.description if wanted.description is None else wanted.description,
        language=current.language if wanted.language is None else wanted.language,
        created_at=current.created_at,
        engines={**current.engines, engine: sound},
    )


def _document(**given: object) -> VoiceDocument:
    try:
        return VoiceDocument.model_validate(given)
    except ValidationError as exc:
        problems = "; ".join(str(problem) for problem in from_validation(exc, VoiceDocument.model_fields))
        raise InvalidInputError(problems) from exc


def install(
    directory: Path,
    slug: str,
    staged: Staging,
    decide: Callable[[VoiceDocument | None], VoiceDocument],
    *,
    over: bool,
) -> VoiceDocument:
    """Give the staged files their place under the document that `decide` makes of the one that is there.

    `over` also takes the place of a broken voice. Call it inside `disk_errors`.
    """
    folder = directory / slug
    with changing(directory):
        current = _current(directory, slug, over=over)
        document = decide(current)
        staged.write(DOCUMENT_NAME, document.as_bytes())
        failpoints.reach("voices.staged")
        if slug not in folders_of(directory):
            sync_directory(staged.path)
            staged.path.rename(folder)
        else:
            for name in document.stored_files:
                if (staged.path / name).exists():
                    (staged.path / name).replace(folder / name)
                    failpoints.reach("voices.file_placed")
            sync_directory(folder)
            (staged.path / DOCUMENT_NAME).replace(folder / DOCUMENT_NAME)
            failpoints.reach("voices.document_placed")
            sync_directory(folder)
            _remove_unnamed(folder, document)
        sync_directory(directory)
    return document


def _current(directory: Path, slug: str, *, over: bool) -> VoiceDocument | None:
    if slug not in folders_of(directory):
        return None
    try:
        return document_in(directory, slug)
    except BrokenVoiceError:
        if over:
            return None
        raise


def _remove_unnamed(folder: Path, document: VoiceDocument) -> None:
    for path in folder.iterdir():
        if path.name not in document.stored_files and _OWN_NAME.fullmatch(path.name):
            path.unlink(missing_ok=True)


def rename(directory: Path, old: str, new: str) -> VoiceDocument:
    """Give a voice another slug; jobs that name the old one fail from now on.

    Raises:
        NotFoundError: there is no such voice.
        RefusedError: the new name is taken, or one of them is built in.
        BrokenVoiceError: the voice is not whole.

    """
    require_there(directory, old)
    checked_slug(new)
    with disk_errors(directory), changing(directory):
        require_there(directory, old)
        if new in folders_of(directory):
            raise RefusedError(f"a voice {new} is there already", hint="delete it first, or choose another name")
        document = document_in(directory, old).model_copy(update={"slug": new})
        with Staging(directory) as staged:
            for name in document.stored_files:
                staged.take(directory / old / name)
            staged.write(DOCUMENT_NAME, document.as_bytes())
            sync_directory(staged.path)
            staged.path.rename(directory / new)
            sync_directory(directory)
            failpoints.reach("voices.renamed")
        put_aside(directory, old)
    return document


def delete(directory: Path, slug: str) -> None:
    """Remove a voice with its files, a broken one too; jobs that name it fail from now on.

    Raises:
        NotFoundError: there is no such voice.
        RefusedError: it is built in.

    """
    require_there(directory, slug)
    with disk_errors(directory), changing(directory):
        require_there(directory, slug)
        put_aside(directory, slug)


def require_there(directory: Path, slug: str) -> None:
    """Raise `NotFoundError` for a voice that is not there, `RefusedError` for one that is built in."""
    if slug in BUILT_IN_SLUGS:
        raise RefusedError(f"the voice {slug} is built in", hint="it comes with job-runner and has no files of its own")
    known = folders_of(directory)
    if slug not in known:
        near = ", ".join((*VoiceRegistry().slugs, *known))
        raise NotFoundError(f"no voice {slug!r} in {directory}", hint=f"voices: {near}")
