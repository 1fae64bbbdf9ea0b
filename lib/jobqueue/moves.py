"""What the conductor and the queue say to each other: who is there, what waits, what is to be moved. No I/O.

All times are milliseconds, all money is millionths of a dollar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lib.job_rate import jobs_in_window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.jobqueue.protocol import ForeignEntry, Started

PRIORITY_RANK: Final = {"high": 0, "normal": 1, "low": 2}
"""Which priority goes before which: the conductor deals places by it, and `why` counts by it."""


@dataclass(frozen=True, slots=True)
class Move:
    """An order of the conductor: up to `count` jobs from the head of an intake to a lane.

    `limit` is the lane's room, `pool_limit` that of all lanes in `pool` together, both counting what waits
    and what runs. With `rated` each job uses one of the limit a minute; `price` is reserved for each, in millionths
    of a dollar. `picks` are the ids of the jobs that are meant, wherever they stand in the intake; empty: its head.
    """

    intake: str
    lane: str
    count: int
    limit: int
    pool: tuple[str, ...]
    pool_limit: int
    rated: bool = False
    price: int = 0
    picks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RateState:
    """How the cloud's limits stood at the end of the last move, by the server's clock.

    `left` is how many jobs the limit a minute still grants and `next_ms` when it grants the next one after those
    (None: none is taken). `closed` is for how many ms the API is still closed for everybody, by capability.
    `spent` is what today's ledger has, settled and reserved together, in millionths of a dollar.
    """

    left: int
    next_ms: int | None = None
    closed: Mapping[str, int] = field(default_factory=dict)
    spent: int = 0


UNLIMITED: Final = RateState(left=1_000_000)
"""Where no limit a minute is kept."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What stood in the queue at the end of the last move: entries by relative name.

    `due_in_ms` is None when nothing is delayed; `newest` the id of the inlet's newest entry or empty,
    `now_ms` the server's time.
    """

    waiting: dict[str, int]
    held: dict[str, int]
    due_in_ms: int | None
    newest: str
    rate: RateState = UNLIMITED
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What every move keeps to: at most `jobs` rated ones in any `window_ms`, and the budget of the day.

    `budget` is in millionths of a dollar, None where no cap is set.
    """

    jobs: int
    window_ms: int
    budget: int | None = None

    @classmethod
    def per_minute(cls, rate: float, budget: int | None = None) -> RateLimits:
        """At most `rate` jobs in any minute; below 1 one job in 60 / rate seconds."""
        return cls(*jobs_in_window(rate), budget)


@dataclass(frozen=True, slots=True)
class OwnSlot:
    """A free slot of the leader's own watcher, which a move may fill at once from these lanes.

    `suspects` is how many suspects may be leased into it; `ahead`: its body begins later than its lease.
    """

    lanes: tuple[str, ...]
    suspects: int
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class Moved:
    """How many each order moved, and which entries must be adopted before they can move.

    `started` is what was leased into the leader's own slot.
    """

    counts: tuple[int, ...]
    foreign: tuple[ForeignEntry, ...]
    survey: Survey
    started: Started


@dataclass(frozen=True, slots=True)
class LiveWatcher:
    """A watcher whose session stands: what it can run, and how many at once on each backend.

    `offers` are the capabilities by backend, `capabilities` all of them together.
    """

    name: str
    session: str
    capabilities: frozenset[str]
    slots: dict[str, int]
    last_seen_ms: int
    offers: Mapping[str, frozenset[str]] | None = None

    def slots_for(self, backend: str, capability: str) -> int:
        """How many jobs that need this it can run at once there; 0 where it offers none of it."""
        offered = self.capabilities if self.offers is None else self.offers.get(backend, frozenset())
        return self.slots.get(backend, 0) if capability in offered else 0
