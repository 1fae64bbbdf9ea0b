"""The types of a job's fields: what each accepts and what it becomes.

Every check here looks at one field alone. Rules between fields are in `normalise`. The messages are shown to
people behind the field's name and place.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from lib.clock import iso
from lib.jobqueue.output_names import MAX_NAME_BYTES, has_control_character, output_name_problem
from lib.jobqueue.problems import shown

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
    """An aware UTC time cut to milliseconds, the precision in which times are written and compared."""
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
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _moment_mend(value: object) -> str:
    return f"must be a time such as 2026-01-31T18:00:00Z, not {shown(value)}"


def _seconds_out(value: float) -> float:
    return int(value) if value.is_integer() else value


Text = Annotated[str, Field(strict=True)]
Identifier = Annotated[str, Field(strict=True), AfterValidator(_identifier)]
OutputName = Annotated[str, Field(strict=True), AfterValidator(_output_name)]
Spoken = Annotated[str, Field(strict=True), AfterValidator(_spoken)]
VoiceSlug = Annotated[str, Field(strict=True), AfterValidator(_slug)]
Priority = Annotated[PriorityName, BeforeValidator(_priority)]
Moment = Annotated[datetime, BeforeValidator(_moment), PlainSerializer(iso, return_type=str, when_used="json")]
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
