"""Views of jobs: records, places, progress, history, events. Nothing here writes.

Every view reads in pipelines of at most 500 ids, never one round trip a job. `service` and `watch` call it, and a
sweep that met an entry without content; the view of the whole queue is in `overview`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from lib.redisqueue.connection import Client, as_text, edge, stream_entries
from lib.redisqueue.rows import IndexRow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Sequence

    from lib.redisqueue.queue import Queue

EndedStatus = Literal["done", "failed", "cancelled"]
FoundStatus = Literal["queued", "leased", "delayed", "done", "failed", "cancelled", "not_found"]
ENDED: Final[tuple[EndedStatus, ...]] = ("done", "failed", "cancelled")

PAGE: Final = 500
"""Ids a round trip; with records of some KB that is a few MB."""

_HISTORY: Final[dict[EndedStatus, str]] = {
    "done": "history_done",
    "failed": "history_failed",
    "cancelled": "history_cancelled",
}


@dataclass(frozen=True, slots=True)
class Found:
    """What is known about one id: its active row, or its terminal record, or neither."""

    request_id: str
    status: FoundStatus
    record: dict[str, Any] | None = None
    row: IndexRow | None = None
    progress: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Looked:
    """An active job with its payload as accepted; `job` is None when it is gone or has just moved on.

    `intake` is where it waits, or would come back to.
    """

    request_id: str
    row: IndexRow | None
    job: bytes | None
    intake: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One finished job; `entry` is its place in the history."""

    status: EndedStatus
    request_id: str
    record: dict[str, Any]
    entry: str


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the events: what happened to which jobs.

    `host` and `why` are those of a callback that was given up; empty in all others.
    """

    entry: str
    kind: str
    request_ids: tuple[str, ...]
    host: str = ""
    why: str = ""


async def results(queue: Queue, request_ids: Sequence[str]) -> list[Found]:
    """What is known about each id, in the order given."""
    found: list[Found] = []
    for page in _pages(request_ids):
        async with edge(queue.url), queue.client.pipeline(transaction=True) as pipe:
            for name in ("index", "result", "failed", "progress"):
                pipe.hmget(queue.keys.of(name), list(page))
            columns: list[list[bytes | None]] = await pipe.execute()
        found += [_found(*parts) for parts in zip(page, *columns, strict=True)]
    return found


def _found(
    request_id: str, row: bytes | None, done: bytes | None, failed: bytes | None, progress: bytes | None
) -> Found:
    parsed = IndexRow.readable(row)
    if parsed is not None:
        return Found(request_id, parsed.state, row=parsed, progress=read_json(progress) if progress else None)
    raw = done if done is not None else failed
    if raw is None:
        return Found(request_id, "not_found")
    record = read_json(raw)
    status: FoundStatus = "done" if done is not None else "failed"
    if done is None and record.get("status") == "cancelled":
        status = "cancelled"
    return Found(request_id, status, record=record)


def read_json(raw: bytes) -> dict[str, Any]:
    """A JSON object of the queue; what somebody damaged by hand is shown as `unreadable`, never raised."""
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError):
        value = None
    return value if isinstance(value, dict) else {"unreadable": raw[:200].decode("utf-8", "backslashreplace")}


async def look(queue: Queue, request_ids: Sequence[str]) -> list[Looked]:
    """The active row of each id and its payload, for whoever is about to end it."""
    looked: list[Looked] = []
    for page in _pages(request_ids):
        async with edge(queue.url):
            raw: Any = await queue.client.hmget(queue.keys.of("index"), list(page))
            rows = [IndexRow.readable(row) for row in raw]
            payloads = await _payloads(queue, page, rows)
        looked += [Looked(name, row, *found) for name, row, found in zip(page, rows, payloads, strict=True)]
    return looked


async def _payloads(
    queue: Queue, page: Sequence[str], rows: Sequence[IndexRow | None]
) -> list[tuple[bytes | None, str]]:
    """The job of each row and the intake that it belongs to."""
    active = [(request_id, row) for request_id, row in zip(page, rows, strict=True) if row is not None]
    if not active:
        return [(None, "")] * len(rows)
    async with queue.client.pipeline(transaction=False) as pipe:
        for request_id, row in active:
            if row.state == "delayed":
                pipe.hget(queue.keys.of("delayed"), request_id)
            else:
                pipe.xrange(queue.keys.stream(row.stream), min=row.entry, max=row.entry)
        replies: list[Any] = await pipe.execute()
    found = {request_id: _payload(row, reply) for (request_id, row), reply in zip(active, replies, strict=True)}
    return [found.get(request_id, (None, "")) for request_id in page]


def _payload(row: IndexRow, reply: Any) -> tuple[bytes | None, str]:
    if isinstance(reply, list):
        fields = reply[0][1] if reply else {}
        # A move writes into the lane's entry where the job came from.
        home = as_text(fields.get(b"home", b"")) if row.stream.startswith("lane:") else row.stream
        return fields.get(b"job"), home
    return reply if isinstance(reply, bytes) else None, row.stream


async def rows_at(queue: Queue, places: Collection[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, IndexRow]]:
    """Whose place (stream, entry) is in `places`: walks the whole index, for the rare entry without content."""
    found: dict[tuple[str, str], tuple[str, IndexRow]] = {}
    cursor = 0
    while True:
        async with edge(queue.url):
            reply: Any = await queue.client.hscan(queue.keys.of("index"), cursor, count=PAGE)
        cursor, page = reply
        for request_id, raw in page.items():
            row = IndexRow.readable(raw)
            if row is not None and (row.stream, row.entry) in places:
                found[row.stream, row.entry] = (as_text(request_id), row)
        if cursor == 0:
            return found


async def history(queue: Queue, status: EndedStatus | Literal["all"], limit: int) -> list[HistoryEntry]:
    """The newest finished jobs, newest first; those whose record has expired or been replaced are passed over."""
    wanted = ENDED if status == "all" else (status,)
    bounds: dict[EndedStatus, str | None] = dict.fromkeys(wanted, "+")
    found: list[HistoryEntry] = []
    while len(found) < limit and any(bound is not None for bound in bounds.values()):
        # At least 20, so that a run of expired entries does not cost a round trip each.
        count = min(PAGE, max(20, limit - len(found)))
        page = await _history_page(queue, bounds, count)
        found += await _with_records(queue, page)
    return found[:limit]


async def _history_page(
    queue: Queue, bounds: dict[EndedStatus, str | None], count: int
) -> list[tuple[EndedStatus, str, str]]:
    """The next `count` entries of all histories together; moves `bounds` on past what it returns."""
    open_ones = [status for status, bound in bounds.items() if bound is not None]
    async with edge(queue.url), queue.client.pipeline(transaction=False) as pipe:
        for status in open_ones:
            pipe.xrevrange(queue.keys.of(_HISTORY[status]), max=bounds[status] or "+", count=count)
        replies: list[list[Any]] = await pipe.execute()
    merged = [
        (status, as_text(entry), as_text(fields.get(b"id", b"")))
        for status, reply in zip(open_ones, replies, strict=True)
        for entry, fields in reply
    ]
    merged.sort(key=lambda item: _entry_order(item[1]), reverse=True)
    page = merged[:count]
    for status, reply in zip(open_ones, replies, strict=True):
        taken = [entry for kind, entry, _ in page if kind == status]
        if taken:
            bounds[status] = f"({taken[-1]}"
        if len(taken) == len(reply) and len(reply) < count:
            bounds[status] = None
    return page


def _entry_order(entry: str) -> tuple[int, int]:
    time, _, sequence = entry.partition("-")
    return int(time), int(sequence)


async def _with_records(queue: Queue, page: Sequence[tuple[EndedStatus, str, str]]) -> list[HistoryEntry]:
    if not page:
        return []
    async with edge(queue.url), queue.client.pipeline(transaction=False) as pipe:
        for status, _, request_id in page:
            pipe.hget(queue.keys.of("result" if status == "done" else "failed"), request_id)
        records: list[bytes | None] = await pipe.execute()
    found: list[HistoryEntry] = []
    for (status, entry, request_id), raw in zip(page, records, strict=True):
        record = read_json(raw) if raw is not None else None
        # A record that names another entry belongs to a later generation, which has its own place further up.
        if record is not None and record.get("history", entry) == entry:
            found.append(HistoryEntry(status, request_id, record, entry))
    return found


async def failed_ids(queue: Queue) -> AsyncIterator[list[str]]:
    """The ids of all failed records, page by page; cancelled ones are left out."""
    bound = "-"
    while True:
        async with edge(queue.url):
            page: Any = await queue.client.xrange(queue.keys.of("history_failed"), min=bound, count=PAGE)
        if not page:
            return
        bound = f"({as_text(page[-1][0])}"
        yield [as_text(fields[b"id"]) for _, fields in page]


async def progress(queue: Queue) -> dict[str, dict[str, Any]]:
    """How far each running job is, by id."""
    async with edge(queue.url):
        raw: Any = await queue.client.hgetall(queue.keys.of("progress"))
    return {as_text(request_id): read_json(value) for request_id, value in raw.items()}


async def newest_event(queue: Queue) -> str:
    """The id of the newest event: where a new watch begins to listen."""
    async with edge(queue.url):
        newest: Any = await queue.client.xrevrange(queue.keys.of("events"), count=1)
    return as_text(newest[0][0]) if newest else "0-0"


async def wait_for_events(queue: Queue, blocking: Client, after: str, block_ms: int) -> list[Event]:
    """Block until something happened after the event `after`, at most `block_ms`."""
    async with edge(queue.url):
        reply: Any = await blocking.xread({queue.keys.of("events"): after}, count=PAGE, block=block_ms)
    return _events(reply)


async def events_after(queue: Queue, after: str) -> list[Event]:
    """What has happened after the event `after`, without waiting; a page at most."""
    async with edge(queue.url):
        reply: Any = await queue.client.xread({queue.keys.of("events"): after}, count=PAGE)
    return _events(reply)


def _events(reply: Any) -> list[Event]:
    return [_event(entry) for _, entries in stream_entries(reply) for entry in entries]


def _event(entry: Any) -> Event:
    fields = entry[1]
    try:
        named = json.loads(fields.get(b"ids", b"[]"))
    except ValueError:
        named = []
    host, why = (as_text(fields.get(name, b"")) for name in (b"host", b"why"))
    return Event(as_text(entry[0]), as_text(fields.get(b"type", b"?")), tuple(map(str, named)), host, why)


def _pages(request_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for begin in range(0, len(request_ids), PAGE):
        yield request_ids[begin : begin + PAGE]
