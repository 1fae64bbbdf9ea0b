"""What is left to do once a job has its record: to publish its outputs, and to tell its URL. Plain values, no I/O.

They pass between the queue's outbox and the watchers that work it off; all times are milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PublishCode = Literal["ok", "changed", "gone"]
CallbackOutcome = Literal["delivered", "again", "failed"]
CallbackCode = Literal["delivered", "again", "failed", "gone"]


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What a commit left to publish."""

    entry: str
    request_id: str
    fence: str
    session: str


@dataclass(frozen=True, slots=True)
class Callback:
    """What one URL is still to be told: `record` is the record as it was written when the job ended.

    `member` is its name among the due ones; it says how often it was tried.
    """

    member: str
    request_id: str
    generation: str
    fence: str
    status: str
    url: str
    record: bytes

    @property
    def tries(self) -> int:
        """How often it was tried before."""
        return int(self.member.split(" ")[1])

    @property
    def host(self) -> str:
        """The host of its URL, with the port where that names one: what may be shown of it."""
        return self.member.split(" ", 2)[2]


@dataclass(frozen=True, slots=True)
class CallbacksTaken:
    """Callbacks to deliver now; when the next one comes due (None: none waits), and whether more are due at once."""

    callbacks: tuple[Callback, ...]
    next_in_ms: int | None
    more: bool


@dataclass(frozen=True, slots=True)
class TriedCallback:
    """What came of one try; `why` is told with `failed`, `delay_ms` is for `again`."""

    callback: Callback
    outcome: CallbackOutcome
    delay_ms: int = 0
    why: str = ""
