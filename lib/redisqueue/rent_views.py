"""Rented machines and their bills as `status --json` and others show them: in dollars, and times as people write them.

Pure. Called by `lib.redisqueue.overview` and the commands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib.clock import iso_from_ms
from lib.money import MICRO

if TYPE_CHECKING:
    from collections.abc import Collection

    from lib.market.instance import Instance
    from lib.redisqueue.instances import Rows
    from lib.redisqueue.rent_rows import Bill


def documents(rows: Rows, live: Collection[str]) -> list[dict[str, Any]]:
    """All rows, the oldest first, those that cannot be read behind them; `live` are the sessions that stand."""
    sound = sorted(rows.instances, key=lambda instance: int(instance.fence))
    shown = [_instance(row, alive=row.owner in live, told=row.intent in rows.told_to_end) for row in sound]
    return shown + [_damaged(row.intent) for row in rows.damaged]


def _instance(row: Instance, *, alive: bool, told: bool) -> dict[str, Any]:
    return {
        "intent": row.intent,
        "market": row.market,
        "market_id": row.market_id or None,
        "machine_id": row.machine_id or None,
        "gpu": row.gpu or None,
        "state": row.state,
        "since": _iso(row.since),
        "deadline": _iso(row.deadline),
        "expires_at": _iso(row.expires_at),
        "created_at": _iso(row.created_at),
        "usd_per_hour": row.dph / MICRO,
        "usd": row.cost / MICRO,
        "jobs": row.jobs_done,
        "reason": row.reason or None,
        "told_to_end": told,
        "owner": row.owner,
        "owner_alive": alive,
        "damaged": False,
    }


_NOTHING = (
    "market", "market_id", "machine_id", "gpu", "state", "since", "deadline", "expires_at", "created_at",
    "usd_per_hour", "usd", "jobs", "reason", "owner",
)  # fmt: skip


def _damaged(intent: str) -> dict[str, Any]:
    """Of a row that cannot be read nothing is said but that it is there."""
    unknown: dict[str, Any] = dict.fromkeys(_NOTHING)
    return {"intent": intent, **unknown, "told_to_end": False, "owner_alive": False, "damaged": True}


def bill_documents(bills: Collection[Bill]) -> list[dict[str, Any]]:
    """Bills, in the order given; `idle_share` is of the seconds in which it could have worked, null without any."""
    return [
        {
            "intent": bill.intent,
            "market": bill.market,
            "market_id": bill.market_id or None,
            "machine_id": bill.machine_id or None,
            "gpu": bill.gpu or None,
            "usd_per_hour": bill.dph / MICRO,
            "usd": bill.micro / MICRO,
            "jobs": bill.jobs,
            "usd_per_job": bill.micro / MICRO / bill.jobs if bill.jobs else None,
            "idle_share": _idle_share(bill),
            "seconds": {state: round(seconds, 1) for state, seconds in bill.spent.items()},
            "reason": bill.why or None,
            "failed": bill.failed,
            "created_at": _iso(bill.created_at),
            "ended_at": _iso(bill.ended_at),
        }
        for bill in bills
    ]


def _idle_share(bill: Bill) -> float | None:
    idle, busy = (bill.spent.get(state, 0.0) for state in ("idle", "draining"))
    return round(idle / (idle + busy), 3) if idle + busy > 0 else None


def _iso(moment: float | None) -> str | None:
    """The moment; None where there is none, or none that a calendar has."""
    try:
        return None if moment is None else iso_from_ms(round(moment * 1000))
    except (OverflowError, ValueError, OSError):
        return None
