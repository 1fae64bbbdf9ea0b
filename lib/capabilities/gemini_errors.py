"""What the Gemini API means by its refusals, as errors of ours: whose fault, and how long to wait.

Pure: it is given status, body and time, and imports nothing of the vendor's; text and speech use it alike.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from lib.capabilities.answers import shown
from lib.errors import (
    AnswerError,
    BlockedError,
    OverloadedError,
    PausedError,
    PermanentError,
    QuotaError,
    TaskError,
    TruncatedError,
)
from lib.pacific import seconds_left

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from lib.jobqueue import Capability

NO_HINT_SECONDS: Final = 60.0
"""A 429 that says nothing is taken for a quota of a minute, all of which has to pass."""

_BELIEVED_FOR_A_DAY_SECONDS: Final = 3600.0
"""A 429 of a day's quota often names the seconds to the next minute; only a longer wait is one of days."""

_PAUSE_SECONDS: Final = 60.0
"""Until a key, a model or a network is looked at again, which only a person mends as a rule."""

_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)s")
_BAD_KEY: Final = frozenset({"API_KEY_INVALID", "API_KEY_EXPIRED", "API_KEY_SERVICE_BLOCKED"})
_ACCOUNT: Final = re.compile(r"location is not supported|billing", re.IGNORECASE)
_TOO_LONG: Final = re.compile(r"token count .*exceeds|exceeds the maximum number of tokens", re.IGNORECASE)
_BUSY: Final = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, 499})
"""499: the service says that the call was given up."""


_BLOCKED: Final = frozenset(
    {
        "SAFETY",
        "RECITATION",
        "LANGUAGE",
        "BLOCKLIST",
        "PROHIBITED_CONTENT",
        "SPII",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
        "MODEL_ARMOR",
    }
)


def refusal(code: int, body: Any, *, model: str, now: datetime, capability: Capability = "text_model") -> TaskError:
    """The error that a reply with an error status is. The body must hold no secret any more."""
    error = _refusal(code, body, model, now, capability)
    # The provider takes nothing for a request that it answers so; it only counts it.
    error.free = True
    return error


def _refusal(code: int, body: Any, model: str, now: datetime, capability: Capability) -> TaskError:
    error = body.get("error", body) if isinstance(body, dict) else {}
    said = shown(str(error.get("message") or error.get("status") or "no reason given"))
    details = [each for each in error.get("details") or () if isinstance(each, dict)]
    if code == HTTPStatus.TOO_MANY_REQUESTS:
        return _quota(details, model, now)
    if code >= HTTPStatus.INTERNAL_SERVER_ERROR or code in _BUSY:
        return OverloadedError(f"Gemini cannot answer now ({code}): {said}", delay_seconds=_hinted(details))
    mend = _mend(code, {each.get("reason") for each in details}, said)
    if mend is not None:
        message = f"Gemini does not let us use {model} ({code}): {said}"
        return PausedError(message, capability=capability, hint=mend, delay_seconds=_PAUSE_SECONDS)
    if _TOO_LONG.search(said):
        return TruncatedError(f"the prompt is longer than what {model} can see: {said}", hint="send less at once")
    return PermanentError(f"Gemini refuses the request ({code}): {said}")


def _mend(code: int, reasons: set[Any], said: str) -> str | None:
    """What a person has to do before this key and model answer anything; None where the request itself is wrong."""
    if code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} or reasons & _BAD_KEY:
        return "put a valid key into GEMINI_API_KEY and start the watcher again"
    if code == HTTPStatus.NOT_FOUND:
        return "set GEMINI_MODEL and GEMINI_SPEECH_MODEL to models that it has"
    if code == HTTPStatus.PAYMENT_REQUIRED or _ACCOUNT.search(said):
        return "see what it says of the account that the key belongs to"
    return None


def ending(reason: str, model: str, block_reason: str = "") -> TaskError | None:
    """The error that the end of an answer is, by its finishReason; None when it is complete.

    `block_reason` is of the prompt. An empty reason means that there was none: no candidate, or no end.
    """
    if block_reason:
        return BlockedError(f"{model} refuses the prompt: {block_reason}", hint="change what is asked")
    if reason == "STOP":
        return None
    if reason in {"MAX_TOKENS", "CONTINUATION"}:
        return TruncatedError(
            f"the answer of {model} was cut off at its limit of tokens", hint="allow more tokens, or ask for less"
        )
    if reason in _BLOCKED:
        return BlockedError(f"{model} refuses to answer: {reason}", hint="change what is asked")
    return AnswerError(f"{model} gave no answer" + (f": {reason}" if reason else ""))


def unreachable(host: str, why: str, capability: Capability = "text_model") -> PausedError:
    """No connection could be made."""
    return PausedError(
        f"Gemini cannot be reached at {host}: {shown(why)}",
        capability=capability,
        hint="is there a network?",
        delay_seconds=30.0,
    )


def seconds_to_reset(now: datetime) -> float:
    """Until the quotas of a day begin anew: midnight in Los Angeles."""
    return seconds_left(now)


def _quota(details: list[dict[str, Any]], model: str, now: datetime) -> QuotaError:
    hint = _hinted(details)
    if any("PerDay" in quota for quota in _quotas(details)):
        wait = hint if hint and hint >= _BELIEVED_FOR_A_DAY_SECONDS else seconds_to_reset(now)
        return QuotaError(f"today's quota of {model} is used up", window="day", delay_seconds=wait)
    if hint is None:
        message = f"a quota of {model} is used up; it does not say until when, so {NO_HINT_SECONDS:.0f} s"
        return QuotaError(message, window="minute", delay_seconds=NO_HINT_SECONDS)
    return QuotaError(f"the quota of a minute of {model} is used up", window="minute", delay_seconds=hint)


def _quotas(details: list[dict[str, Any]]) -> Iterator[str]:
    for each in details:
        for violation in each.get("violations") or ():
            yield str(violation.get("quotaId", "")) if isinstance(violation, dict) else ""


def _hinted(details: list[dict[str, Any]]) -> float | None:
    """The seconds of RetryInfo, which stand only in the body."""
    for each in details:
        found = _SECONDS.fullmatch(str(each.get("retryDelay", "")))
        if found:
            return float(found[1])
    return None
