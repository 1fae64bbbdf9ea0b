"""What a quote is made from and what it says: plain values. `lib.routing.quote` makes one.

Dollars are floats here: these are expectations, and what is booked is counted elsewhere. Times are seconds from now.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Final, Literal

from lib.routing.filling import NEVER, Calendar, Ration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.setting_fields.compute import Policy

LOCAL: Final = "metal"
Z90: Final = 1.2816
"""So many standard deviations above its middle lies what nine of ten do not exceed."""

_HOUR_SECONDS: Final = 3600.0
_SPREAD_LEAST: Final = 0.05
"""No machine is steadier than that from one day to the next, however alike the samples are."""


@dataclass(frozen=True, slots=True)
class Taking:
    """What one job takes somewhere: seconds and dollars, the requests and tokens that it asks of an API.

    `samples` is how many jobs were measured, 0 for a built-in estimate: then all jobs are off by the same factor.
    """

    p50: float
    p90: float
    mean: float
    usd: float = 0.0
    usd_most: float = 0.0
    samples: int = 0
    requests: float = 0.0
    tokens: float = 0.0

    def seconds(self, z: float, in_a_row: float) -> float:
        """Its share in `in_a_row` such jobs that follow each other, `z` deviations above the middle."""
        together = max(1.0, in_a_row) if self.samples else 1.0
        middle = self.mean + (self.p50 - self.mean) / together
        deviation = max((self.p90 - self.p50) / Z90, _SPREAD_LEAST * self.mean)
        return middle + z * deviation * sqrt(1 / together + (1 / self.samples if self.samples else 0))

    def variance_usd(self, jobs: int) -> float:
        """How far the dollars of so many jobs spread."""
        deviation = (self.usd_most - self.usd) / 2
        together = jobs + jobs**2 / self.samples if self.samples else jobs**2
        return deviation**2 * together

    def uses(self) -> dict[str, float]:
        """What of each ration."""
        return {"jobs": 1.0, "requests": self.requests, "tokens": self.tokens, "usd": self.usd}


Hopeless = Literal["nowhere", "past", "not_before", "near", "wish"]
"""Why no way helps some jobs: no backend can run them; their own deadline has passed, or comes before they may run, or
is nearer than they take at p90, all else aside; or the deadline of the whole is."""


@dataclass(frozen=True, slots=True)
class Group:
    """Equal jobs, and what one takes on each backend that it may run on. `deadline` is in seconds from now.

    `lost` says why their own deadline is missed in every way; `first` are the ids of the first ones, to name them by.
    """

    count: int
    takes: Mapping[str, Taking]
    deadline: float | None = None
    lost: Hopeless | None = None
    first: tuple[str, ...] = ()

    def alone(self) -> float:
        """Seconds of one at p90 where it is done soonest, all else aside."""
        return min((taking.seconds(Z90, 1) for taking in self.takes.values()), default=NEVER)


@dataclass(frozen=True, slots=True)
class Backend:
    """What there is of one: slots, how many jobs may wait before each, its limits, and when what is there ends.

    Of rented machines each is a slot: `begins` says of each in how many seconds it can, the soonest first (empty: all
    at `busy`), `hourly` are its dollars an hour, from now until `idle` seconds after its last job. The first `own` cost
    nothing.
    """

    slots: int
    waiting: float = 0.0
    rations: tuple[Ration, ...] = ()
    busy: float = 0.0
    hourly: float = 0.0
    idle: float = 0.0
    begins: tuple[float, ...] = ()
    own: int = 0

    def calendar(self) -> Calendar:
        """All of it, unused."""
        return Calendar(list(self._begins), self.waiting, self.rations)

    def rent(self, calendar: Calendar) -> float:
        """What the machines of this calendar cost that were given a job, in dollars."""
        if not self.hourly:
            return 0.0
        unused = Counter(self._begins)
        # As many times as it begins at a moment that is an end too, a machine was given nothing.
        unused &= Counter(calendar.free)
        used = Counter(calendar.free) - unused
        # Those of one's own are used first, so they are the first to end.
        paid = sorted(used.elements())[self.own :]
        return sum(end + self.idle for end in paid) * self.hourly / _HOUR_SECONDS

    @property
    def _begins(self) -> tuple[float, ...]:
        return self.begins or (self.busy,) * self.slots


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run them: on these backends, dealt out by this policy."""

    name: str
    backends: tuple[str, ...]
    policy: Policy = "local-first"


@dataclass(frozen=True, slots=True)
class Row:
    """What one way comes to. Seconds and dollars are (p50, p90); seconds that never come are infinite.

    `jobs` are those of each backend as expected, `impossible` how many have no place in this way at all, `late` how
    many miss their deadline at p90. A risk is None where nothing was asked for.
    """

    way: Way
    jobs: Mapping[str, int]
    seconds: tuple[float, float]
    usd: tuple[float, float]
    impossible: int = 0
    late: int = 0
    deadline_risk: float | None = None
    budget_risk: float | None = None
    keeps_deadline: bool = True
    keeps_budget: bool = True

    @property
    def risk(self) -> float | None:
        """That deadline or budget is missed; certain where a job has no place, for it is never done."""
        known = [risk for risk in (self.deadline_risk, self.budget_risk) if risk is not None]
        if known and self.impossible:
            return 1.0
        kept = 1.0
        for risk in known:
            kept *= 1 - risk
        return 1 - kept if known else None

    @property
    def fits(self) -> bool:
        """Whether all jobs run, within deadline and budget at p90."""
        return not self.impossible and isfinite(self.seconds[1]) and self.keeps_deadline and self.keeps_budget


@dataclass(frozen=True, slots=True)
class Aside:
    """Jobs that no way helps: why, how many, and the ids of the first."""

    why: Hopeless
    jobs: int
    first: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """A row a way, the number of the one to take (None without jobs), why that one, and what was set aside before."""

    rows: tuple[Row, ...]
    recommended: int | None
    reason: str
    aside: tuple[Aside, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the whole is to keep to: seconds from now, dollars. A job's own deadline, when it is nearer, goes first."""

    deadline: float | None = None
    budget: float | None = None
