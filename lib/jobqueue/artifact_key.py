"""The key of what a job makes: what was asked for, and all that decides how it comes out.

Two jobs with one key would be given the same files, so the second need not make them. A key is the job's content hash
and what speaks it (engine, model version, voice with its digest, seed); the parts are kept beside it, so that a person
can be told which of them differs. Pure: who knows what would speak is `lib.voice_synth.made_by`, where files of a key
lie is `lib.stores.cache`. The watcher asks before a body runs, `job-runner cache` to explain.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.content_hash import PREFIX as CONTENT_PREFIX
from lib.jobqueue.content_hash import canonical

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.jobqueue.spec import JobSpec

PREFIX: Final = "sha256:a1:"
_HEX_DIGITS: Final = 64
_PART_DIGITS: Final = 16

Part = str | int | float
"""What a key is made of beside the content."""


@dataclass(frozen=True, slots=True)
class ArtifactKey:
    """`content_hash` of a job and what makes it; equal keys mean equal files. Made by `artifact_key`."""

    content_hash: str
    made_by: Mapping[str, Part]
    text: str
    """`sha256:a1:` and 64 hex digits."""

    @property
    def content_hex(self) -> str:
        """The digits of the content hash."""
        return self.content_hash.removeprefix(CONTENT_PREFIX)

    @property
    def hex(self) -> str:
        """The digits of the key."""
        return self.text.removeprefix(PREFIX)


def artifact_key(content_hash: str, made_by: Mapping[str, Any]) -> ArtifactKey:
    """The key of a content made in this way.

    Raises:
        ValueError: the hash is none of ours, or a part is nothing that a key can hold.
    """
    digits = content_hash.removeprefix(CONTENT_PREFIX)
    if not content_hash.startswith(CONTENT_PREFIX) or not is_hex(digits):
        raise ValueError(f"no content hash: {content_hash[:80]!r}")
    for name, part in made_by.items():
        if not isinstance(part, str | int | float) or isinstance(part, bool):
            raise ValueError(f"{name} of a key is {type(part).__name__}")  # noqa: TRY004 - one error for who reads files
    what = canonical({"content_hash": content_hash, "made_by": dict(made_by)})
    return ArtifactKey(content_hash, MappingProxyType(dict(made_by)), PREFIX + hashlib.sha256(what).hexdigest())


def is_hex(text: str) -> bool:
    """Whether it is a sha256 in small hex digits, and so a name that leads nowhere else."""
    return len(text) == _HEX_DIGITS and set(text) <= set("0123456789abcdef")


def content_parts(job: JobSpec) -> dict[str, str]:
    """A short digest of each field that defines the output, those of a payload as `payload.NAME`.

    It says which fields of two jobs differ without keeping anybody's text.
    """
    fields: dict[str, Any] = job.content()
    payload = fields.pop("payload", {})
    fields |= {f"payload.{name}": value for name, value in payload.items()}
    return {name: _digest(value) for name, value in sorted(fields.items())}


def differing(mine: Mapping[str, Any], other: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the parts that are not the same in both, in order."""
    return tuple(name for name in sorted({*mine, *other}) if mine.get(name) != other.get(name))


def _digest(value: Any) -> str:
    return hashlib.sha256(canonical({"": value})).hexdigest()[:_PART_DIGITS]
