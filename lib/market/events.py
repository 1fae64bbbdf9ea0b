"""What happens to a rented machine, and what is to be done next: the words between `lib.market.life` and its driver.

Plain values. `lib.renting.keeping` turns what market and host say into events, and has the actions carried out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lib.market.base import Address, Status


@dataclass(frozen=True, slots=True)
class Recorded:
    """The row of the intent stands, so the market may be asked."""


@dataclass(frozen=True, slots=True)
class Created:
    """The market has it: by the reply to `create`, or found by its label."""

    market_id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The market said plainly that it rented nothing: offer gone, no credit, key refused, too many requests."""

    why: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The reply to `create` was lost: it may have been rented."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The market shows it, alone or in a listing; `stopped`: it was preempted. `message` is the market's own word.

    `dph` is what it takes for an hour now, in millionths of a dollar; 0: it does not say.
    """

    status: Status
    address: Address | None = None
    message: str = ""
    dph: int = 0


@dataclass(frozen=True, slots=True)
class Absent:
    """The market has it no more. `plain`: it said so of this very instance; else a whole listing is without it.

    Of one that is being destroyed it is plain only once the market has taken the order to destroy it: one that answers
    from several places may not have heard of it yet in one of them.

    Of an instance whose id is not known yet: a whole listing has no label of its intent.
    """

    plain: bool


@dataclass(frozen=True, slots=True)
class Connected:
    """Its sshd lets us in."""


@dataclass(frozen=True, slots=True)
class Probed:
    """It was looked at; `why` says what it is not good enough for, empty: it is good."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class CanaryEnded:
    """Its first small job ended; `why` says what was wrong with it, empty: its output is sound."""

    why: str = ""


@dataclass(frozen=True, slots=True)
class Work:
    """A job was given to it."""


@dataclass(frozen=True, slots=True)
class NoWork:
    """It has ended all that it was given, and nothing waits for it."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The host does not answer any more, or answers as somebody else. `blame`: the machine is not rented soon again."""

    why: str
    blame: bool = True


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed: due at `life.next_tick`, and harmless at any other moment."""


@dataclass(frozen=True, slots=True)
class ToldToEnd:
    """Somebody wants it to be over: a person, a drain, a decision. `why` says it in a word or two."""

    why: str


Event = (
    Recorded | Created | Refused | Uncertain | Shown | Absent | Connected | Probed | CanaryEnded | Work | NoWork | Lost
    | Tick | ToldToEnd
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Create:
    """Ask the market for it, once: answered by `Created`, `Refused` or `Uncertain`."""


@dataclass(frozen=True, slots=True)
class LookForLabel:
    """Look through a whole listing for a label of this intent (of any fence): `Created`, or `Absent(plain=False)`."""


@dataclass(frozen=True, slots=True)
class Show:
    """Ask how it is: `Shown`, or `Absent(plain=True)`; an odd answer is no event."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Try to come in by ssh, again and again until the deadline: `Connected` or `Lost`."""

    address: Address


@dataclass(frozen=True, slots=True)
class Probe:
    """Look at driver, memory, disk, network, worker, and install what is missing: `Probed`."""


@dataclass(frozen=True, slots=True)
class RunCanary:
    """Run one small job whose output is checked: `CanaryEnded`."""


@dataclass(frozen=True, slots=True)
class Open:
    """From now on it takes jobs."""


@dataclass(frozen=True, slots=True)
class Close:
    """It takes no jobs from now on; those it has go back, and the connection is given up. Never waited for."""


@dataclass(frozen=True, slots=True)
class Destroy:
    """Ask the market to end it. Whatever is answered proves nothing and is no event: the `Show` behind it tells."""


@dataclass(frozen=True, slots=True)
class End:
    """It is proven gone: settle its bill and take its row away."""


@dataclass(frozen=True, slots=True)
class Exclude:
    """Rent this machine to nobody for so many seconds: it failed."""

    machine_id: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """Tell people: it was asked to end so many times, and still is there, or may be."""

    asked: int
    why: str


Action = (
    Create | LookForLabel | Show | Connect | Probe | RunCanary | Open | Close | Destroy | End | Exclude | Alarm
)  # fmt: skip
