"""A watcher's leases: wait for entries, start them, and answer each with an ending, a retry or a hand-back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

from lib.errors import QueueError
from lib.jobqueue.protocol import SUSPECT_DEATHS, SUSPECT_PAUSE_MS, Committed, Ending, Lease, Progress, Retry, Started
from lib.redisqueue.connection import Client, as_text, edge, stream_entries
from lib.redisqueue.keys import GROUP
from lib.redisqueue.queue import BATCH_MAX_BYTES, Queue, batches
from lib.redisqueue.sessions import ensure_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

Entry = tuple[str, str]
"""(lane, entry id)."""

PEL_PAGE = 1000


async def wait_for_entries(
    queue: Queue, blocking: Client, session: str, lanes: Sequence[str], *, block_ms: int
) -> list[Entry]:
    """Block until a lane has a new entry, and take it: at most one of each lane, since COUNT is per stream.

    What comes back is pending under this session and not leased yet. A lane whose group was lost gets it again,
    from its first entry on, and the wait ends with nothing.
    """
    names = {queue.keys.stream(lane): lane for lane in lanes}
    try:
        async with edge(queue.url):
            reply = await _read_group(blocking, session, names, block_ms)
    except QueueError as exc:
        if "NOGROUP" not in str(exc) and "UNBLOCKED" not in str(exc):
            raise
        await ensure_lanes(queue, lanes)
        return []
    return [(names[key], as_text(entry[0])) for key, entries in stream_entries(reply) for entry in entries]


async def _read_group(blocking: Client, session: str, names: dict[str, str], block_ms: int) -> Any:
    streams: dict[Any, Any] = dict.fromkeys(names, ">")
    return await blocking.xreadgroup(GROUP, session, streams, count=1, block=block_ms)


async def start(
    queue: Queue,
    session: str,
    lanes: Sequence[str],
    *,
    entries: Sequence[Entry] = (),
    read: int = 0,
    suspects: int = 1,
    again: bool = False,
    ahead: bool = False,
) -> Started:
    """Take fences for the entries named and for up to `read` new ones; `suspects` is how many may be suspects.

    With `ahead` a death of the watcher counts to none of them until `begin` was told that its body began.

    Raises:
        SessionLostError: nothing was started.

    """
    try:
        reply = await _start(queue, session, lanes, entries, read, suspects, again=again, ahead=ahead)
    except QueueError as exc:
        if "NOGROUP" not in str(exc):
            raise
        await ensure_lanes(queue, lanes)
        reply = await _start(queue, session, lanes, entries, read, suspects, again=again, ahead=ahead)
    return started_of(reply)


def started_of(reply: Sequence[Any]) -> Started:
    """What lease.lua answers, entry by entry."""
    leases: list[Lease] = []
    lost: list[Entry] = []
    others = 0
    for slot in reply:
        code, lane, entry = as_text(slot[0]), as_text(slot[1]), as_text(slot[2])
        match code:
            case "started":
                leases.append(_lease(lane, entry, slot[3:]))
            case "lost":
                lost.append((lane, entry))
            case _:
                others += 1
    return Started(tuple(leases), tuple(lost), others)


async def _start(
    queue: Queue,
    session: str,
    lanes: Sequence[str],
    entries: Sequence[Entry],
    read: int,
    suspects: int,
    *,
    again: bool,
    ahead: bool,
) -> list[Any]:
    reply: list[Any] = await queue.scripts.call(
        "start",
        intakes=queue.intakes,
        lanes=lanes,
        rows=entries,
        session=session,
        read=read,
        bytes_max=BATCH_MAX_BYTES,
        suspects=suspects,
        suspect_deaths=SUSPECT_DEATHS,
        pause_ms=SUSPECT_PAUSE_MS,
        again=int(again),
        ahead=int(ahead),
    )
    return reply


def _lease(lane: str, entry: str, parts: list[Any]) -> Lease:
    request_id, generation, fence, attempt, deaths, crashes, home, job = parts
    return Lease(
        request_id=as_text(request_id),
        generation=as_text(generation),
        fence=as_text(fence),
        lane=lane,
        entry=entry,
        attempts_used=int(attempt),
        deaths=int(deaths),
        crashes=int(crashes),
        home=as_text(home),
        job=bytes(job),
    )


async def pending_entries(queue: Queue, session: str, lanes: Sequence[str]) -> list[Entry]:
    """Everything that the lanes' groups hold as delivered to this session."""
    entries: list[Entry] = []
    for lane in lanes:
        lowest = "-"
        while True:
            page = await _pending_page(queue, session, lane, lowest)
            entries += [(lane, entry) for entry in page]
            if len(page) < PEL_PAGE:
                break
            lowest = f"({page[-1]}"
    return entries


async def _pending_page(queue: Queue, session: str, lane: str, lowest: str) -> list[str]:
    async with edge(queue.url):
        try:
            page: Any = await queue.client.xpending_range(
                queue.keys.stream(lane), GROUP, min=lowest, max="+", count=PEL_PAGE, consumername=session
            )
        except ResponseError as exc:
            if not str(exc).startswith("NOGROUP"):
                raise
            return []
    return [as_text(item["message_id"]) for item in page]


async def leave(queue: Queue, session: str, lanes: Sequence[str]) -> list[str]:
    """Stop being a reader of lanes that this session holds nothing of; which of them it left. See leave.lua."""
    if not lanes:
        return []
    left = await queue.scripts.call("leave", lanes=lanes, session=session)
    return [as_text(lane) for lane in left]


async def begin(queue: Queue, session: str, leases: Sequence[Lease]) -> list[bool]:
    """Note that the bodies of leases that were started `ahead` have begun; False where the lease no longer stands."""
    rows = [(lease.request_id, lease.fence) for lease in leases]
    stand: list[bool] = []
    for batch in batches(rows, [0] * len(rows)):
        stand += [reply == 1 for reply in await queue.scripts.call("begin", rows=batch, session=session)]
    return stand


async def report_progress(queue: Queue, session: str, reports: Sequence[Progress]) -> list[bool]:
    """Record how far jobs are; False where the lease no longer stands."""
    rows = [(report.request_id, report.fence, report.progress) for report in reports]
    replies = await queue.scripts.call("progress", rows=rows, session=session)
    return [reply == 1 for reply in replies]


async def commit(queue: Queue, session: str, endings: Sequence[Ending]) -> list[Committed]:
    """End leased jobs; safe to repeat after any error."""
    committed: list[Committed] = []
    for batch in batches(endings, [len(ending.tail) for ending in endings]):
        rows = [(e.request_id, e.fence, e.status, e.tail, e.ttl_ms, int(e.publish), e.callback) for e in batch]
        replies = await queue.scripts.call("commit", lanes=queue.lanes, rows=rows, session=session)
        committed += map(_committed, batch, replies)
    return committed


def _committed(ending: Ending, reply: bytes | list[Any]) -> Committed:
    if isinstance(reply, bytes):
        return Committed(ending.request_id, "ok", reply.decode("ascii"))
    return Committed(ending.request_id, as_text(reply[0]), "")  # type: ignore[arg-type]  # the codes of commit.lua are CommitCode


async def retry(queue: Queue, session: str, retries: Sequence[Retry]) -> list[bool]:
    """Delay leased jobs for another try; False where the lease no longer stands."""
    done: list[bool] = []
    for batch in batches(retries, [len(again.lease.job) for again in retries]):
        rows = [(r.lease.request_id, r.lease.fence, r.kind, r.delay_ms, r.lease.home, r.lease.job) for r in batch]
        replies = await queue.scripts.call("retry", lanes=queue.lanes, rows=rows, session=session)
        done += [reply == 1 for reply in replies]
    return done


async def hand_back(queue: Queue, session: str, leases: Sequence[Lease]) -> list[bool]:
    """Put leased jobs back into intake at no cost to them."""
    rows = [(lease.lane, lease.entry, lease.request_id, lease.generation, lease.fence) for lease in leases]
    return await _hand_back(queue, session, rows)


async def hand_back_entries(queue: Queue, session: str, entries: Sequence[Entry]) -> list[bool]:
    """The same for entries whose lease, if any, this caller never heard of; those that are gone are left out."""
    rows: list[tuple[str, str, str, str, str]] = []
    for lane, entry in entries:
        async with edge(queue.url):
            found: Any = await queue.client.xrange(queue.keys.stream(lane), min=entry, max=entry)
        for _, fields in found:
            if b"id" in fields and b"gen" in fields:
                rows.append((lane, entry, as_text(fields[b"id"]), as_text(fields[b"gen"]), ""))
    return await _hand_back(queue, session, rows)


async def _hand_back(queue: Queue, session: str, rows: list[tuple[str, str, str, str, str]]) -> list[bool]:
    done: list[bool] = []
    for batch in batches(rows, [0] * len(rows)):
        replies = await queue.scripts.call(
            "hand_back", intakes=queue.intakes, lanes=queue.lanes, rows=batch, session=session
        )
        done += [reply == 1 for reply in replies]
    return done
