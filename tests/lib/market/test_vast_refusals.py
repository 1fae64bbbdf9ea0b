"""Each refusal of the market as the error that says what to do next."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lib.errors import JobRunnerError, UnreachableError
from lib.market.errors import BusyError, CreditError, KeyRefusedError, MarketError, OfferGoneError, UncertainError
from lib.market.vast_refusals import Reply, SearchQuotaError, refusal, says_no_such_instance

NOW = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "text", "looking", "creating"),
    [
        (401, '{"msg": "Invalid user key"}', KeyRefusedError, KeyRefusedError),
        (403, '{"msg": "forbidden"}', KeyRefusedError, KeyRefusedError),
        (403, '{"error": "insufficient_credit"}', CreditError, CreditError),
        (402, '{"success": false}', CreditError, CreditError),
        (400, '{"msg": "Your account lacks credit; see the billing page."}', CreditError, CreditError),
        (400, '{"error": "no_such_ask", "msg": "Instance type by id 5 is not available"}', MarketError, OfferGoneError),
        (404, '{"success": false}', MarketError, OfferGoneError),
        (410, '{"success": false}', MarketError, OfferGoneError),
        (404, "", MarketError, UncertainError),
        (410, "<html>Gone", MarketError, UncertainError),
        (404, '"not available"', MarketError, UncertainError),
        (403, "<html>blocked", KeyRefusedError, UncertainError),
        (400, '{"error": "invalid_args", "msg": "disk too small"}', MarketError, MarketError),
        (500, '{"msg": "lacks credit"}', UnreachableError, UncertainError),
        (502, "<html>", UnreachableError, UncertainError),
        (503, "", UnreachableError, UncertainError),
        (429, "slow", BusyError, BusyError),
    ],
)
def test_what_a_refusal_is(
    status: int, text: str, looking: type[JobRunnerError], creating: type[JobRunnerError]
) -> None:
    """A create is uncertain wherever it may have been done, and certain where the market itself said no.

    What stands between it and us answers with pages of its own, also when it lost the market's reply.
    """
    for kind, is_create in ((looking, False), (creating, True)):
        error = refusal(Reply(status, text), "to do it", NOW, creating=is_create)
        assert isinstance(error, kind)
        assert (kind is MarketError) == (type(error) is MarketError)
        assert str(error).startswith(f"Vast.ai refused to do it: {status}")


@pytest.mark.parametrize(
    ("text", "headers", "seconds"),
    [
        ("slow", {}, 1.0),
        ("slow", {"retry-after": "12"}, 12.0),
        ("slow", {"retry-after": "Sun, 22 Nov 2026 18:00:30 GMT"}, 30.0),
        ("slow", {"retry-after": "Sun, 22 Nov 2026 17:00:00 GMT"}, 0.0),
        ("slow", {"retry-after": "Sun, 22 Nov 2026 17:00:00"}, 1.0),
        ("slow", {"retry-after": "-3"}, 1.0),
        ("slow", {"retry-after": "inf"}, 1.0),
        ("too frequent endpoint threshold=2.5", {}, 2.5),
        ('{"detail": "too frequent endpoint threshold=2"}', {}, 2.0),
        ('{"detail": "too frequent endpoint threshold=2"}', {"retry-after": "9"}, 9.0),
    ],
)
def test_how_long_to_wait(text: str, headers: dict[str, str], seconds: float) -> None:
    """By the header, else by its words, else a second."""
    error = refusal(Reply(429, text, headers), "to look", NOW)
    assert isinstance(error, BusyError)
    assert error.after_seconds == seconds


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [(str(int(NOW.timestamp()) + 90), 90.0), ("", 6 * 3600.0), ("soon", 6 * 3600.0), ("1", 6 * 3600.0)],
)
def test_a_days_searches_end_when_the_market_says_or_at_midnight(reset: str, seconds: float) -> None:
    """They are an error of their own kind, since nothing else is used up."""
    reply = Reply(429, '{"error": "search_quota_exceeded"}', {"x-ratelimit-reset": reset})
    error = refusal(reply, "to search", NOW)
    assert isinstance(error, SearchQuotaError)
    assert error.after_seconds == seconds


@pytest.mark.parametrize(
    ("status", "text", "gone"),
    [
        (404, '{"success": false, "error": "no_such_instance"}', True),
        (404, '{"msg": "Instance not found"}', True),
        (410, '{"msg": "it does not exist"}', True),
        (404, "not found", False),
        (404, '"not found"', False),
        (404, '{"msg": "no such route"}', False),
        (404, "{}", False),
        (410, "", False),
        (500, '{"error": "no_such_instance"}', False),
        (200, '{"error": "no_such_instance"}', False),
    ],
)
def test_only_the_market_itself_can_say_that_an_instance_is_gone(status: int, text: str, *, gone: bool) -> None:
    """Any server in between says 404 for reasons of its own."""
    assert says_no_such_instance(Reply(status, text)) is gone


def test_what_it_said_is_one_line() -> None:
    """Code and message, or the beginning of the text; never a whole page."""
    assert Reply(400, '{"error": "bad", "msg": "worse\\nstill", "detail": 7}').said == "bad worse still"
    assert len(Reply(400, "<html>" * 1000).said) == 300
    assert Reply(400, "[" * 100_000).document is None
