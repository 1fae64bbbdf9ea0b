"""What producers, watchers and the queue say to each other: plain values, no I/O.

A `Submission` goes in; the conductor orders moves (`lib.jobqueue.moves`); a watcher gets `Lease`s and answers each
with an `Ending`, a `Retry` or a hand-back. `Swept` is what a sweep found. All times are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

SubmitMode = Literal["new", "replace", "again"]
SubmitCode = Literal[
    "queued",
    "duplicate_request",
    "already_done",
    "already_failed",
    "already_cancelled",
    "conflict",
    "key_busy",
    "not_found",
    "changed",
]
EndStatus = Literal["done", "failed", "cancelled"]
CommitCode = Literal["ok", "already", "refused"]
CancelCode = Literal["cancelled", "changed", "not_active"]
RetryKind = Literal["attempt", "crash", "free"]


class Submission(NamedTuple):
    """One job on its way in.

    `job` is the canonical JSON of the spec, `identity` what makes two requests under one id the same,
    `intake` the relative name of the intake of its backlog, priority and class, `due_ms` and `deadline_ms` Unix ms or
    0, `expected_fence` the fence of the failed record that mode `again` starts anew.
    """

    request_id: str
    identity: str
    job: bytes
    intake: str
    backlog: str = "default"
    due_ms: int = 0
    conflict_key: str = ""
    on_conflict: str = "refuse"
    attempt: int = 0
    expected_fence: str = ""
    deadline_ms: int = 0


class SubmitReply(NamedTuple):
    """What became of one submission; `stream_id` is empty unless the job stands in an intake or lane."""

    request_id: str
    code: SubmitCode
    stream_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """An entry that another program put into an intake by hand, and what it was read as.

    `submission` is None when it is unreadable; then `record_tail` becomes the failed record of `record_id`.
    """

    source: str
    entry: str
    record_id: str
    submission: Submission | None
    record_tail: bytes = b""


@dataclass(frozen=True, slots=True)
class ForeignEntry:
    """An entry of an intake that the index does not know."""

    source: str
    entry: str


class Lease(NamedTuple):
    """One started job: the entry, the fence under which everything about it is said, and what it has been through.

    `attempts_used` counts finished tries, so this try is number `attempts_used + 1`.
    """

    request_id: str
    generation: str
    fence: str
    lane: str
    entry: str
    attempts_used: int
    deaths: int
    crashes: int
    home: str
    job: bytes

    @property
    def suspect(self) -> bool:
        """Whether this job was running at two deaths of its watcher and so runs behind a small parent."""
        return self.deaths >= SUSPECT_DEATHS


SUSPECT_DEATHS = 2
"""From this many deaths of its watcher on a job runs apart. One is bad luck."""

SUSPECT_PAUSE_MS = 2_000
"""How long a suspect is put off while another one runs on the watcher that met it: long beside a round of the queue,
short beside a job, and meanwhile another watcher may have it."""

POISON_SUSPECT_DEATHS = 10
"""Deaths of a watcher during runs of a suspect after which it is poison."""


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to a start, by what each entry turned out to be; `others` need nothing more."""

    leases: tuple[Lease, ...]
    lost: tuple[tuple[str, str], ...]
    others: int


class Ending(NamedTuple):
    """How a leased job ended: `tail` is the record's JSON behind the head that the queue writes.

    `callback` is the URL that is to be told, or empty; so it is in a `Cancellation` and a `Verdict`.
    """

    request_id: str
    fence: str
    status: EndStatus
    tail: bytes
    ttl_ms: int = 0
    publish: bool = False
    callback: str = ""


class Committed(NamedTuple):
    """What became of an ending; `outbox` is the entry that says what is still to be published, or empty."""

    request_id: str
    code: CommitCode
    outbox: str


@dataclass(frozen=True, slots=True)
class Retry:
    """A leased job that is to be tried again after `delay_ms`."""

    lease: Lease
    kind: RetryKind
    delay_ms: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a leased job is; `progress` is the JSON that people see."""

    request_id: str
    fence: str
    progress: bytes


@dataclass(frozen=True, slots=True)
class Cancellation:
    """A person's wish to end one generation of a job, with the record's tail."""

    request_id: str
    generation: str
    tail: bytes
    ttl_ms: int = 0
    callback: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A job that can never run, at the place where it was found; `lost` says that its payload is gone."""

    request_id: str
    generation: str
    stream: str
    entry: str
    tail: bytes
    lost: bool = False
    ttl_ms: int = 0
    callback: str = ""


@dataclass(frozen=True, slots=True)
class LostEntry:
    """A pending entry whose content somebody removed: only the index can tell whose it was."""

    lane: str
    entry: str


@dataclass(frozen=True, slots=True)
class PoisonFound:
    """A suspect whose runs have ended its watcher too often."""

    request_id: str
    generation: str
    lane: str
    entry: str
    deaths: int
    home: str
    job: bytes


@dataclass(frozen=True, slots=True)
class Swept:
    """What one sweep did. `ran` is False when another watcher's sweep was less than S ago.

    Of the jobs that are `put_back`, `waited` had been given to no watcher: nobody reads their lane any more.
    """

    ran: bool
    next_in_ms: int
    ended: tuple[str, ...] = ()
    put_back: int = 0
    waited: int = 0
    lost: tuple[LostEntry, ...] = ()
    poison: tuple[PoisonFound, ...] = ()
    mended_lanes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DueDone:
    """What one call for delayed jobs did.

    `lost` are those without a payload, `nowhere` those whose row names no intake, each as (request_id, generation,
    stream): they stay due, and before others, until they have been ended.
    """

    queued: int
    more: bool
    lost: tuple[tuple[str, str, str], ...] = ()
    nowhere: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Renewed:
    """The answer to a renewal: whether the session still stands, and which fences do not."""

    alive: bool
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leadership:
    """Who leads: `epoch` is set when it is the caller."""

    epoch: str
    leader: str

    @property
    def mine(self) -> bool:
        """Whether the caller leads."""
        return self.epoch != ""


@dataclass(frozen=True, slots=True)
class ControlWord:
    """What hastens a watcher: `kind` is `cancel`, for the lease with this fence."""

    entry: str
    kind: str
    request_id: str
    fence: str


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is still to do: `active` jobs that are waiting, running or due soon, and `outbox` entries.

    `waiting` are the entries of each intake, foreign ones too, `held` those of each lane, by relative name.
    `callbacks` come due in that time, `callbacks_later` after it. `delayed` of the active jobs are not due yet, the
    first at `due_ms`; `later` jobs that are not active come due after that time, the first at `later_ms` (Unix ms).
    """

    active: int
    waiting: dict[str, int]
    held: dict[str, int]
    outbox: int
    callbacks: int = 0
    callbacks_later: int = 0
    delayed: int = 0
    due_ms: int = 0
    later: int = 0
    later_ms: int = 0
