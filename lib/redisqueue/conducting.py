"""The leader's side: survey, move, adopt, due, and the wait for something to decide."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.moves import Move, Moved, OwnSlot, RateLimits, RateState, Survey
from lib.jobqueue.protocol import SUSPECT_DEATHS, SUSPECT_PAUSE_MS, Adoption, DueDone, ForeignEntry
from lib.redisqueue.connection import Client, as_text, edge, stream_entries
from lib.redisqueue.keys import is_intake
from lib.redisqueue.leasing import started_of
from lib.redisqueue.producing import submission_row
from lib.redisqueue.queue import BATCH_MAX_BYTES, BATCH_MAX_JOBS, Queue

if TYPE_CHECKING:
    from collections.abc import Sequence


NO_LIMITS: Final = RateLimits(jobs=1_000_000, window_ms=60_000)


async def move(
    queue: Queue,
    session: str,
    epoch: str,
    moves: Sequence[Move],
    slot: OwnSlot | None = None,
    *,
    limits: RateLimits = NO_LIMITS,
) -> Moved:
    """Carry out the conductor's orders, or none of them; without orders only look.

    With `slot` one job is leased for the leader's own watcher in the same call. `limits` hold for all that is paid for.

    Raises:
        NotLeaderError: another session leads, or this one has ended.

    """
    rows = [
        (
            order.intake,
            order.lane,
            order.count,
            order.limit,
            ",".join(order.pool),
            order.pool_limit,
            queue.home_of(order.intake),
            int(order.rated),
            order.price,
            json.dumps(order.picks) if order.picks else "",
        )
        for order in moves
    ]
    # As they are now: another task may come to know more of them before the reply is there.
    intakes, lanes = tuple(queue.intakes), tuple(queue.lanes)
    counts, foreign, survey, leased = await queue.scripts.call(
        "move",
        intakes=intakes,
        lanes=lanes,
        rows=rows,
        session=session,
        epoch=epoch,
        bytes_max=BATCH_MAX_BYTES,
        read=1 if slot else 0,
        own=",".join(slot.lanes) if slot else "",
        suspects=slot.suspects if slot else 0,
        suspect_deaths=SUSPECT_DEATHS,
        pause_ms=SUSPECT_PAUSE_MS,
        ahead=int(slot.ahead) if slot else 0,
        rate_jobs=limits.jobs,
        rate_window_ms=limits.window_ms,
        budget="" if limits.budget is None else limits.budget,
    )
    return Moved(
        counts=tuple(int(count) for count in counts),
        foreign=tuple(ForeignEntry(as_text(source), as_text(entry)) for source, entry in foreign),
        survey=_survey(intakes, lanes, survey),
        started=started_of(leased),
    )


def _survey(intakes: Sequence[str], lanes: Sequence[str], reply: list[Any]) -> Survey:
    waiting, held, due_in, newest, rate_left, rate_next, spent, now = reply
    return Survey(
        waiting=dict(zip(intakes, map(int, waiting), strict=True)),
        held=dict(zip(lanes, map(int, held), strict=True)),
        due_in_ms=int(due_in) if int(due_in) >= 0 else None,
        newest=as_text(newest),
        rate=RateState(max(0, int(rate_left)), int(rate_next) if int(rate_next) >= 0 else None, spent=int(spent)),
        now_ms=int(now),
    )


async def read_foreign(queue: Queue, entries: Sequence[ForeignEntry]) -> list[tuple[ForeignEntry, bytes | None]]:
    """The `job` field of entries that were added by hand; None when there is none. Gone entries are left out."""
    found: list[tuple[ForeignEntry, bytes | None]] = []
    for entry in entries:
        async with edge(queue.url):
            page: Any = await queue.client.xrange(queue.keys.stream(entry.source), min=entry.entry, max=entry.entry)
        found += [(entry, fields.get(b"job")) for _, fields in page]
    return found


async def adopt(queue: Queue, adoptions: Sequence[Adoption]) -> list[str]:
    """Take in or turn away entries added by hand; the codes of adopt.lua."""
    rows: list[tuple[str | bytes | int, ...]] = []
    # Where they stand and where they go, and no others: a key more in the call costs the server a TYPE.
    intakes = {adoption.source for adoption in adoptions}
    for adoption in adoptions:
        job = adoption.submission
        if job is None:
            unreadable = (adoption.record_id, "", adoption.record_tail, "stream", "", 0, "", "", 0, 0)
            rows.append((adoption.source, adoption.entry, *unreadable))
        else:
            queue.know_intakes([job.intake])
            intakes.add(job.intake)
            rows.append((adoption.source, adoption.entry, *submission_row(job)))
    replies = await queue.scripts.call("adopt", intakes=sorted(intakes), rows=rows)
    return [as_text(reply) for reply in replies]


async def queue_due(queue: Queue) -> DueDone:
    """Queue the delayed jobs whose time has come.

    Of an intake that this process did not know, the next call does; one that is none is told as `nowhere`.
    """
    queued, more, lost, unknown = await queue.scripts.call(
        "due", intakes=queue.intakes, entries_max=BATCH_MAX_JOBS, bytes_max=BATCH_MAX_BYTES
    )
    others = _rows(unknown)
    known = {stream for _, _, stream in others if is_intake(stream)}
    queue.know_intakes(known)
    return DueDone(
        queued=int(queued),
        more=bool(more) or bool(known),
        lost=_rows(lost),
        nowhere=tuple(row for row in others if row[2] not in known),
    )


def _rows(found: list[list[bytes]]) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (as_text(request_id), as_text(generation), as_text(stream)) for request_id, generation, stream in found
    )


@dataclass(slots=True)
class WakePosition:
    """How far the leader has read the two streams that wake it: `wake`, and the inlet for entries added by hand."""

    wake: str = "0-0"
    inlet: str = "0-0"


@dataclass(slots=True)
class Woken:
    """Why the leader was woken, nothing after `block_ms`; `changes` are by how much streams have grown or shrunk."""

    reasons: set[str] = field(default_factory=set)
    changes: Counter[str] = field(default_factory=Counter)


async def wait_for_wake(queue: Queue, blocking: Client, position: WakePosition, *, block_ms: int) -> Woken:
    """Block until something may have changed what the conductor can do; `position` is moved on past what was read."""
    wake, inlet = queue.keys.of("wake"), queue.keys.stream("stream")
    async with edge(queue.url):
        reply: Any = await blocking.xread({wake: position.wake, inlet: position.inlet}, count=100, block=block_ms)
    woken = Woken()
    for key, entries in stream_entries(reply):
        if key == wake:
            position.wake = as_text(entries[-1][0])
            for _, fields in entries:
                woken.reasons.add(as_text(fields.pop(b"why", b"?")))
                woken.changes.update({as_text(name): _count(value) for name, value in fields.items()})
        else:
            position.inlet = as_text(entries[-1][0])
            woken.reasons.add("intake")
    return woken


def _count(value: bytes) -> int:
    try:
        return int(value)
    except ValueError:  # anybody may have put an entry there
        return 0


async def newest_wake(queue: Queue) -> str:
    """The id of the newest wake entry: where a new leader begins to listen."""
    async with edge(queue.url):
        newest: Any = await queue.client.xrevrange(queue.keys.of("wake"), count=1)
    return as_text(newest[0][0]) if newest else "0-0"
