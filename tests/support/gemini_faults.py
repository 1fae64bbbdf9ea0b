"""What the fake Gemini may be told to do wrong, and the bodies that the real API sends then.

A rule names a fault and the calls it is for; the rules are asked in order, the first that fits a call has it. The
bodies are those of the service, so that the real client library reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FAULTS: Final = frozenset(
    {
        "429_minute",  # a quota of a minute, with RetryInfo of `seconds`; closes: until then
        "429_day",  # a quota of a day; with RetryInfo where `seconds` is set; closes: for the rest of the run
        "429_no_hint",  # no details at all
        "500",
        "503",
        "400_key",  # the key is not valid
        "400",  # the request is wrong
        "403",  # the key may not
        "404",  # no such model
        "hang",  # nothing at all, not even a status, for `seconds` (None: until the fake is closed)
        "stall",  # the first piece, then nothing for `seconds` (None: until the fake is closed)
        "trickle",  # a piece of one character every `seconds` (None: 0.05)
        "cut",  # the connection breaks after the first piece
        "slow",  # the right answer after `seconds`
        "SAFETY",  # nothing but a finishReason, as are the next
        "RECITATION",
        "PROHIBITED_CONTENT",
        "OTHER",
        "MAX_TOKENS",  # half of the answer
        "continuation",  # the first half, and a token with which the rest could be asked for
        "no_candidates",
        "no_text",  # a candidate without parts
        "blocked",  # promptFeedback.blockReason
        "error_in_stream",  # 200, one piece, then an error object of 503
        "invalid_json",
        "wrong_schema",
        "answer",  # `text` as the answer
        "silent_audio",  # for speech: the right length, all zero
        "no_audio",  # for speech: text instead of sound
        "short_audio",  # for speech: a tenth of the length
    }
)

NO_STATUS_FAULTS: Final = frozenset({"hang", "stall", "trickle", "cut", "slow"})


@dataclass(slots=True)
class Rule:
    """A fault, the calls it is for, and how many of them: `times` after the first `skip`; None: every one.

    `match` is a regular expression sought in prompt and system text, `model` a whole name; empty: any. `seconds` is
    what the fault says it is. `closes`: after a 429, that key and model answer 429 until its time is over.
    """

    fault: str
    match: str = ""
    model: str = ""
    skip: int = 0
    times: int | None = 1
    seconds: float | None = None
    text: str = ""
    closes: bool = False

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise ValueError(f"no such fault: {self.fault}; there are {', '.join(sorted(FAULTS))}")

    def takes(self, model: str, prompt: str) -> bool:
        """Whether this call is its, counting it."""
        if (self.model and self.model != model) or not re.search(self.match, prompt):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


_METRIC = "generativelanguage.googleapis.com/generate_content_free_tier_"
_QUOTAS: Final = {
    "rpm": ("GenerateRequestsPerMinutePerProjectPerModel-FreeTier", f"{_METRIC}requests"),
    "tpm": ("GenerateContentInputTokensPerModelPerMinute-FreeTier", f"{_METRIC}input_token_count"),
    "rpd": ("GenerateRequestsPerDayPerProjectPerModel-FreeTier", f"{_METRIC}requests"),
}
_QUOTA_MESSAGE = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "head to: https://ai.google.dev/gemini-api/docs/rate-limits."
)


def error(code: int, status: str, message: str, details: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """The body of any error."""
    body: dict[str, Any] = {"code": code, "message": message, "status": status}
    return {"error": {**body, "details": details} if details else body}


def quota_error(window: str, model: str, value: int, retry_seconds: float | None) -> dict[str, Any]:
    """The body of a 429; `window` is rpm, tpm or rpd."""
    quota, metric = _QUOTAS[window]
    violation = {
        "quotaMetric": metric,
        "quotaId": quota,
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": str(value),
    }
    details: list[dict[str, Any]] = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]},
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{"description": "Learn more", "url": "https://ai.google.dev/gemini-api/docs/rate-limits"}],
        },
    ]
    message = _QUOTA_MESSAGE
    if retry_seconds is not None:
        message += f"\nPlease retry in {retry_seconds:.9f}s."
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{retry_seconds:.9g}s"})
    return error(429, "RESOURCE_EXHAUSTED", message, details)


def key_error() -> dict[str, Any]:
    """The body for a key that is none: the service says 400, not 401."""
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "API_KEY_INVALID",
        "domain": "googleapis.com",
        "metadata": {"service": "generativelanguage.googleapis.com"},
    }
    return error(400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", [info])


def refusal(rule: Rule, model: str) -> tuple[int, Mapping[str, Any]] | None:
    """Status and body of a fault that is an error reply; None for every other fault."""
    seconds = rule.seconds
    bodies: dict[str, dict[str, Any]] = {
        "429_minute": quota_error("rpm", model, 10, 17.0 if seconds is None else seconds),
        "429_day": quota_error("rpd", model, 250, seconds),
        "429_no_hint": error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota)."),
        "500": error(500, "INTERNAL", "An internal error has occurred. Please retry."),
        "503": error(503, "UNAVAILABLE", "The model is overloaded. Please try again later."),
        "400_key": key_error(),
        "400": error(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
        "403": error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."),
        "404": unknown_model(model),
    }
    body = bodies.get(rule.fault)
    return None if body is None else (body["error"]["code"], body)


def unknown_model(model: str) -> dict[str, Any]:
    """The body of a 404."""
    return error(404, "NOT_FOUND", f"models/{model} is not found for API version v1, or is not supported.")
