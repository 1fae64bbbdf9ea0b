"""What Vast.ai means when it does not do what it was asked: each of its answers as one of our errors. Pure.

It refuses with a status, with `success: false`, or with words alone; a refusal for too many requests comes as JSON or
as plain text, with a time in a header, in its words, or without any. Called by `lib.market.vast` alone.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from lib.errors import JobRunnerError, UnreachableError
from lib.market.errors import BusyError, CreditError, KeyRefusedError, MarketError, OfferGoneError, UncertainError
from lib.market.vast_wire import words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_TOO_MANY: Final = 429
_NO_KEY: Final = frozenset({401, 403})
_NO_MONEY: Final = 402
_NOT_HERE: Final = frozenset({404, 410})
_FAULT: Final = 500
_PAGES: Final = _NO_KEY | _NOT_HERE | {_NO_MONEY}
"""Whoever stands between answers with these as well."""

_CREDIT: Final = re.compile(
    r"insufficient[_ ](?:credit|funds|balance)|lacks credit|out of credit|no credit", re.IGNORECASE
)
_GONE: Final = re.compile(r"no_such_ask|not available|already rented|no longer available|unavailable", re.IGNORECASE)
_NO_INSTANCE: Final = re.compile(r"no_such_instance|no such instance|not[_ ]found|does not exist", re.IGNORECASE)
_THRESHOLD: Final = re.compile(r"threshold=([0-9]{1,4}(?:\.[0-9]{1,3})?)")

DAY_SECONDS: Final = 86_400.0


class SearchQuotaError(BusyError):
    """The day's searches are used up; everything else may go on."""


class TooManyError(BusyError):
    """Too many requests of any kind; `named` is how long to wait, where the market said it."""

    def __init__(self, message: str, *, after_seconds: float | None) -> None:
        super().__init__(
            message,
            hint="it is tried again a little later",
            after_seconds=1.0 if after_seconds is None else after_seconds,
        )
        self.named = after_seconds


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: its status, its text, its headers (names in small letters) and the JSON in it, if any."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def document(self) -> Any:
        """The JSON, None where it is none."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return None

    @property
    def said(self) -> str:
        """Its code and its message on one line, or the beginning of its text."""
        document = self.document
        if not isinstance(document, dict):
            return words(self.text)
        parts = [document.get(name) for name in ("error", "msg", "message", "detail")]
        return words(" ".join(part for part in parts if isinstance(part, str)))


def refusal(reply: Reply, what: str, now: datetime, *, creating: bool = False) -> JobRunnerError:
    """The error that a reply is. `what` completes "Vast.ai refused …"; `now` is for a time that the reply names."""
    said = reply.said
    text = f"Vast.ai refused {what}: {reply.status} {said}".rstrip()
    if reply.status == _TOO_MANY:
        return _busy(reply, text, now)
    if creating and (reply.status >= _FAULT or _is_page(reply)):
        return UncertainError(text, hint="it may have been rented all the same: it is looked for by its label")
    if reply.status < _FAULT and (reply.status == _NO_MONEY or _CREDIT.search(said)):
        return CreditError(text, hint="add credit to the account at Vast.ai; until then nothing is rented")
    if reply.status in _NO_KEY:
        return KeyRefusedError(text, hint="see to VAST_API_KEY: a key of this account with the rights for instances")
    if creating and reply.status < _FAULT and (reply.status in _NOT_HERE or _GONE.search(said)):
        return OfferGoneError(text, hint="the next offer is tried")
    return MarketError(text) if reply.status < _FAULT else UnreachableError(text, hint="this is tried again")


def _is_page(reply: Reply) -> bool:
    """Whether it is of somebody between, who may have lost the market's own reply: the market refuses with objects."""
    return reply.status in _PAGES and not isinstance(reply.document, dict)


def says_no_such_instance(reply: Reply) -> bool:
    """Whether the market itself says that there is no such instance: a proxy's page that says 404 is no such word."""
    return reply.status in _NOT_HERE and isinstance(reply.document, dict) and bool(_NO_INSTANCE.search(reply.said))


def _busy(reply: Reply, text: str, now: datetime) -> BusyError:
    document = reply.document
    if isinstance(document, dict) and document.get("error") == "search_quota_exceeded":
        return SearchQuotaError(
            text,
            hint="the searches of the day are used up; it is tried again when the market counts anew",
            after_seconds=_until_reset(reply, now),
        )
    return TooManyError(text, after_seconds=_after(reply, now))


def _after(reply: Reply, now: datetime) -> float | None:
    """The seconds that it names, by a header or in its words; None where it names none."""
    given = reply.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", given):
        return float(given)
    if given:
        try:
            return max((parsedate_to_datetime(given) - now).total_seconds(), 0.0)
        except (ValueError, TypeError):
            pass
    found = _THRESHOLD.search(reply.said)
    return float(found[1]) if found else None


def _until_reset(reply: Reply, now: datetime) -> float:
    given = reply.headers.get("x-ratelimit-reset", "").strip()
    if re.fullmatch(r"[0-9]{9,11}", given):
        left = int(given) - now.timestamp()
        if 0 <= left <= DAY_SECONDS:
            return left
    # The day of the quota is one of UTC.
    return DAY_SECONDS - now.timestamp() % DAY_SECONDS
