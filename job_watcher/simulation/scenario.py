"""What is simulated: jobs, watchers and limits. Plain values, filled in from a file, from history, or by a test.

Times are seconds from the start of the simulation, money is millionths of a dollar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import TYPE_CHECKING, Final

from lib.job_rate import TRANSIT_MS
from lib.jobqueue.moves import RateLimits
from lib.redisqueue.keys import DEFAULT_BACKLOG, PINS, IntakeName, Pin, Priority
from lib.routing.view import RENTED, Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lib.setting_fields.compute import Policy

_Z90: Final = 1.2816


@dataclass(frozen=True, slots=True)
class SimJob:
    """A job as it arrives.

    `seconds` is what it is expected to take on each backend (its median), `micro` what it costs there. What it really
    takes is drawn around that: `spread` is the standard deviation of the logarithm, 0 for exactly so. `deadline` is
    the moment by which it should be done. `fails` is how likely an attempt fails, by backend.
    """

    id: str
    seconds: Mapping[str, float]
    arrival: float = 0.0
    task: str = "sleep"
    capability: str = "any"
    backlog: str = DEFAULT_BACKLOG
    priority: Priority = "normal"
    pin: Pin = ""
    micro: Mapping[str, int] = field(default_factory=dict)
    worst_micro: Mapping[str, int] = field(default_factory=dict)
    spread: float = 0.0
    deadline: float | None = None
    fails: Mapping[str, float] = field(default_factory=dict)
    max_attempts: int = 3

    @property
    def intake(self) -> IntakeName:
        """Where it is queued first; a job that is known to run on one backend only is pinned there."""
        only: Pin = next((pin for pin in PINS if pin in self.seconds), "") if len(self.seconds) == 1 else ""
        return IntakeName(self.backlog, self.priority, self.capability, self.pin or only)

    def backends(self) -> tuple[str, ...]:
        """Where it may run, as far as it itself says."""
        return tuple(name for name in self.seconds if not self.pin or name == self.pin)

    def estimate(self, backend: str) -> Estimate:
        """What the conductor knows of it beforehand."""
        middle = self.seconds[backend]
        price = self.micro.get(backend, 0)
        worst = self.worst_micro.get(backend, price)
        return Estimate(middle, middle * exp(_Z90 * self.spread), price, max(price, worst))


@dataclass(frozen=True, slots=True)
class SimWatcher:
    """A watcher: how many jobs at once on each backend, and which capabilities it offers there."""

    name: str
    slots: Mapping[str, int]
    offers: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class SimLimits:
    """The settings of the same names; `budget` in millionths of a dollar a day, None without a cap."""

    metal_queue_max: int = 2
    cloud_queue_max: int = 5
    jobs_per_minute: float = 2.0
    transit_ms: int = TRANSIT_MS
    budget: int | None = None

    def rate(self) -> RateLimits:
        """The window that every move keeps to."""
        real = RateLimits.per_minute(self.jobs_per_minute, self.budget)
        return RateLimits(real.jobs, real.window_ms - TRANSIT_MS + self.transit_ms, self.budget)


@dataclass(frozen=True, slots=True)
class SimRenting:
    """Machines that may be rented: the settings of the same names, and what a machine is like.

    `hourly` is millionths of a dollar, storage included. `starts` is seconds from the wish to the first job;
    `preempted` how often in an hour it is taken away, on the average. A machine runs one job at a time.
    """

    hourly: int
    starts: float = 240.0
    max_instances: int = 1
    idle_grace: float = 75.0
    max_runtime: float = 7200.0
    batch_min: int = 1
    batch_max_wait: float = 300.0
    preempted: float = 0.0
    offers: frozenset[str] = frozenset({"speech"})


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a simulation is made of, but for the seed."""

    jobs: tuple[SimJob, ...]
    watchers: tuple[SimWatcher, ...]
    limits: SimLimits = field(default_factory=SimLimits)
    policy: Policy = "local-first"
    title: str = "simulation"
    renting: SimRenting | None = None

    def slots(self, backend: str) -> int:
        """Of all watchers together."""
        return sum(watcher.slots.get(backend, 0) for watcher in self.watchers)

    def runs(self, job: SimJob, backend: str) -> bool:
        """Whether some watcher, or a machine that could be rented, could run it there."""
        if backend not in job.backends():
            return False
        if backend == RENTED and self.renting is not None and job.capability in self.renting.offers:
            return True
        return any(
            watcher.slots.get(backend, 0) and job.capability in watcher.offers.get(backend, frozenset())
            for watcher in self.watchers
        )
