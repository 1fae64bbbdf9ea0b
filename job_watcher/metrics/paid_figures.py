"""Money, quotas and the limit of jobs a minute as rows of metrics: out of one look at the queue, and of the settings.

Pure. What was used is the queue's, what is allowed is what this watcher's settings say; others may have others.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from lib.job_rate import jobs_in_window
from lib.money import MICRO
from lib.routing.view import RENTED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.redisqueue.spend import Spent
    from lib.settings import Settings

    Rows = Iterable[tuple[tuple[str, ...], float]]

PAID: Final = ("cloud", RENTED)
"""Backends that cost something; they are shown at 0 too."""


def used(document: Mapping[str, Any], day: Spent) -> dict[str, Rows]:
    """What today cost, what each key and model was asked, and what was handed over, as the document of `status` says.

    Money is the ledger's alone, for that was read at one moment; `other` is what has no backend's name.
    """
    unnamed = day.settled - sum(day.by_backend.values())
    settled = dict.fromkeys(PAID, 0) | day.by_backend | ({"other": unnamed} if unnamed > 0 else {})
    pools = document["pools"]
    now = datetime.fromisoformat(document["timestamp"]).timestamp()
    return {
        "spend_settled_usd": [((name,), micro / MICRO) for name, micro in settled.items()],
        "spend_reserved_usd": [((), day.reserved / MICRO)],
        "spend_counted_usd": [((), day.total / MICRO)],
        "quota_requests": [
            ((pool["key"], pool["model"], window), pool[counted])
            for pool in pools
            for window, counted in (("minute", "requests_last_min"), ("day", "requests_today"))
        ],
        "quota_tokens": [((pool["key"], pool["model"]), pool["tokens_last_min"]) for pool in pools],
        "quota_closed_until_timestamp_seconds": [
            ((pool["key"], pool["model"]), round(now + pool["closed_sec"]) if pool["closed_sec"] else 0)
            for pool in pools
        ],
        "cloud_moves": [((), document["rate"]["cloud_moves_in_window"])],
    }


def allowed(settings: Settings) -> dict[str, Rows]:
    """The limits of this watcher's settings; what has no limit has no row."""
    jobs, _ = jobs_in_window(settings.cloud_tokens_per_min)
    limits = (("minute", settings.gemini_rpm), ("day", settings.gemini_rpd))
    return {
        "spend_cap_usd": _limit(settings.budget_per_day_usd),
        "quota_requests_allowed": [((window,), limit) for window, limit in limits if limit is not None],
        "quota_tokens_allowed": _limit(settings.gemini_tpm),
        "cloud_moves_allowed": [((), jobs)],
    }


def _limit(limit: float | None) -> Rows:
    return [] if limit is None else [((), limit)]
