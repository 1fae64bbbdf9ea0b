"""What a decision is made from, and what it is: plain values that the conductor fills in, or the simulator."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.jobqueue import Capability
    from lib.jobqueue.moves import LiveWatcher, Move, Survey
    from lib.setting_fields.compute import Policy

FREE: Final = "metal"
"""The backend that costs nothing."""

RENTED: Final = "vast"
"""The backend that is paid for by the hour: a job more or less there costs nothing."""

RENTED_CAPABILITIES: Final[frozenset[Capability]] = frozenset({"speech", "speaker"})
"""What is done on rented machines: nothing but speech."""

BACKENDS: Final = ("metal", "vast", "cloud")
"""In the order in which they are used: what is free, what is paid for by the hour anyway, what costs by the job."""

METERED: Final = frozenset({"cloud"})
"""Paid for by the job: the limit of jobs a minute, closings of an API and money at the move hold for these alone."""

Condition = Literal["metal_full", "near_limit", "rate_paused", "api_closed", "budget_reached", "holding"]
"""What is true at a decision and a person wants to know.

`metal_full`: a job that metal could run was offered to the cloud, since metal has no room. `near_limit`: the limit of
jobs a minute has nothing left. `rate_paused`: for that reason a job was not given to the cloud. `api_closed`: the same,
since the API is closed for everybody. `budget_reached`: the same, since the day's budget is. `holding`: a job that
somebody alive offers a place for has none now.
"""


@dataclass(frozen=True, slots=True)
class IntakeClass:
    """What the policy knows of an intake by its name."""

    name: str
    priority: str
    capability: str
    pin: str


@dataclass(frozen=True, slots=True)
class LaneClass:
    """What the policy knows of a lane by its name."""

    name: str
    backend: str
    capability: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings say.

    `metal_queue_max`: jobs on metal, waiting and running together, for each live slot. `cloud_queue_max`: jobs that
    wait for a slot of the cloud. `budget`: of the day, in millionths of a dollar, None without a cap. In any
    `cloud_window_ms` the cloud gets `cloud_jobs` at most: the queue keeps to it, and only `deadline` plans with it.
    """

    metal_queue_max: int
    cloud_queue_max: int = 5
    budget: int | None = None
    cloud_jobs: int = 1_000_000
    cloud_window_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a job takes somewhere: seconds at p50 and p90; millionths of a dollar, expected and at worst."""

    p50: float
    p90: float
    price: int = 0
    worst_price: int = 0


UNKNOWN: Final = Estimate(p50=60.0, p90=300.0)
"""What a job takes of which nothing was measured: rather too much, so that a deadline is met and not saved on."""


@dataclass(frozen=True, slots=True)
class Urgent:
    """A waiting job with a deadline (Unix ms), and what it takes on each backend, as far as that is known."""

    request_id: str
    intake: str
    deadline_ms: int
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class View:
    """Everything a decision is made from.

    `served` names, by priority, the intake that was given a place last: the one after it comes first now. An intake
    that waits is so passed over at most once by each of its equals, however many of them come and go.
    `estimates` are those of an average job of a (backend, capability). `urgent` are the waiting jobs with a deadline,
    the nearest first, and `now_ms` is the server's time; only the policy `deadline` looks at these.
    """

    survey: Survey
    intakes: tuple[IntakeClass, ...]
    lanes: tuple[LaneClass, ...]
    watchers: tuple[LiveWatcher, ...]
    limits: Limits
    served: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = "local-first"
    estimates: Mapping[tuple[str, str], Estimate] = field(default_factory=dict)
    urgent: tuple[Urgent, ...] = ()
    now_ms: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """Orders for the next move, and what is true meanwhile.

    `again_in_ms`: decide again after so many milliseconds even if nothing happens until then; None: no need to.
    """

    orders: tuple[Move, ...] = ()
    says: frozenset[Condition] = frozenset()
    again_in_ms: int | None = None
