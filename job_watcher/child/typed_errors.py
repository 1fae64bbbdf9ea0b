"""Errors of tasks as JSON, so that they arrive at the other end of the wire as what they were.

A quota is waited for and costs no attempt, a refusal is final: what follows an error is decided by its type, in another
process than the one that raised it. An error that only a task module knows arrives as the nearest type known here.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from lib.errors import (
    AnswerError,
    BlockedError,
    BudgetError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    TaskError,
    TaskTimeoutError,
    TemporaryError,
    TruncatedError,
    WaitError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MAX_CHARACTERS: Final = 8_192
_PARTS: Final = frozenset({"code", "message", "hint", "delay_seconds", "detail"})

# The last part is what one type alone knows: which window of a quota, which capability of a paused backend.
_MAKERS: Final[Mapping[type[TaskError], Callable[[str, str | None, float | None, str], TaskError]]] = MappingProxyType(
    {
        TemporaryError: lambda said, hint, delay, _: TemporaryError(said, hint=hint, delay_seconds=delay),
        TaskTimeoutError: lambda said, hint, delay, _: TaskTimeoutError(said, hint=hint, delay_seconds=delay),
        OverloadedError: lambda said, hint, delay, _: OverloadedError(said, hint=hint, delay_seconds=delay),
        AnswerError: lambda said, hint, delay, _: AnswerError(said, hint=hint, delay_seconds=delay),
        WaitError: lambda said, hint, delay, _: WaitError(said, hint=hint, delay_seconds=delay),
        QuotaError: lambda said, hint, delay, window: QuotaError(
            said, window=window, hint=hint, delay_seconds=delay or 0.0
        ),
        BudgetError: lambda said, hint, delay, _: BudgetError(said, hint=hint, delay_seconds=delay),
        PausedError: lambda said, hint, delay, capability: PausedError(
            said, capability=capability, hint=hint, delay_seconds=delay
        ),
        PermanentError: lambda said, hint, _delay, _: PermanentError(said, hint=hint),
        BlockedError: lambda said, hint, _delay, _: BlockedError(said, hint=hint),
        TruncatedError: lambda said, hint, _delay, _: TruncatedError(said, hint=hint),
    }
)
_BY_CODE: Final = MappingProxyType({kind.code: make for kind, make in _MAKERS.items()})


def parts_of(error: TaskError) -> dict[str, Any]:
    """The JSON of an error; a long message is cut. One that is neither temporary nor permanent will not pass."""
    kind: type[Any] = next((kind for kind in type(error).__mro__ if kind in _MAKERS), PermanentError)
    delay = getattr(error, "delay_seconds", None)
    detail = ""
    if isinstance(error, QuotaError):
        detail = error.window
    elif isinstance(error, PausedError):
        detail = error.capability
    return {
        "code": kind.code,
        "message": error.message[:_MAX_CHARACTERS],
        "hint": error.hint[:_MAX_CHARACTERS] if error.hint is not None else None,
        "delay_seconds": delay if isinstance(delay, int | float) else None,
        "detail": detail,
    }


def is_sound(parts: Mapping[str, Any]) -> bool:
    """Whether this is the JSON of an error."""
    match parts:
        case {"code": str(code), "message": str(), "hint": None | str(), "delay_seconds": delay, "detail": str()}:
            return parts.keys() == _PARTS and code in _BY_CODE and (delay is None or isinstance(delay, int | float))
    return False


def error_of(parts: Mapping[str, Any]) -> TaskError:
    """The error that `parts_of` took apart; only of parts that are sound."""
    make = _BY_CODE[parts["code"]]
    return make(parts["message"], parts["hint"], parts["delay_seconds"], parts["detail"])
