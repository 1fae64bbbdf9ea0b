"""Proves that the queue adds up, and mends what a hand or a lost disk left where nobody would find it.

`census` reads every term of the conservation sum in one script. `fsck` walks the index and what is kept beside it
in bounded chunks; each chunk goes to a script that looks again at every item and repairs it in the same step, so it
may run on a busy queue. What lapsed sessions left pending is not damage: the sweep takes it back. Called by
`job-runner doctor --fsck`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from lib.clock import SystemClock
from lib.jobqueue.protocol import Verdict
from lib.jobqueue.records import Failure, failed_tail
from lib.redisqueue import instances, upkeep
from lib.redisqueue.connection import as_text, edge
from lib.redisqueue.keys import is_backlog, is_intake, is_lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from lib.redisqueue.queue import Queue

FindingKind = Literal[
    "payload_lost",
    "stranded",
    "lease_not_pending",
    "never_due",
    "key_not_held",
    "key_held_by_two",
    "record_and_row",
    "unknown_stream",
    "unreadable_row",
    "due_without_row",
    "delayed_without_row",
    "progress_without_row",
    "expiry_without_record",
    "key_of_nobody",
    "waiter_without_row",
    "waits_for_free_key",
    "reservation_of_nobody",
    "rent_not_reserved",
    "unreadable_instance",
    "ledger_sum",
    "stale_entry",
    "foreign_name",
    "imbalance",
]

_NAMES: Final = {"intakes": is_intake, "lanes": is_lane, "backlogs": is_backlog}
"""The sets of names, and what belongs there."""

SCAN_MAX: Final = 1000
"""Entries that a census reads to tell foreign ones apart; a thousand of 20 KB are 40 ms of the server's time."""

CHUNK: Final = 100
"""Items a script looks at in one step: each may repair a payload, and the server serves nobody meanwhile."""


@dataclass(frozen=True, slots=True)
class Census:
    """Every term of promise 8, read in one step.

    `accepted`, `expired` and `flushed` are counters; all others are derived from what is there, so the sum can fail.
    `intake` is without `foreign`: entries added by hand that nobody has adopted yet count nowhere. They are found by
    reading every waiting entry, or, where more than `SCAN_MAX` wait, taken to be what exceeds the rows
    (`foreign_exact` False): then a job lost from the index looks like a foreign entry and shows as imbalance only.
    """

    accepted: int
    expired: int
    flushed: int
    intake: int
    lanes: int
    leased: int
    delayed: int
    done: int
    failed: int
    cancelled: int
    rows: int
    foreign: int
    foreign_exact: bool

    @property
    def balance(self) -> int:
        """Accepted jobs that are nowhere; negative when there is more than was accepted. 0 is right."""
        waiting = self.intake + self.lanes + self.leased + self.delayed
        ended = self.done + self.failed + self.cancelled
        return self.accepted - (waiting + ended + self.expired + self.flushed)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it must be; `subject` is a request_id, a conflict key, a name or the queue itself."""

    kind: FindingKind
    subject: str
    detail: str
    repaired: bool


async def census(queue: Queue) -> Census:
    """Count everything in one step; see `Census`."""
    await queue.refresh_streams()
    reply = await queue.scripts.call("census", intakes=queue.intakes, lanes=queue.lanes, scan_max=SCAN_MAX)
    accepted, expired, flushed, *here, rows, foreign, exact = (int(term) for term in reply)
    intake, lanes, leased, delayed, done, failed, cancelled = here
    return Census(
        accepted=accepted,
        expired=expired,
        flushed=flushed,
        intake=intake,
        lanes=lanes,
        leased=leased,
        delayed=delayed,
        done=done,
        failed=failed,
        cancelled=cancelled,
        rows=rows,
        foreign=foreign,
        foreign_exact=exact == 1,
    )


async def fsck(queue: Queue, *, repair: bool) -> list[Finding]:
    """Find what is stranded, lost or left over; with `repair`, mend each in the step that finds it.

    A job without its payload ends as failed with `payload_lost`. Where no script can know what is right, a row
    beside a record or a key with two holders, it is reported and left alone, `repaired` False.
    """
    await queue.refresh_streams()
    findings = await _rows(queue, repair=repair)
    findings += await _instances(queue, repair=repair)
    findings += await _traces(queue, repair=repair)
    findings += await _lanes(queue, repair=repair)
    findings += await _names(queue, repair=repair)
    counted = await census(queue)
    if counted.balance != 0:
        findings.append(Finding("imbalance", queue.keys.prefix, f"{counted.balance} of {counted}", repaired=False))
    return findings


async def _rows(queue: Queue, *, repair: bool) -> list[Finding]:
    findings: list[Finding] = []
    async for ids in _scan(queue, "hash", "index"):
        reply = await queue.scripts.call(
            "fsck_rows",
            intakes=queue.intakes,
            lanes=queue.lanes,
            rows=[(request_id,) for request_id in ids],
            repair=int(repair),
        )
        lost = [item for item in reply if item[0] == b"payload_lost"] if repair else []
        ended = await upkeep.condemn(queue, [_verdict(item) for item in lost]) if lost else []
        mended = {as_text(item[1]) for item, done in zip(lost, ended, strict=True) if done}
        findings += [_finding(item, condemned=as_text(item[1]) in mended) for item in reply]
    return findings


def _verdict(item: list[Any]) -> Verdict:
    _, request_id, detail, _, generation, stream, entry = item
    failure = Failure("payload_lost", "route", f"the job's payload is gone: {as_text(detail)}", SystemClock().now())
    name = as_text(request_id)
    tail = failed_tail(None, failure, request_id=name)
    return Verdict(name, as_text(generation), as_text(stream), as_text(entry), tail, lost=True)


def _finding(item: Sequence[Any], *, condemned: bool = False) -> Finding:
    kind, subject, detail, repaired, *_ = item
    known: FindingKind = as_text(kind)  # type: ignore[assignment]  # the kinds of fsck_*.lua are FindingKind
    return Finding(known, as_text(subject), as_text(detail), repaired=repaired == 1 or condemned)


async def _traces(queue: Queue, *, repair: bool) -> list[Finding]:
    """What is kept beside the index. Keys before their waiters: a key of nobody goes to its oldest waiter."""
    findings: list[Finding] = []
    kinds = {"due": "zset", "delayed": "hash", "progress": "hash", "expiry": "zset", "key": "hash", "key_wait": "zset"}
    kinds |= {"instances": "hash", "spend_open": "hash"}
    for kind, key_type in kinds.items():
        async for names in _scan(queue, key_type, kind):
            reply = await queue.scripts.call("fsck_traces", rows=[(kind, name) for name in names], repair=int(repair))
            findings += [_finding(item) for item in reply]
    return findings


async def _instances(queue: Queue, *, repair: bool) -> list[Finding]:
    """Rows of rented machines that nobody can read: each stands in the way of the next rent until it is taken away."""
    damaged = (await instances.rows(queue)).damaged
    mended = await instances.drop_damaged(queue, damaged) if damaged and repair else [False] * len(damaged)
    return [
        Finding("unreadable_instance", row.intent, f"its row says {row.text!r}", repaired=done)
        for row, done in zip(damaged, mended, strict=True)
    ]


async def _lanes(queue: Queue, *, repair: bool) -> list[Finding]:
    findings: list[Finding] = []
    for lane in queue.lanes:
        after = "-"
        while True:
            async with edge(queue.url):
                page: Any = await queue.client.xrange(queue.keys.stream(lane), min=after, max="+", count=CHUNK)
            if not page:
                break
            rows = [(lane, entry) for entry, _ in page]
            reply = await queue.scripts.call("fsck_lanes", lanes=[lane], rows=rows, repair=int(repair))
            findings += [_finding(item) for item in reply]
            after = f"({as_text(page[-1][0])}"
    return findings


async def _names(queue: Queue, *, repair: bool) -> list[Finding]:
    """Members of the sets of names that name nothing. Every reader passes them over; what a name is never changes."""
    findings: list[Finding] = []
    for kind, belongs in _NAMES.items():
        key = queue.keys.of(kind)
        async with edge(queue.url):
            members: Any = await queue.client.smembers(key)
            foreign = sorted(member for member in members if not belongs(as_text(member)))
            if foreign and repair:
                await queue.client.srem(key, *foreign)
        findings += [
            Finding("foreign_name", _shown(member), f"stands in {key} and is none of the {kind}", repaired=repair)
            for member in foreign
        ]
    return findings


def _shown(member: bytes) -> str:
    return member.decode("utf-8", "backslashreplace")


async def _scan(queue: Queue, key_type: str, name: str) -> AsyncIterator[list[bytes]]:
    """The fields or members of a fixed key, each at least once while it stays, in chunks that are not empty."""
    cursor = 0
    key = queue.keys.of(name)
    while True:
        async with edge(queue.url):
            found: Any
            if key_type == "hash":
                cursor, found = await queue.client.hscan(key, cursor, count=CHUNK)
            else:
                cursor, found = await queue.client.zscan(key, cursor, count=CHUNK)
        names = list(found) if key_type == "hash" else [member for member, _ in found]
        # A small hash is answered whole, whatever COUNT says.
        for begin in range(0, len(names), CHUNK):
            yield names[begin : begin + CHUNK]
        if int(cursor) == 0:
            return
