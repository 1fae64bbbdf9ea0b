"""What a refusal of the Gemini API means: whose fault it is, and how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lib.capabilities.gemini_errors import ending, refusal, seconds_to_reset, unreachable
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
from tests.support.gemini_faults import error, key_error, quota_error, unknown_model

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
"""Five in the morning in Los Angeles."""

TO_RESET = 19 * 3600.0


def meant(code: int, body: Any) -> TaskError:
    """The error for a reply."""
    return refusal(code, body, model="gemini-x", now=NOON)


def quota(code: int, body: Any) -> QuotaError:
    """The same for one that must be of quota."""
    found = meant(code, body)
    assert isinstance(found, QuotaError)
    return found


@pytest.mark.parametrize(("named", "seconds"), [("17s", 17), ("0.5s", 0.5), ("41.907713522s", 41.907713522)])
def test_a_quota_of_a_minute_is_closed_for_exactly_what_it_names(named: str, seconds: float) -> None:
    """The time stands in the body alone, often with a fraction."""
    body = quota_error("rpm", "gemini-x", 10, None)
    body["error"]["details"].append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": named})
    found = quota(429, body)
    assert (found.window, found.delay_seconds) == ("minute", seconds)
    assert found.message == "the quota of a minute of gemini-x is used up"


def test_a_quota_of_tokens_is_one_of_a_minute() -> None:
    """Whatever is counted in it."""
    assert quota(429, quota_error("tpm", "gemini-x", 10, 3)).window == "minute"


@pytest.mark.parametrize("hint", [None, 17.0, 3599.0])
def test_a_quota_of_a_day_lasts_until_the_reset(hint: float | None) -> None:
    """A hint of seconds is one of the minute: after it the day would be as used up as before."""
    found = quota(429, quota_error("rpd", "gemini-x", 250, hint))
    assert (found.window, found.delay_seconds) == ("day", TO_RESET)


def test_a_long_hint_beside_a_quota_of_a_day_is_believed() -> None:
    """It knows better than we do."""
    assert quota(429, quota_error("rpd", "gemini-x", 250, 7200)).delay_seconds == 7200


def test_the_day_wins_over_the_minute() -> None:
    """Where both are used up."""
    body = quota_error("rpm", "gemini-x", 10, 5)
    body["error"]["details"].append(quota_error("rpd", "gemini-x", 250, None)["error"]["details"][0])
    assert quota(429, body).window == "day"


@pytest.mark.parametrize(
    "body", [error(429, "RESOURCE_EXHAUSTED", "exhausted"), {"message": "slow down"}, None, [], ""]
)
def test_a_429_without_a_hint_waits_a_minute_and_says_so(body: Any) -> None:
    """Whatever its body is."""
    found = quota(429, body)
    assert (found.window, found.delay_seconds) == ("minute", 60)
    assert "does not say until when, so 60 s" in found.message


@pytest.mark.parametrize(
    ("code", "body", "kind", "said"),
    [
        (500, error(500, "INTERNAL", "oops"), OverloadedError, "cannot answer now (500): oops"),
        (502, {"message": "<html>", "status": "Bad Gateway"}, OverloadedError, "cannot answer now (502): <html>"),
        (503, error(503, "UNAVAILABLE", "overloaded"), OverloadedError, "cannot answer now (503): overloaded"),
        (504, None, OverloadedError, "cannot answer now (504): no reason given"),
        (408, None, OverloadedError, "cannot answer now (408)"),
        (400, key_error(), PausedError, "API key not valid"),
        (401, error(401, "UNAUTHENTICATED", "who?"), PausedError, "who?"),
        (403, error(403, "PERMISSION_DENIED", "no"), PausedError, "does not let us use gemini-x (403): no"),
        (404, unknown_model("gemini-x"), PausedError, "models/gemini-x is not found"),
        (400, error(400, "FAILED_PRECONDITION", "User location is not supported"), PausedError, "location"),
        (402, error(402, "X", "pay"), PausedError, "pay"),
        (400, error(400, "INVALID_ARGUMENT", "wrong"), PermanentError, "refuses the request (400): wrong"),
        (
            400,
            error(400, "INVALID_ARGUMENT", "The input token count (9) exceeds the maximum number of tokens (8)"),
            TruncatedError,
            "the prompt is longer than what gemini-x can see",
        ),
        (413, None, PermanentError, "refuses the request (413)"),
    ],
)
def test_every_other_refusal_has_its_meaning(code: int, body: Any, kind: type[TaskError], said: str) -> None:
    """Its fault, our fault, or something that only a person can mend."""
    found = meant(code, body)
    assert type(found) is kind
    assert said in found.message


def test_what_a_person_has_to_do_is_the_hint() -> None:
    """And it is looked at again by itself after a while."""
    found = meant(400, key_error())
    assert isinstance(found, PausedError)
    assert (found.capability, found.delay_seconds) == ("text_model", 60)
    assert found.hint == "put a valid key into GEMINI_API_KEY and start the watcher again"
    assert "GEMINI_MODEL" in str(meant(404, unknown_model("gemini-x")).hint)


def test_a_long_text_is_cut() -> None:
    """It becomes a line of a log."""
    assert len(meant(403, error(403, "X", "you may not " * 50)).message) < 250


def test_an_overload_may_name_a_time() -> None:
    """It is the delay of the next try."""
    body = error(503, "UNAVAILABLE", "busy", [{"retryDelay": "4s"}])
    found = meant(503, body)
    assert isinstance(found, OverloadedError)
    assert found.delay_seconds == 4


@pytest.mark.parametrize(
    ("reason", "block", "kind"),
    [
        ("STOP", "", None),
        ("MAX_TOKENS", "", TruncatedError),
        ("CONTINUATION", "", TruncatedError),
        ("SAFETY", "", BlockedError),
        ("RECITATION", "", BlockedError),
        ("BLOCKLIST", "", BlockedError),
        ("PROHIBITED_CONTENT", "", BlockedError),
        ("SPII", "", BlockedError),
        ("", "SAFETY", BlockedError),
        ("STOP", "OTHER", BlockedError),
        ("OTHER", "", AnswerError),
        ("MALFORMED_FUNCTION_CALL", "", AnswerError),
        ("SOMETHING_NEW", "", AnswerError),
        ("", "", AnswerError),
    ],
)
def test_only_stop_is_a_complete_answer(reason: str, block: str, kind: type[TaskError] | None) -> None:
    """Every other end has its error."""
    found = ending(reason, "gemini-x", block)
    assert (type(found) if found is not None else None) is kind
    if found is not None:
        assert "gemini-x" in found.message


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        ("2026-07-01T12:00:00+00:00", TO_RESET),
        ("2026-01-01T12:00:00+00:00", 20 * 3600),
        ("2026-07-01T06:59:59+00:00", 1),
        ("2026-07-01T07:00:00+00:00", 24 * 3600),
        ("2026-03-08T08:00:00+00:00", 23 * 3600),  # the clocks go forward on this day
        ("2026-11-01T07:00:00+00:00", 25 * 3600),
    ],
)
def test_a_day_ends_at_midnight_in_los_angeles(now: str, seconds: float) -> None:
    """Summer and winter, and on the days between."""
    assert seconds_to_reset(datetime.fromisoformat(now)) == seconds


def test_nobody_there_is_a_pause() -> None:
    """No job is to blame."""
    found = unreachable("example.org", "ConnectError: no route", "speech")
    assert found.message == "Gemini cannot be reached at example.org: ConnectError: no route"
    assert (found.capability, found.delay_seconds) == ("speech", 30)
