"""Reads everything a queue holds by plain commands and says what in it contradicts itself.

Independent of the code under test on purpose: it knows the keys and the shape of a row from the contract, not from
`lib.redisqueue.fsck`. Called at the end of every conformance test and after every step of the stateful test.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lib.redisqueue.queue import Queue

HEAD = re.compile(
    r'^\{"schema_version":1,"generation":(\d+),"fence":(\d+),"attempt":(\d+),"identity":"([^"]*)",'
    r'"history":"([^"]*)","status":"([a-z]+)",'
)
HISTORIES = {"done": "history_done", "failed": "history_failed", "cancelled": "history_cancelled"}


def text(value: bytes | str) -> str:
    """A reply as text."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Row:
    """One row of the index, as the contract writes it."""

    state: str
    generation: str
    attempt: int
    deaths: int
    crashes: int
    stream: str
    entry: str
    identity: str
    session: str
    fence: str
    reason: str
    key: str

    @property
    def waits_for_key(self) -> bool:
        """Whether somebody else holds its conflict key."""
        return self.state == "D" and self.reason.startswith("key")


def parse_row(raw: str) -> Row:
    """The row in a field of the index."""
    state, generation, attempt, deaths, crashes, stream, entry, *rest = raw.split("|", 11)
    if entry[:1].islower():
        before = "abcdefghijklmnopqrstuvwxyz".index(entry[0])
        entry = f"{int(generation) // 1000 - before}-{entry[1:]}"
    return Row(state, generation, int(attempt), int(deaths or 0), int(crashes or 0), stream, entry, *rest)


@dataclass(frozen=True)
class Head:
    """What the queue itself writes into a terminal record."""

    generation: str
    fence: str
    attempt: int
    identity: str
    history: str
    status: str


def parse_head(record: str) -> Head:
    """The head of a record; AssertionError when it is not one."""
    found = HEAD.match(record)
    assert found, f"not a record: {record[:200]}"
    generation, fence, attempt, identity, history, status = found.groups()
    return Head(generation, fence, int(attempt), identity, history, status)


@dataclass
class Truth:
    """All that one queue holds."""

    rows: dict[str, Row]
    intakes: dict[str, dict[str, dict[str, str]]]
    lanes: dict[str, dict[str, dict[str, str]]]
    pending: dict[str, dict[str, str]]
    records: dict[str, str]
    failed: dict[str, str]
    due: dict[str, float]
    delayed: dict[str, str]
    holders: dict[str, str]
    waiters: list[tuple[str, str, str]]
    histories: dict[str, dict[str, str]]
    expiry: dict[str, float]
    progress: dict[str, str]
    sessions: dict[str, float]
    counters: dict[str, int]
    reserved: dict[str, str]
    instances: dict[str, str]
    fence: int
    keys: set[str] = field(default_factory=set)

    @property
    def all_records(self) -> dict[str, str]:
        """Terminal records of both hashes."""
        return {**self.records, **self.failed}

    def entry(self, stream: str, entry: str) -> dict[str, str] | None:
        """The fields of an entry of an intake or a lane."""
        return {**self.intakes, **self.lanes}.get(stream, {}).get(entry)


def _hash(reply: dict[Any, Any]) -> dict[str, str]:
    return {text(name): text(value) for name, value in reply.items()}


def _stream(reply: list[Any]) -> dict[str, dict[str, str]]:
    return {text(entry): _hash(fields) for entry, fields in reply}


def _scores(reply: list[Any]) -> dict[str, float]:
    return {text(member): float(score) for member, score in reply}


async def read_truth(queue: Queue) -> Truth:
    """Read it; the queue must be quiet meanwhile."""
    client, key = queue.client, queue.keys.of
    async with client.pipeline(transaction=False) as pipe:
        pipe.smembers(key("intakes"))
        pipe.smembers(key("lanes"))
        known_intakes, known_lanes = await pipe.execute()
    intakes = sorted({text(name) for name in known_intakes} | set(queue.intakes) | {"stream"})
    lanes = sorted({text(name) for name in known_lanes} | set(queue.lanes))
    hashes = ("index", "result", "failed", "delayed", "key", "progress", "counters", "spend_open", "instances")
    zsets = ("due", "key_wait", "expiry", "sessions")
    async with client.pipeline(transaction=False) as pipe:
        for name in hashes:
            pipe.hgetall(key(name))
        for name in zsets:
            pipe.zrange(key(name), 0, -1, withscores=True)
        for status in HISTORIES.values():
            pipe.xrange(key(status))
        pipe.get(key("fence"))
        for stream in (*intakes, *lanes):
            pipe.xrange(queue.keys.stream(stream))
        for lane in lanes:
            pipe.xpending_range(queue.keys.stream(lane), "watchers", min="-", max="+", count=100_000)
        # A lane without its stream or group has nothing pending; every other error is one.
        found: list[Any] = await pipe.execute(raise_on_error=False)
    replies = iter([_unless_no_group(reply) for reply in found])
    found_hashes = (_hash(next(replies)) for _ in hashes)
    index, result, failed, delayed, holders, progress, counters, reserved, instances = found_hashes
    due, key_wait, expiry, sessions = (_scores(next(replies)) for _ in zsets)
    histories = {status: {e: f["id"] for e, f in _stream(next(replies)).items()} for status in HISTORIES}
    return Truth(
        rows={request_id: parse_row(raw) for request_id, raw in index.items()},
        records=result,
        failed=failed,
        delayed=delayed,
        holders=holders,
        progress=progress,
        counters={name: int(value) for name, value in counters.items()},
        reserved=reserved,
        instances=instances,
        due=due,
        waiters=[_waiter(member) for member in key_wait],
        expiry=expiry,
        sessions=sessions,
        histories=histories,
        fence=int(next(replies) or 0),
        intakes={name: _stream(next(replies)) for name in intakes},
        lanes={name: _stream(next(replies)) for name in lanes},
        pending={lane: _pending(next(replies)) for lane in lanes},
        keys={text(found) async for found in client.scan_iter(match=f"{queue.keys.prefix}:*", count=1000)},
    )


def _waiter(member: str) -> tuple[str, str, str]:
    key, generation, request_id = member.split("\0", 2)
    return key, generation, request_id


def _unless_no_group(reply: Any) -> Any:
    if isinstance(reply, Exception) and not str(reply).startswith("NOGROUP"):
        raise reply
    return [] if isinstance(reply, Exception) else reply


def _pending(page: list[dict[str, Any]]) -> dict[str, str]:
    return {text(item["message_id"]): text(item["consumer"]) for item in page}


def unknown_keys(queue: Queue, truth: Truth) -> set[str]:
    """Keys under the prefix that nobody declared."""
    known = set(queue.keys.all_fixed().values())
    known |= {queue.keys.stream(name) for name in (*truth.intakes, *truth.lanes)}
    return truth.keys - known


def imbalance(truth: Truth) -> int:
    """Promise 8: accepted minus everything it must be, foreign entries left aside; 0 when conserved."""
    foreign = sum(1 for _ in foreign_entries(truth))
    active = sum(map(len, truth.intakes.values())) + sum(map(len, truth.lanes.values())) + len(truth.delayed)
    ended = len(truth.records) + len(truth.failed)
    gone = truth.counters.get("expired", 0) + truth.counters.get("flushed", 0)
    return truth.counters.get("accepted", 0) - (active - foreign + ended + gone)


def foreign_entries(truth: Truth) -> Iterator[tuple[str, str]]:
    """Entries of intakes that no row names: added by hand and not adopted yet."""
    for stream, entries in truth.intakes.items():
        for entry, fields in entries.items():
            row = truth.rows.get(fields.get("id", ""))
            if row is None or (row.stream, row.entry) != (stream, entry):
                yield stream, entry


def contradictions(truth: Truth) -> list[str]:
    """Everything in it that cannot be true of a sound queue."""
    return [*_rows(truth), *_entries(truth), *_conflict_keys(truth), *_delays(truth), *_records(truth), *_money(truth)]


def _rows(truth: Truth) -> Iterator[str]:
    fences = [row.fence for row in truth.rows.values() if row.fence]
    if len(fences) != len(set(fences)):
        yield f"a fence is held twice: {sorted(fences)}"
    for request_id, row in truth.rows.items():
        if max(int(row.generation), int(row.fence or 0)) > truth.fence:
            yield f"{request_id}: generation or fence beyond the counter: {row}"
        if request_id in truth.all_records:
            yield f"{request_id}: active and with a record"
        if row.state == "D" and request_id not in truth.delayed:
            yield f"{request_id}: delayed without a payload"
        if (row.state == "L") != bool(row.fence and row.session):
            yield f"{request_id}: state {row.state} with session {row.session!r} and fence {row.fence!r}"
        if row.state != "D":
            yield from _place(truth, request_id, row)


def _place(truth: Truth, request_id: str, row: Row) -> Iterator[str]:
    fields = truth.entry(row.stream, row.entry)
    if fields is None:
        yield f"{request_id}: its place {row.stream} {row.entry} is empty"
    elif (fields.get("id"), fields.get("gen")) != (request_id, row.generation):
        yield f"{request_id}: its place holds another: {fields}"
    if row.state == "L" and truth.pending.get(row.stream, {}).get(row.entry) != row.session:
        yield f"{request_id}: leased to {row.session} and pending under another"


def _entries(truth: Truth) -> Iterator[str]:
    for lane, entries in truth.lanes.items():
        for entry, fields in entries.items():
            row = truth.rows.get(fields.get("id", ""))
            if row is None or (row.stream, row.entry) != (lane, entry):
                yield f"{lane} {entry}: no row names it: {fields}"
        for entry in truth.pending[lane]:
            if entry not in entries:
                yield f"{lane} {entry}: pending without an entry"
    for request_id in truth.progress:
        row = truth.rows.get(request_id)
        if row is None or row.state != "L":
            yield f"{request_id}: progress of a job that does not run"


def _conflict_keys(truth: Truth) -> Iterator[str]:
    for key, holder in truth.holders.items():
        generation, _, request_id = holder.partition("|")
        row = truth.rows.get(request_id)
        if row is None or row.generation != generation or row.key != key or row.waits_for_key:
            yield f"key {key} is held by {holder}, which is no active job of that key"
    for request_id, row in truth.rows.items():
        mine = truth.holders.get(row.key) == f"{row.generation}|{request_id}"
        if row.key and not row.waits_for_key and not mine:
            yield f"{request_id}: active without its key {row.key}"
        if row.waits_for_key and (row.key, row.generation, request_id) not in truth.waiters:
            yield f"{request_id}: waits for {row.key} in no list"
    for key, generation, request_id in truth.waiters:
        row = truth.rows.get(request_id)
        if row is None or row.generation != generation or not row.waits_for_key or row.key != key:
            yield f"{request_id}: waits for {key} without a row that says so"
        if key not in truth.holders:
            yield f"{request_id}: waits for {key}, which is free"


def _delays(truth: Truth) -> Iterator[str]:
    for request_id in truth.due.keys() | truth.delayed.keys():
        row = truth.rows.get(request_id)
        if row is None or row.state != "D":
            yield f"{request_id}: delayed or due without a delayed row"
        elif (request_id in truth.due) == row.waits_for_key:
            yield f"{request_id}: must be due or wait for its key, one of them: {row}"


def _money(truth: Truth) -> Iterator[str]:
    held = {name: int(raw.split("|")[0]) for name, raw in truth.reserved.items() if name != "sum"}
    if sum(held.values()) != int(truth.reserved.get("sum", 0)):
        yield f"the sum of what is reserved is not {truth.reserved.get('sum')}: {held}"
    for name in held:
        kind, _, request_id = name.partition(":")
        row = truth.rows.get(request_id)
        paid = row is not None and row.stream.startswith("lane:") and row.stream.split(":")[1] not in {"metal", "vast"}
        if kind == "job" and not paid:
            yield f"{request_id}: money is reserved for a job in no lane that is paid for"
        if kind == "rent" and request_id not in truth.instances:
            yield f"{request_id}: money is reserved for a rented machine without a row"
    for intent, raw in truth.instances.items():
        if raw.count("|") > 5 and held.get(f"rent:{intent}") != int(raw.split("|")[3]):
            yield f"{intent}: a rented machine for which {held.get(f'rent:{intent}')} is reserved: {raw}"


def _records(truth: Truth) -> Iterator[str]:
    for request_id in truth.records.keys() & truth.failed.keys():
        yield f"{request_id}: two records"
    listed = {(status, entry): who for status, entries in truth.histories.items() for entry, who in entries.items()}
    for request_id, record in truth.all_records.items():
        head = parse_head(record)
        if (head.status == "done") != (request_id in truth.records):
            yield f"{request_id}: a {head.status} record in the wrong hash"
        if listed.pop((head.status, head.history), None) != request_id:
            yield f"{request_id}: not in its history"
    if listed:
        yield f"history without a record: {listed}"
    for request_id in truth.expiry:
        if request_id not in truth.all_records:
            yield f"{request_id}: expires without a record"
