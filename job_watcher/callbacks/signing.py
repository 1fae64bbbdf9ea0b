"""How the far side knows that a callback is ours and has seen it before: two headers. Pure; `delivery` sends them."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lib.jobqueue.outbox import Callback

SIGNATURE_HEADER: Final = "X-Job-Runner-Signature"
IDEMPOTENCY_HEADER: Final = "Idempotency-Key"

_KEY_DIGITS: Final = 32
"""128 bits: no two ends of jobs will ever share a key."""


def signature(secret: str, body: bytes, at: int) -> str:
    """`t=<Unix seconds>,v1=<hex HMAC-SHA256 of "<t>." and the body>`.

    The time is signed too, so that the far side can refuse a copy that somebody sends it much later.
    """
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def idempotency_key(callback: Callback) -> str:
    """The same for every try to tell of this end of this job; a job that is run again has a new one."""
    named = f"{callback.request_id}\0{callback.generation}\0{callback.fence}"
    return hashlib.sha256(named.encode("utf-8", "surrogateescape")).hexdigest()[:_KEY_DIGITS]
