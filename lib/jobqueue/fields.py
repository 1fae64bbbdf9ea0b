"""The types of a job's fields: what each accepts and what it becomes.

Every check here looks at one field alone. Rules between fields are in `normalise`. The messages are shown to
people behind the field's name and place.

A type may have a `Plain` form beside its check: a narrower one that the validator's native code knows without a
call, and that takes almost every value there is. Whoever validates strictly (`spec`) tries these alone, and asks
the checks only when that fails.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer
from pydantic_core import CoreSchema, core_schema

from lib.clock import iso
from lib.jobqueue.output_names import (
    MAX_NAME_BYTES,
    MAX_PART_BYTES,
    PLAIN_NAME,
    has_control_character,
    output_name_problem,
)
from lib.jobqueue.problems import shown

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

PriorityName = Literal["high", "normal", "low"]
Backend = Literal["metal", "cloud", "vast"]
OnConflict = Literal["refuse", "queue"]
Profile = Literal["stable", "balanced", "expressive"]

MAX_TTL_SECONDS: Final = 10 * 366 * 86_400
MAX_TIMEOUT_SECONDS: Final = 366 * 86_400
# Beyond these the number is a slip of the hand: a thousand takes of one line, a thousand tries.
MAX_VARIANTS: Final = 1_000
MAX_ATTEMPTS: Final = 1_000
_MAX_COUNT: Final = 1_000_000

_PLAIN: Final = re.compile(r"[A-Za-z0-9:/._-]+")
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_PRIORITIES: Final[tuple[PriorityName, ...]] = ("high",) * 3 + ("normal",) * 4 + ("low",) * 3


def _identifier(value: str) -> str:
    if len(value) <= MAX_NAME_BYTES and _PLAIN.fullmatch(value):
        return value
    if not value.strip():
        raise ValueError("is blank; write a name")
    if len(value) > MAX_NAME_BYTES or len(value.encode()) > MAX_NAME_BYTES:
        raise ValueError(f"is {len(value.encode())} bytes long; at most {MAX_NAME_BYTES} are allowed")
    if has_control_character(value):
        raise ValueError("holds a control character; remove it")
    return value


def _output_name(value: str) -> str:
    problem = output_name_problem(value)
    if problem is not None:
        raise ValueError(problem)
    return value


def _spoken(value: str) -> str:
    if not value.strip():
        raise ValueError("is blank; write what is to be said")
    return value


def _slug(value: str) -> str:
    if _SLUG.fullmatch(value) is None:
        raise ValueError(f"{shown(value)} is no voice name; use 1 to 64 small letters, digits and inner hyphens")
    return value


def _priority(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(_PRIORITIES):
        return _PRIORITIES[value]
    if isinstance(value, str) and value in _PRIORITIES:
        return value
    raise ValueError(f"must be high, normal, low or 0 to 9, not {shown(value)}")


def _moment(value: object) -> datetime:
    """An aware UTC time, cut to milliseconds."""
    if type(value) is datetime and value.tzinfo is UTC and not value.microsecond % 1000:
        return value
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(_moment_mend(value)) from None
    if not isinstance(value, datetime):
        raise ValueError(_moment_mend(value))  # noqa: TRY004  pydantic collects ValueError, not TypeError
    if value.tzinfo is None:
        raise ValueError(f"{shown(value.isoformat())} has no timezone; add Z or an offset such as +02:00")
    try:
        moment = value.astimezone(UTC)
    except (OverflowError, ValueError):
        raise ValueError(f"{shown(value.isoformat())} lies outside the years 1 to 9999") from None
    return cut_to_milliseconds(moment)


def cut_to_milliseconds(moment: datetime) -> datetime:
    """The precision in which times are written and compared."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _moment_mend(value: object) -> str:
    return f"must be a time such as 2026-01-31T18:00:00Z, not {shown(value)}"


# The jobs of one file were queued at one time.
_iso: Final = lru_cache(maxsize=256)(iso)


def _seconds_out(value: float) -> float:
    return int(value) if value.is_integer() else value


# Equal by identity: a schema has no hash.
@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """The form of a field for strict validation. It may take less than the check before it, never more or otherwise."""

    schema: CoreSchema

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The check for lax validation, this form for strict."""
        full = cast("dict[str, Any]", handler(source))
        writing = {key: full.pop(key) for key in ("serialization",) if key in full}
        either = core_schema.lax_or_strict_schema(cast("CoreSchema", full), self.schema)
        return cast("CoreSchema", {**either, **writing})


def _text_like(pattern: str, *, longest: int | None = None) -> Plain:
    return Plain(core_schema.str_schema(strict=True, pattern=rf"\A(?:{pattern})\z", max_length=longest))


# As `iso` writes it; anything else is looked at by `_moment`.
_WRITTEN_MOMENT: Final = core_schema.chain_schema(
    [
        core_schema.str_schema(
            strict=True, pattern=r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z\z"
        ),
        core_schema.no_info_plain_validator_function(datetime.fromisoformat),
    ]
)

Text = Annotated[str, Field(strict=True)]
# Without a `Plain` form, for models that are strict by themselves and have nobody to ask when that refuses.
CheckedIdentifier = Annotated[str, Field(strict=True), AfterValidator(_identifier)]
CheckedOutputName = Annotated[str, Field(strict=True), AfterValidator(_output_name)]
Identifier = Annotated[CheckedIdentifier, _text_like(_PLAIN.pattern, longest=MAX_NAME_BYTES)]
OutputName = Annotated[CheckedOutputName, _text_like(PLAIN_NAME, longest=MAX_PART_BYTES)]
# A letter, or what ASCII prints, is no blank.
Spoken = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_spoken),
    Plain(core_schema.str_schema(strict=True, pattern=r"[!-~\p{L}]")),
]
VoiceSlug = Annotated[str, Field(strict=True), AfterValidator(_slug), _text_like(_SLUG.pattern)]
Priority = Annotated[
    PriorityName, BeforeValidator(_priority), Plain(core_schema.literal_schema(list(dict.fromkeys(_PRIORITIES))))
]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(_iso, return_type=str, when_used="json"),
    Plain(core_schema.json_or_python_schema(_WRITTEN_MOMENT, core_schema.no_info_plain_validator_function(_moment))),
]
Attempts = Annotated[int, Field(strict=True, ge=1, le=MAX_ATTEMPTS)]
Attempt = Annotated[int, Field(strict=True, ge=0, le=_MAX_COUNT)]
Variants = Annotated[int, Field(strict=True, ge=1, le=MAX_VARIANTS)]
Tokens = Annotated[int, Field(strict=True, ge=1, le=_MAX_COUNT)]
TtlSeconds = Annotated[int, Field(strict=True, ge=1, le=MAX_TTL_SECONDS)]
TimeoutSeconds = Annotated[
    float,
    Field(strict=True, gt=0, le=MAX_TIMEOUT_SECONDS, allow_inf_nan=False),
    PlainSerializer(_seconds_out, return_type=int | float, when_used="json"),
]
Temperature = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
TopP = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Penalty = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
