"""voice.json: what stands beside the files of a voice of somebody's own, and the only form in which it is believed.

A voice's folder may come from another machine or another person's hands, so every name in it is checked here before
any path is made of it. It reads no file; `lib.voice_synth.library` and its neighbours do.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from lib.errors import PermanentError
from lib.jobqueue import fields
from lib.jobqueue.problems import from_validation, shown

DOCUMENT_NAME: Final = "voice.json"
MAX_DOCUMENT_BYTES: Final = 256 * 1024
"""Far above any real one: a voice has a few files and a sentence or two."""

MAX_FILE_BYTES: Final = 2 * 1024**3
"""One file of a voice; the largest models of voices that are known are a tenth of it."""

_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
_WORD: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class BrokenVoiceError(PermanentError):
    """A voice's folder is not what its voice.json says, or the voice.json is none."""

    code: ClassVar[str] = "broken_voice"


def file_name_problem(name: str) -> str | None:
    """Why this is no name of a file in a voice's own folder, or None."""
    if _FILE_NAME.fullmatch(name) is None or name.lower() == DOCUMENT_NAME:
        return f"{shown(name)} is no plain file name; use letters, digits and . _ -, no folder"
    return None


def _file_name(value: str) -> str:
    problem = file_name_problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _word(value: str) -> str:
    if _WORD.fullmatch(value) is None:
        raise ValueError(f"{shown(value)} is no name here; use small letters, digits, _ and -")
    return value


def _printable(value: str) -> str:
    if not value.isprintable():
        raise ValueError("holds a control character or a line break; remove it")
    return value


Word = Annotated[str, Field(strict=True), AfterValidator(_word)]
Line = Annotated[str, Field(strict=True, max_length=500), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StoredFile(_Part):
    """One file in the voice's folder; `bytes` is its size."""

    file: Annotated[str, Field(strict=True), AfterValidator(_file_name)]
    bytes: Annotated[int, Field(strict=True, ge=0, le=MAX_FILE_BYTES)]
    sha256: Annotated[str, Field(strict=True, pattern=r"^[0-9a-f]{64}$")]


class Sound(_Part):
    """How the voice sounds on one engine; the fields are those of `EngineVoice`."""

    name: Line = ""
    speed: Annotated[float, Field(ge=0.25, le=4.0, allow_inf_nan=False)] = 1.0
    files: dict[Word, StoredFile] = Field(default_factory=dict)
    texts: dict[Word, Annotated[str, Field(strict=True, max_length=20_000)]] = Field(default_factory=dict)


class VoiceDocument(_Part):
    """voice.json."""

    schema_version: Literal[1] = 1
    slug: fields.VoiceSlug
    description: Line = ""
    language: Line | None = None
    created_at: Line
    engines: Annotated[dict[Word, Sound], Field(min_length=1)]

    def as_bytes(self) -> bytes:
        """The file: the same voice gives the same bytes."""
        return json.dumps(self.model_dump(), indent=2, ensure_ascii=False, sort_keys=True).encode() + b"\n"

    @property
    def stored_files(self) -> dict[str, StoredFile]:
        """Every file by its name in the folder, in the order of the names."""
        every = (stored for sound in self.engines.values() for stored in sound.files.values())
        return {stored.file: stored for stored in sorted(every, key=lambda stored: stored.file)}


def read_document(raw: bytes, *, place: str) -> VoiceDocument:
    """The document in `raw`; `place` names it in messages.

    Raises:
        BrokenVoiceError: naming every mistake in it.

    """
    mend = "mend the file, or delete the voice and register it again"
    try:
        content = json.loads(raw, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as exc:
        raise BrokenVoiceError(f"{place} is no JSON: {exc}", hint=mend) from exc
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > 1:
        raise BrokenVoiceError(
            f"{place} has schema_version {shown(version)}; this program reads 1", hint="use a newer voice-synth"
        )
    try:
        document = VoiceDocument.model_validate(content)
    except ValidationError as exc:
        problems = "; ".join(str(problem) for problem in from_validation(exc, VoiceDocument.model_fields))
        raise BrokenVoiceError(f"{place}: {problems}", hint=mend) from exc
    clash = _clash(document)
    if clash is not None:
        raise BrokenVoiceError(f"{place}: the file {clash} is described in two ways", hint=mend)
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _clash(document: VoiceDocument) -> str | None:
    seen: dict[str, StoredFile] = {}
    for sound in document.engines.values():
        for stored in sound.files.values():
            # Two names that differ in case alone are one file on some disks.
            if seen.setdefault(stored.file.lower(), stored) != stored:
                return stored.file
    return None
