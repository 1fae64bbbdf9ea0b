"""What every watcher does in turn for all: sweep, condemn, expire, publish's last step, the outbox."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.outbox import OutboxEntry, PublishCode
from lib.jobqueue.protocol import POISON_SUSPECT_DEATHS, SUSPECT_DEATHS, LostEntry, PoisonFound, Swept, Verdict
from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.keys import GROUP
from lib.redisqueue.queue import BATCH_MAX_BYTES, BATCH_MAX_JOBS, Queue, batches

if TYPE_CHECKING:
    from collections.abc import Sequence

SWEEP_CALLS_MAX: Final = 10_000
"""A sweep that goes on is bounded all the same: 5 million entries."""


async def sweep(queue: Queue, *, interval_ms: int, life_ms: int, force: bool = False) -> Swept:
    """End lapsed sessions and take back what the dead held, in steps of at most 500 entries.

    `force` lets one through before its time, for a watcher that has just ended its own former session.
    """
    await queue.refresh_streams()
    ended: list[str] = []
    lost: list[LostEntry] = []
    poison: list[PoisonFound] = []
    mended: list[str] = []
    put_back = waited = 0
    next_in = interval_ms
    for call in range(SWEEP_CALLS_MAX):
        reply = await queue.scripts.call(
            "sweep",
            intakes=queue.intakes,
            lanes=queue.lanes,
            interval_ms=interval_ms,
            life_ms=life_ms,
            resume=int(call > 0),
            force=int(force),
            deaths_max=SUSPECT_DEATHS + POISON_SUSPECT_DEATHS,
            entries_max=BATCH_MAX_JOBS,
            bytes_max=BATCH_MAX_BYTES,
        )
        if not reply[0]:
            return Swept(ran=False, next_in_ms=int(reply[1]))
        next_in = int(reply[1])
        ended += [as_text(session) for session in reply[2]]
        put_back += int(reply[3])
        found_lost = [LostEntry(as_text(lane), as_text(entry)) for lane, entry in reply[5]]
        lost += [entry for entry in found_lost if entry not in lost]
        found_poison = [_poison(parts) for parts in reply[6]]
        poison += [found for found in found_poison if found not in poison]
        mended += [as_text(lane) for lane in reply[7]]
        waited += int(reply[8])
        if not reply[4]:
            break
    return Swept(
        ran=True,
        next_in_ms=next_in,
        ended=tuple(ended),
        put_back=put_back,
        waited=waited,
        lost=tuple(lost),
        poison=tuple(poison),
        mended_lanes=tuple(mended),
    )


def _poison(parts: list[Any]) -> PoisonFound:
    request_id, generation, lane, entry, deaths, home, job = parts
    return PoisonFound(
        as_text(request_id),
        as_text(generation),
        as_text(lane),
        as_text(entry),
        int(deaths),
        as_text(home),
        bytes(job),
    )


async def condemn(queue: Queue, verdicts: Sequence[Verdict]) -> list[bool]:
    """End as failed what can never run; False where the job has moved on meanwhile."""
    ended: list[bool] = []
    for batch in batches(verdicts, [len(verdict.tail) for verdict in verdicts]):
        rows = [
            (v.request_id, v.generation, v.stream, v.entry, int(v.lost), v.tail, v.ttl_ms, v.callback) for v in batch
        ]
        replies = await queue.scripts.call("condemn", intakes=queue.intakes, lanes=queue.lanes, rows=rows)
        ended += [reply == 1 for reply in replies]
    return ended


async def drop_unowned(queue: Queue, entry: LostEntry) -> None:
    """Take an entry without content, that no row of the index names, out of its lane's pending list."""
    async with edge(queue.url):
        await queue.client.xack(queue.keys.stream(entry.lane), GROUP, entry.entry)
        await queue.client.xdel(queue.keys.stream(entry.lane), entry.entry)


async def expire(queue: Queue) -> int:
    """Remove records whose TTL has passed; how many."""
    total = 0
    while True:
        removed, more = await queue.scripts.call("expire", entries_max=BATCH_MAX_JOBS)
        total += int(removed)
        if not more:
            return total


async def publish(queue: Queue, entries: Sequence[OutboxEntry]) -> list[PublishCode]:
    """Remove outbox entries whose published name equals the record with the fence that they name."""
    rows = [(entry.entry, entry.request_id, entry.fence) for entry in entries]
    codes: list[PublishCode] = []
    for batch in batches(rows, [0] * len(rows)):
        replies = await queue.scripts.call("publish", rows=batch)
        codes += [as_text(reply) for reply in replies]  # type: ignore[misc]  # the codes of publish.lua are PublishCode
    return codes


async def read_outbox(queue: Queue, *, after: str = "-", count: int = BATCH_MAX_JOBS) -> list[OutboxEntry]:
    """What is still to be published, oldest first; `after` an entry id, exclusive."""
    lowest = after if after == "-" else f"({after}"
    async with edge(queue.url):
        page: Any = await queue.client.xrange(queue.keys.of("outbox"), min=lowest, max="+", count=count)
    return [
        OutboxEntry(
            as_text(entry),
            as_text(fields.get(b"id", b"")),
            as_text(fields.get(b"fence", b"")),
            as_text(fields.get(b"session", b"")),
        )
        for entry, fields in page
    ]
