"""Speech fields from several levels, the later the stronger, with the place that each came from.

A level that names a voice takes the place of a speaker below it, and the other way round, together with what belongs to
that one alone: a tone without its voice, an instruct without its speaker, would only be a mistake that nobody made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.spec import SPEECH_FIELDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TTS_FIELDS: Final = tuple(name for name in SPEECH_FIELDS if name != "text")
"""What a level may hold."""

_DISPLACES: Final[dict[str, tuple[str, ...]]] = {
    "voice": ("speaker", "instruct"),
    "speaker": ("voice", "tone"),
    "instruct": ("instruct_style",),
    "instruct_style": ("instruct",),
}


@dataclass(frozen=True, slots=True)
class Level:
    """Fields and where they stand: `where` for people, empty for what was given by hand; `lines` by field."""

    where: str
    values: Mapping[str, Any]
    lines: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Merged:
    """The fields that hold in the end, each with the level that it came from."""

    values: dict[str, Any]
    origins: dict[str, Level]


def merged(levels: Iterable[Level]) -> Merged:
    """All levels as one; a null takes away what stands below it."""
    values: dict[str, Any] = {}
    origins: dict[str, Level] = {}
    for level in levels:
        for name in level.values:
            gone = (name, *_DISPLACES.get(name, ())) if level.values[name] is not None else (name,)
            for each in gone:
                values.pop(each, None)
                origins.pop(each, None)
        for name, value in level.values.items():
            if value is not None:
                values[name] = value
                origins[name] = level
    return Merged(values, origins)
