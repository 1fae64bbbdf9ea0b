"""Callbacks still to be delivered: taken when they are due, settled when they were tried.

A commit, a cancel and a condemn leave them behind; `job_watcher.callbacks` delivers them. What is taken and not settled
comes due again after `hold_ms`, so a watcher that dies in between loses none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lib.jobqueue.outbox import Callback, CallbackCode, CallbacksTaken, TriedCallback
from lib.redisqueue.connection import as_text
from lib.redisqueue.queue import Queue, batches

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCAN_MAX: Final = 1000
"""How many due ones a call looks at for hosts that have a place free: about a millisecond of the server's time."""

PAUSE_MS: Final = 5_000
"""How long so many of busy hosts are put off, so that others behind them are seen; no try is counted."""


async def take(
    queue: Queue,
    *,
    count: int,
    per_host: int,
    hold_ms: int,
    in_flight: Mapping[str, int] | None = None,
    scan_max: int = SCAN_MAX,
) -> CallbacksTaken:
    """Up to `count` callbacks that are due, none of a host that has `per_host` in flight."""
    taken, next_in_ms, more = await queue.scripts.call(
        "callback_take",
        rows=list((in_flight or {}).items()),
        count=count,
        per_host=per_host,
        hold_ms=hold_ms,
        pause_ms=PAUSE_MS,
        scan_max=scan_max,
    )
    found = tuple(_callback(*parts) for parts in taken)
    return CallbacksTaken(found, None if int(next_in_ms) < 0 else int(next_in_ms), more=bool(more))


def _callback(*parts: bytes) -> Callback:
    member, request_id, generation, fence, status, url = (as_text(part) for part in parts[:-1])
    return Callback(member, request_id, generation, fence, status, url, bytes(parts[-1]))


async def settle(queue: Queue, tried: Sequence[TriedCallback]) -> list[CallbackCode]:
    """Say what came of tries; safe to repeat after any error."""
    codes: list[CallbackCode] = []
    rows = [(each.callback.member, each.callback.request_id, each.outcome, each.delay_ms, each.why) for each in tried]
    for batch in batches(rows, [0] * len(rows)):
        replies = await queue.scripts.call("callback_settle", rows=batch)
        codes += [as_text(reply) for reply in replies]  # type: ignore[misc]  # the codes of callback_settle.lua
    return codes
