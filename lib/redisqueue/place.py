"""Where one active job stands: how many are before it, when it is due, who holds its conflict key.

Reads only, a few round trips for one job; `why` shows it. The state of the whole queue is in `overview`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.keys import PRIORITIES, is_intake, parse_intake

if TYPE_CHECKING:
    from lib.redisqueue.queue import Queue
    from lib.redisqueue.rows import IndexRow

AHEAD_MAX: Final = 1000
"""Entries are counted up to here; with so many ahead the exact number tells a person nothing more."""

_PAGE_ENTRIES: Final = 100
"""Read at once: some 25 MB where every job is as large as it may be."""


@dataclass(frozen=True, slots=True)
class Place:
    """What can be said of one active job's place; a part that does not apply is None or 0.

    `ahead` counts the jobs before it in its own stream, up to AHEAD_MAX; `higher` those that wait in intakes of a
    higher priority; `beside` names how many other intakes of its own priority take turns with its own. `due_ms` is
    Unix time. `key_holder` is the request_id that holds its conflict key, `key_ahead` how many wait for it longer.
    """

    now_ms: int
    ahead: int = 0
    higher: int = 0
    beside: int = 0
    due_ms: int | None = None
    key_holder: str | None = None
    key_ahead: int = 0
    session_left_ms: int | None = None


async def place_of(queue: Queue, request_id: str, row: IndexRow) -> Place:
    """The place of the job with this row."""
    await queue.refresh_streams()
    keys = queue.keys
    others = _others(queue.intakes, row.stream)
    async with edge(queue.url), queue.client.pipeline(transaction=False) as pipe:
        pipe.time()
        pipe.zscore(keys.of("due"), request_id)
        pipe.zscore(keys.of("sessions"), row.session)
        pipe.hget(keys.of("key"), row.key)
        pipe.zlexcount(keys.of("key_wait"), f"[{row.key}\0", f"({row.key}\0{row.generation}\0")
        for name in others:
            pipe.xlen(keys.stream(name))
        time, due, expiry, holder, key_ahead, *lengths = await pipe.execute()
    now_ms = int(time[0]) * 1000 + int(time[1]) // 1000
    higher, beside = _of_other_intakes(row.stream, dict(zip(others, map(int, lengths), strict=True)))
    return Place(
        now_ms,
        ahead=await _ahead(queue, row) if row.state == "queued" and row.entry else 0,
        higher=higher,
        beside=beside,
        due_ms=None if due is None else int(due),
        key_holder=_holder(holder, request_id) if row.key else None,
        key_ahead=int(key_ahead) if row.key else 0,
        session_left_ms=None if expiry is None else int(expiry) - now_ms,
    )


async def _ahead(queue: Queue, row: IndexRow) -> int:
    """How many entries stand before the job's own, up to AHEAD_MAX; by pages, since they hold whole jobs."""
    found, after = 0, "-"
    while found < AHEAD_MAX:
        async with edge(queue.url):
            page: Any = await queue.client.xrange(
                queue.keys.stream(row.stream), min=after, max=f"({row.entry}", count=_PAGE_ENTRIES
            )
        found += len(page)
        if len(page) < _PAGE_ENTRIES:
            break
        after = f"({as_text(page[-1][0])}"
    return found


def _others(intakes: tuple[str, ...], stream: str) -> list[str]:
    return [name for name in intakes if name != stream] if is_intake(stream) else []


def _of_other_intakes(stream: str, lengths: dict[str, int]) -> tuple[int, int]:
    """Jobs in intakes of a higher priority, and how many intakes with jobs have the same one."""
    if not lengths:
        return 0, 0
    rank = PRIORITIES.index(parse_intake(stream).priority)
    ranks = {name: PRIORITIES.index(parse_intake(name).priority) for name in lengths}
    higher = sum(length for name, length in lengths.items() if ranks[name] < rank)
    return higher, sum(1 for name, length in lengths.items() if ranks[name] == rank and length)


def _holder(raw: Any, request_id: str) -> str | None:
    if raw is None:
        return None
    holder = as_text(raw).partition("|")[2]
    return None if holder == request_id else holder
