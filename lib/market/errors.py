"""What a market answers when it does not do what it was asked: one class for each thing that a renter does next.

None of them is a job's fault. A market that does not answer at all, or answers nonsense, is `UnreachableError`.

    MarketError
    ├── OfferGoneError           somebody else has it, or it was taken from the list: try the next one
    ├── CreditError              the account has no money: rent nothing, say so
    ├── KeyRefusedError          the API key is wrong or has not this right: rent nothing, say so
    ├── BusyError                too many requests: `after_seconds` says when to come again
    ├── UncertainError           the reply was lost: it may have been done; look by label, never ask again blindly
    └── UnknownListingError      a listing that cannot be believed: neither empty nor whole
"""

from __future__ import annotations

from lib.errors import JobRunnerError


class MarketError(JobRunnerError):
    """A market did not do what it was asked."""

    code = "market"


class OfferGoneError(MarketError):
    """The offer is no more: rented by somebody else, or withdrawn."""

    code = "offer_gone"


class CreditError(MarketError):
    """The account has not enough money."""

    code = "credit"


class KeyRefusedError(MarketError):
    """The API key is wrong, or it may not do this."""

    code = "key_refused"


class BusyError(MarketError):
    """The market wants fewer requests; `after_seconds` is how long to wait, at least."""

    code = "busy"

    def __init__(self, message: str, *, hint: str | None = None, after_seconds: float = 1.0) -> None:
        super().__init__(message, hint=hint)
        self.after_seconds = after_seconds


class UncertainError(MarketError):
    """The reply was lost after the request had left: what it asked for may have been done."""

    code = "uncertain"


class UnknownListingError(MarketError):
    """What the market says of the instances cannot be believed: what is there is unknown, never nothing."""

    code = "unknown_listing"
