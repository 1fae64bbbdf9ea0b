"""Plays a queue's history again, step by step: the state after each, and what each one touched.

A model of its own: it knows rows, entries, records, sessions and keys by the contract, and nothing of the scripts that
wrote them. It judges nothing: `soundness.py` looks at each step, `checks.py` at the whole. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.conformance.truth import Head, Row, parse_head, parse_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.machine.history import Line


HASTENED_MS = 1
"""The due time that the drain gives to what is delayed (see `observer.nudge`)."""


@dataclass(slots=True)
class Lease:
    """One lease: taken at `at`, over at `ended` (None: still standing at the end of the history)."""

    id: str
    generation: str
    fence: str
    session: str
    at: float
    ended: float | None = None


@dataclass(slots=True)
class Generation:
    """One accepted request for an id; `record` is the text of its end."""

    id: str
    number: str
    identity: str
    at: float
    record: str | None = None
    head: Head | None = None
    recorded: float | None = None
    free: float | None = None
    """When it was first seen not to be delayed."""
    replaces: str = ""
    """The generation whose record went when this one began."""


@dataclass(slots=True)
class SessionLife:
    """One session: when it was seen to renew, and how it ended."""

    name: str
    opened: float
    renewals: list[float] = field(default_factory=list)
    """When each was seen."""
    expiry_ms: float = 0.0
    renewed_ms: float = 0.0
    """Server time of the last one."""
    sweeps_then: int = 0
    """How many sweeps there had been at the last one."""
    ended: float | None = None
    reaped: bool = False
    leases: int = 0
    """How many it was given."""


@dataclass(slots=True)
class Step:
    """What one step touched, for the checks at its end."""

    at: float
    ids: set[str] = field(default_factory=set)
    rows_before: dict[str, Row | None] = field(default_factory=dict)
    records_before: dict[str, str | None] = field(default_factory=dict)
    records_set: list[tuple[str, str]] = field(default_factory=list)
    recorded_before: dict[str, str | None] = field(default_factory=dict)
    """The record that the generation of each record had before."""
    entries_gone: list[tuple[str, str]] = field(default_factory=list)
    keys_before: dict[str, str | None] = field(default_factory=dict)
    sessions_before: dict[str, bool] = field(default_factory=dict)
    leaders: list[tuple[str, str] | None] = field(default_factory=list)
    """Who led before each change of the lead."""
    swept: bool = False


class UnknownWordError(Exception):
    """A step has a word that is in no table: a check would be off, and nobody would see it. Or an old history."""


class Replay:
    """The state of the queue after each step; `life` and `sweep` are L and S in seconds."""

    def __init__(self, life: float, sweep: float) -> None:
        self.life_ms, self.sweep_ms = life * 1000, sweep * 1000
        self.rows: dict[str, Row] = {}
        self.records: dict[str, tuple[str, str]] = {}
        """id -> (hash, text)."""
        self.entries: dict[tuple[str, str], tuple[str, str]] = {}
        self.keys: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.sessions: dict[str, SessionLife] = {}
        """All that ever were."""
        self.live: set[str] = set()
        self.fence = 0
        self.fence_before = 0
        self.sweeps: list[tuple[float, int]] = []
        """(seen at, server time in ms) of each sweep that was let through."""
        self.generations: dict[tuple[str, str], Generation] = {}
        self.leases: dict[str, Lease] = {}
        """By fence."""
        self.off = 0
        """By how many jobs the sum was off after the last step."""
        self.pending: dict[tuple[str, str], str] = {}
        """(lane, entry) -> the consumer that it was delivered to."""
        self.leader: tuple[str, str] | None = None
        """(session, epoch)."""
        self.due: set[str] = set()
        """Ids that come back at a time."""
        self.hastened: dict[str, float] = {}
        """Ids whose due time somebody set to the distant past, and when first: the drain does."""
        self.kept: set[str] = set()
        """Ids whose job is kept outside the streams."""
        self._words: dict[str, Callable[..., None]] = {
            "row": self._row,
            "record": self._record,
            "entry": self._entry,
            "gone": self._gone,
            "held": self._held,
            "forgot": self._forgot,
            "due": self._due,
            "kept": self._kept,
            "key": self._key,
            "session": self._session,
            "lead": self._lead,
            "sweep": self._sweep,
            "fence": self._fence,
            "count": self._count,
        }

    def step(self, line: Line) -> Step:
        """One step; what it touched.

        Raises:
            UnknownWordError: see there.

        """
        step = Step(line.at)
        self.fence_before = self.fence
        for op in line.ops:
            if op[0] not in self._words:
                raise UnknownWordError(
                    f"no check hears the word `{op[0]}`: it is new, or the history is of an older machine"
                )
            self._words[op[0]](step, *op[1:])
        self._note_leases(step)
        return step

    def _row(self, step: Step, request_id: str, raw: str | None) -> None:
        step.ids.add(request_id)
        step.rows_before.setdefault(request_id, self.rows.get(request_id))
        if raw is None:
            self.rows.pop(request_id, None)
            return
        row = self.rows[request_id] = parse_row(raw)
        known = (request_id, row.generation)
        if known not in self.generations:
            self.generations[known] = Generation(request_id, row.generation, row.identity, step.at)
            before = step.records_before.get(request_id) or self.records.get(request_id, ("", ""))[1]
            if before:
                self.generations[known].replaces = parse_head(before).generation
        if row.state != "D" and self.generations[known].free is None:
            self.generations[known].free = step.at

    def _record(self, step: Step, request_id: str, place: str, raw: str | None) -> None:
        step.ids.add(request_id)
        step.records_before.setdefault(request_id, self.records.get(request_id, ("", None))[1])
        if raw is None:
            if self.records.get(request_id, ("", ""))[0] == place:
                del self.records[request_id]
            return
        self.records[request_id] = (place, raw)
        step.records_set.append((request_id, raw))
        head = parse_head(raw)
        ended = self.generations.setdefault(
            (request_id, head.generation), Generation(request_id, head.generation, head.identity, step.at)
        )
        step.recorded_before[request_id] = ended.record
        ended.record, ended.head, ended.recorded = raw, head, step.at

    def _entry(self, step: Step, stream: str, entry: str, request_id: str | None, generation: str | None) -> None:
        self.entries[stream, entry] = (request_id or "", generation or "")
        if request_id:
            step.ids.add(request_id)

    def _held(self, step: Step, lane: str, entry: str, consumer: str | None) -> None:
        if consumer is None:
            self.pending.pop((lane, entry), None)
            return
        self.pending[lane, entry] = consumer
        step.ids.add(self.entries.get((lane, entry), ("", ""))[0])

    def _forgot(self, _step: Step, lane: str, consumer: str | None) -> None:
        for place in [each for each, who in self.pending.items() if each[0] == lane and consumer in {None, who}]:
            del self.pending[place]

    def _due(self, step: Step, request_id: str, score: float | None) -> None:
        step.ids.add(request_id)
        (self.due.discard if score is None else self.due.add)(request_id)
        if score is not None and score <= HASTENED_MS:
            self.hastened.setdefault(request_id, step.at)

    def _kept(self, step: Step, request_id: str, kept: bool) -> None:  # noqa: FBT001 - as the word has it
        step.ids.add(request_id)
        (self.kept.add if kept else self.kept.discard)(request_id)

    def _lead(self, step: Step, session: str | None, epoch: str | None) -> None:
        step.leaders.append(self.leader)
        self.leader = None if session is None else (session, epoch or "")

    def _gone(self, step: Step, stream: str, entry: str) -> None:
        known = self.entries.pop((stream, entry), None)
        step.entries_gone.append((stream, entry))
        if known and known[0]:
            step.ids.add(known[0])

    def _key(self, step: Step, key: str, holder: str | None) -> None:
        step.keys_before.setdefault(key, self.keys.get(key))
        if holder is None:
            self.keys.pop(key, None)
        else:
            self.keys[key] = holder

    def _session(self, step: Step, session: str, expiry: float | None) -> None:
        step.sessions_before.setdefault(session, session in self.live)
        life = self.sessions.get(session)
        if expiry is None:
            self.live.discard(session)
            if life is not None:
                life.ended = step.at
                life.reaped = step.swept
            return
        if life is None:
            life = self.sessions[session] = SessionLife(session, step.at)
        self.live.add(session)
        life.expiry_ms = expiry
        if not step.swept:
            life.renewed_ms = expiry - self.life_ms
            life.renewals.append(step.at)
            life.sweeps_then = len(self.sweeps)

    def _sweep(self, step: Step, time_ms: int) -> None:
        step.swept = True
        self.sweeps.append((step.at, time_ms))

    def _fence(self, _step: Step, value: str) -> None:
        self.fence = int(value)

    def _count(self, _step: Step, name: str, by: int) -> None:
        self.counts[name] = self.counts.get(name, 0) + by

    def _note_leases(self, step: Step) -> None:
        """Leases that this step took or ended, from the rows before and after."""
        for request_id, before in step.rows_before.items():
            after = self.rows.get(request_id)
            if before is not None and before.state == "L" and (after is None or after.fence != before.fence):
                ended = self.leases.get(before.fence)
                if ended is not None and ended.ended is None:
                    ended.ended = step.at
            if after is not None and after.state == "L" and (before is None or before.fence != after.fence):
                lease = Lease(request_id, after.generation, after.fence, after.session, step.at)
                self.leases.setdefault(after.fence, lease)
                if after.session in self.sessions:
                    self.sessions[after.session].leases += 1
