"""Runs a scenario: virtual time jumps from event to event, and at each the conductor decides as it does on a queue.

`simulate` is what commands and tests call. The same seed gives the same run, and what a job takes does not depend on
the policy: two policies are compared on the same draw.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from dataclasses import dataclass
from math import exp
from statistics import mean, median
from typing import TYPE_CHECKING, Final, Literal

from job_watcher.retrying import Again, RetryPolicy
from job_watcher.simulation.fleet import Fleet, Rented
from job_watcher.simulation.telling import Told
from job_watcher.simulation.world import DAY_MS, Slot, Standing, World
from lib.errors import TemporaryError
from lib.redisqueue.keys import parse_intake, parse_lane
from lib.routing.policy import decide
from lib.routing.view import RENTED, Decision, Estimate, IntakeClass, LaneClass, Limits, Urgent, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from job_watcher.simulation.scenario import Scenario, SimJob

URGENT_MAX: Final = 500
"""So many jobs with a deadline, the nearest first, are planned at once."""

_AVERAGE_OF: Final = 1_000
_TELL_EACH: Final = 100


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a job, in seconds of the virtual clock."""

    job: str
    backend: str
    slot: str
    begin: float
    end: float
    status: Literal["done", "failed", "retried"]


@dataclass(frozen=True, slots=True)
class Given:
    """A job was moved to a backend, at so many seconds."""

    at_seconds: float
    job: str
    backend: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job came out; `ended` is None when it never ended, `took` is what its last attempt took."""

    job: SimJob
    status: Literal["waiting", "done", "failed"]
    ended: float | None
    micro: int
    backend: str = ""

    @property
    def missed(self) -> bool:
        """Whether it had a deadline and was not done by then."""
        if self.job.deadline is None:
            return False
        return self.status != "done" or self.ended is None or self.ended > self.job.deadline


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that happened."""

    scenario: Scenario
    jobs: tuple[Ended, ...]
    attempts: tuple[Attempt, ...]
    given: tuple[Given, ...]
    lines: tuple[tuple[float, str], ...]
    idle_while_waiting: float = 0.0
    seed: int = 0
    machines: tuple[Rented, ...] = ()

    @property
    def makespan(self) -> float:
        """When the last job ended, in seconds."""
        return max((ended.ended for ended in self.jobs if ended.ended is not None), default=0.0)

    @property
    def micro(self) -> int:
        """What all of it cost, in millionths of a dollar."""
        return sum(ended.micro for ended in self.jobs) + self.rent

    @property
    def rent(self) -> int:
        """What the rented machines cost of that."""
        return sum(machine.micro for machine in self.machines)


@dataclass(frozen=True, slots=True)
class Drawn:
    """What an attempt really takes, in seconds and in millionths of a dollar, and whether it fails."""

    seconds: float
    micro: int
    fails: bool


def drawn(job: SimJob, backend: str, seed: int, attempt: int = 1) -> Drawn:
    """Draw an attempt: how much work a job turns out to be is the same wherever it runs, and is paid for."""
    chance = random.Random(f"{seed}:{job.id}:{attempt}")  # noqa: S311 - a simulation, and repeatable
    factor = exp(job.spread * chance.gauss(0, 1))
    fails = chance.random() < job.fails.get(backend, 0.0)
    if fails:
        factor *= chance.random()
    return Drawn(job.seconds[backend] * factor, round(job.micro.get(backend, 0) * factor), fails)


def simulate(scenario: Scenario, *, seed: int = 0, progress: Callable[[int], None] = lambda _: None) -> Run:
    """Run it to the end: until all jobs have ended, or nothing will ever happen again.

    `progress` hears now and then how many attempts have ended.
    """
    return _Simulation(scenario, seed, progress).run()


class _Simulation:
    def __init__(self, scenario: Scenario, seed: int, progress: Callable[[int], None]) -> None:
        self.scenario, self.seed, self._progress = scenario, seed, progress
        self.world = World(scenario)
        self.told = Told()
        self.attempts: list[Attempt] = []
        self.given: list[Given] = []
        self.idle = 0.0
        self._retry = RetryPolicy(max_crashes=3, chance=random.Random(seed).random)  # noqa: S311 - as above
        self._served: dict[str, str] = {}
        self._estimates = class_estimates(scenario)
        self._of_job = {job.id: {each: job.estimate(each) for each in job.backends()} for job in scenario.jobs}
        self._events: list[tuple[int, int, str, object]] = []
        self._numbers = 0
        self._wake_ms: int | None = None
        self._standing = {job.id: Standing(job, str(job.intake)) for job in scenario.jobs}
        self._intakes: dict[str, IntakeClass] = {}
        self.fleet = (
            None if scenario.renting is None else Fleet(scenario, scenario.renting, self.world, seed, self._plan)
        )
        self._lanes = tuple(LaneClass(name, *_parts(name)) for name in self.world.held)
        limits = scenario.limits
        self._limits = Limits(
            limits.metal_queue_max,
            limits.cloud_queue_max,
            limits.budget,
            self.world.rate.jobs,
            self.world.rate.window_ms,
        )

    def run(self) -> Run:
        for standing in self._standing.values():
            self._at(round(standing.job.arrival * 1000), "arrives", standing)
        while self._events:
            at_ms = self._events[0][0]
            self.idle += self._idle_now() * (at_ms - self.world.now_ms) / 1000
            self.world.now_ms = at_ms
            while self._events and self._events[0][0] == at_ms:
                self._happen(*heapq.heappop(self._events)[2:])
            self._round()
            self._rent()
        ends = tuple(
            Ended(
                each.job,
                each.status,
                None if each.ended_ms is None else each.ended_ms / 1000,
                each.spent,
                each.moved[-1][1] if each.moved else "",
            )
            for each in self._standing.values()
        )
        lines = tuple((at_ms / 1000, text) for at_ms, text in self.told.lines)
        machines: tuple[Rented, ...] = ()
        if self.fleet is not None:
            self.fleet.close()
            machines = tuple(self.fleet.machines)
        return Run(self.scenario, ends, tuple(self.attempts), tuple(self.given), lines, self.idle, self.seed, machines)

    def _plan(self, seconds: float, what: str, about: Rented | None) -> None:
        self._at(round(seconds * 1000), what, about)

    def _rent(self) -> None:
        """Rent and give back as the fleet decides; what comes back is dealt out anew."""
        if self.fleet is not None and self.fleet.round():
            self._round()

    def _at(self, at_ms: int, what: str, about: object) -> None:
        self._numbers += 1
        heapq.heappush(self._events, (max(at_ms, self.world.now_ms), self._numbers, what, about))

    def _happen(self, what: str, about: object) -> None:
        if what == "wake":
            if self._wake_ms == self.world.now_ms:
                self._wake_ms = None
        elif isinstance(about, Standing):
            self.world.accept(about)
        elif isinstance(about, Slot):
            self._end(about)
        elif self.fleet is not None:
            self.fleet.happen(what, about if isinstance(about, Rented) else None)

    def _round(self) -> None:
        """As the conductor's: move until nothing moves, then see when to look again."""
        self._lease()
        while True:
            decision = self._decided()
            if not decision.orders:
                self.told.seen(self.world.now_ms, decision)
                break
            moved = self.world.move(decision.orders)
            self.told.fed(self.world.now_ms, decision, [len(each) for each in moved])
            for each in moved:
                self.given += [Given(self.world.now_ms / 1000, one.job.id, one.moved[-1][1]) for one in each]
            self._lease()
            if not any(moved):
                break
        self._wake_again(decision)

    def _wake_again(self, decision: Decision) -> None:
        times = [] if decision.again_in_ms is None else [decision.again_in_ms]
        next_ms = self.world.survey().rate.next_ms
        if "rate_paused" in decision.says and next_ms is not None:
            times.append(next_ms)
        if "budget_reached" in decision.says and (self.world.limits.budget or 0) > 0:
            times.append(DAY_MS - self.world.now_ms % DAY_MS)
        if not times:
            return
        at_ms = self.world.now_ms + max(1, min(times))
        if self._wake_ms is None or self._wake_ms <= self.world.now_ms or at_ms < self._wake_ms:
            self._wake_ms = at_ms
            self._at(at_ms, "wake", None)

    def _decided(self) -> Decision:
        survey = self.world.survey()
        for name in survey.waiting:
            if name not in self._intakes:
                parsed = parse_intake(name)
                self._intakes[name] = IntakeClass(name, parsed.priority, parsed.capability, parsed.pin)
        planning = self.scenario.policy == "deadline"
        decision = decide(
            View(
                survey=survey,
                intakes=tuple(self._intakes.values()),
                lanes=self._lanes,
                watchers=tuple(self.world.watchers),
                limits=self._limits,
                served=self._served,
                policy=self.scenario.policy,
                estimates=self._estimates,
                urgent=self._urgent() if planning else (),
                now_ms=self.world.now_ms,
            )
        )
        self._served |= {parse_intake(order.intake).priority: order.intake for order in decision.orders}
        return decision

    def _urgent(self) -> tuple[Urgent, ...]:
        found = [
            (standing.job.deadline, name, standing)
            for name, waiting in self.world.intakes.items()
            for standing in waiting.values()
            if standing.job.deadline is not None
        ]
        found.sort(key=lambda each: (each[0], each[2].job.id))
        return tuple(
            Urgent(
                standing.job.id,
                name,
                round((deadline or 0) * 1000),
                self._of_job[standing.job.id],
            )
            for deadline, name, standing in found[:URGENT_MAX]
        )

    def _lease(self) -> None:
        for slot, standing in self.world.lease():
            seconds = drawn(standing.job, slot.backend, self.seed, standing.attempts).seconds
            self._at(self.world.now_ms + max(1, round(seconds * 1000)), "ends", slot)

    def _end(self, slot: Slot) -> None:
        standing = slot.busy
        if standing is None:
            return
        job, backend = standing.job, slot.backend
        took = drawn(job, backend, self.seed, standing.attempts)
        status: Literal["done", "failed", "waiting"] = "done"
        if took.fails:
            after = self._retry.after_error(
                TemporaryError("drawn"), attempts_used=standing.attempts - 1, max_attempts=job.max_attempts
            )
            status = "waiting" if isinstance(after, Again) else "failed"
            if isinstance(after, Again):
                self._at(self.world.now_ms + after.delay_ms, "due", standing)
        self.world.end(slot, status, took.micro)
        told: Literal["done", "failed", "retried"] = "retried" if status == "waiting" else status
        self.attempts.append(Attempt(job.id, backend, slot.name, slot.since_ms / 1000, self.world.now_ms / 1000, told))
        if self.fleet is not None and backend == RENTED:
            self.fleet.worked(slot.watcher, (self.world.now_ms - slot.since_ms) / 1000)
        if len(self.attempts) % _TELL_EACH == 0:
            self._progress(len(self.attempts))

    def _idle_now(self) -> int:
        """How many metal slots are free though a job waits that one of them could run."""
        free = [slot for slot in self.world.slots if slot.backend == "metal" and slot.busy is None]
        if not free:
            return 0
        wanted = defaultdict[str, int](int)
        for name, waiting in self.world.intakes.items():
            parsed = parse_intake(name)
            if waiting and parsed.pin in {"", "metal"}:
                wanted[f"lane:metal:{parsed.capability}"] += len(waiting)
        return sum(any(wanted.get(lane) for lane in slot.lanes) for slot in free)


def _parts(lane: str) -> tuple[str, str]:
    parsed = parse_lane(lane)
    return parsed.backend, parsed.capability


def class_estimates(scenario: Scenario) -> Mapping[tuple[str, str], Estimate]:
    """What an average job of a (backend, capability) takes, as measurements would have it."""
    found: defaultdict[tuple[str, str], list[Estimate]] = defaultdict(list)
    for job in scenario.jobs[:_AVERAGE_OF]:
        for backend in job.backends():
            found[backend, job.capability].append(job.estimate(backend))
    return {
        key: Estimate(
            median(each.p50 for each in all_),
            sorted(each.p90 for each in all_)[int(0.9 * (len(all_) - 1))],
            round(mean(each.price for each in all_)),
            max(each.worst_price for each in all_),
        )
        for key, all_ in found.items()
    }
