"""Rented machines in a simulation: the same decision as the real fleet's, on a clock that is given to it.

A machine is paid for from the wish to its end, works on one job at a time once it has started, and may be taken away:
what it ran goes back then. `job_watcher.simulation.running` calls it after each round of the conductor.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from lib.market import deciding
from lib.market.figures import Figures
from lib.market.instance import Instance, InstanceState
from lib.redisqueue.keys import parse_intake
from lib.routing.view import FREE, RENTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from job_watcher.simulation.scenario import Scenario, SimRenting
    from job_watcher.simulation.world import Standing, World

_HOUR: Final = 3600.0
_LOOKED_AT: Final = 200
"""So many jobs of an intake say what those behind them take."""

_MOMENT: Final = 0.001
_SLOWEST_START: Final = 2.0
"""A start may take so many times what it takes on the average."""


@dataclass(slots=True)
class Rented:
    """One machine, in seconds of the virtual clock; `busy` is how long it worked, `micro` what it cost."""

    name: str
    created: float
    ready: float | None = None
    ended: float | None = None
    busy: float = 0.0
    jobs: int = 0
    micro: int = 0
    reserved: int = 0
    why: str = ""
    lost: bool = False
    quiet_since: float = 0.0

    @property
    def idle_share(self) -> float:
        """Which part of what was paid for was no work, its start included."""
        paid = (self.ended or self.created) - self.created
        return 1 - self.busy / paid if paid > 0 else 0.0


@dataclass(slots=True)
class Fleet:
    """All machines of a run. `at` plans an event: (seconds, what, machine)."""

    scenario: Scenario
    renting: SimRenting
    world: World
    seed: int
    at: Callable[[float, str, Rented | None], None]
    machines: list[Rented] = field(default_factory=list)
    _wakes: float = -1.0
    _worked: bool = False

    def __post_init__(self) -> None:
        self.world.open_lanes(RENTED, self.renting.offers)

    @property
    def now(self) -> float:
        """Seconds."""
        return self.world.now_ms / 1000

    def living(self) -> list[Rented]:
        """Those that are paid for now."""
        return [each for each in self.machines if each.ended is None]

    def happen(self, what: str, machine: Rented | None) -> None:
        """An event that was planned."""
        if machine is None or machine.ended is not None:
            return
        if what == "ready":
            machine.ready = machine.quiet_since = self.now
            self.world.join(machine.name, {RENTED: 1}, {RENTED: self.renting.offers})
            if self.renting.preempted > 0:
                chance = random.Random(f"{self.seed}:{machine.name}")  # noqa: S311 - a simulation, and repeatable
                self.at(self.now + chance.expovariate(self.renting.preempted / _HOUR), "lost", machine)
        elif what == "lost":
            machine.lost = True
            self._end(machine, "taken away")
        elif what == "over":
            self._end(machine, "the longest time for a machine is over")

    def round(self) -> bool:
        """Decide once; whether a machine was given back, so that jobs may have come back."""
        self._note_quiet()
        demand = self._demand()
        fleet = [self._instance(each) for each in self.living()]
        found = deciding.decide(demand, fleet, self._limits(), self._figures())
        for _ in range(found.rent):
            if not self._rent(found.why):
                break
        released = [each for each in self.living() if each.name in found.release]
        for machine in released:
            self._end(machine, found.why or "idle")
        self._look_again(demand)
        return bool(released)

    def close(self) -> None:
        """Nothing happens any more: whatever still runs is given back now."""
        for machine in self.living():
            self._end(machine, "nothing is left to do")

    def worked(self, name: str, seconds: float) -> None:
        """A machine ended a job."""
        for machine in self.machines:
            if machine.name == name:
                machine.busy += seconds
                machine.jobs += 1

    def _rent(self, why: str) -> bool:
        worst = round(self.renting.hourly * self.renting.max_runtime / _HOUR)
        if not self.world.ledger.reserve(worst):
            return False
        machine = Rented(f"rented-{len(self.machines) + 1}", self.now, reserved=worst, why=why)
        self.machines.append(machine)
        self.at(self.now + self.renting.starts, "ready", machine)
        self.at(self.now + self.renting.max_runtime, "over", machine)
        return True

    def _end(self, machine: Rented, why: str) -> None:
        machine.ended, machine.why = self.now, f"{machine.why}; {why}" if machine.why else why
        machine.micro = round(self.renting.hourly * (self.now - machine.created) / _HOUR)
        for slot in self.world.slots:
            if slot.watcher == machine.name and slot.busy is not None:
                machine.busy += (self.world.now_ms - slot.since_ms) / 1000
        self.world.leave(machine.name)
        self.world.ledger.settle(machine.reserved, machine.micro)

    def _note_quiet(self) -> None:
        held = sum(count for lane, count in self.world.held.items() if lane.startswith(f"lane:{RENTED}:"))
        works = bool(held) or any(self._waiting())
        if works or self._worked:
            for machine in self.living():
                machine.quiet_since = self.now
        self._worked = works

    def _waiting(self) -> Iterator[list[Standing]]:
        for name, standing in self.world.intakes.items():
            parsed = parse_intake(name)
            if standing and parsed.capability in self.renting.offers and parsed.pin in {"", RENTED}:
                yield [each for each in standing.values() if RENTED in each.job.backends()]

    def _demand(self) -> deciding.Demand:
        groups: list[deciding.Waiting] = []
        oldest = 0.0
        for standing in self._waiting():
            if not standing:
                continue
            oldest = max(oldest, self.now - standing[0].job.arrival)
            groups.append(self._group(standing))
        held = [
            each for lane, many in self.world.lanes.items() if lane.startswith(f"lane:{RENTED}:") for _, each in many
        ]
        held += [slot.busy for slot in self.world.slots if slot.backend == RENTED and slot.busy is not None]
        seconds = _mean([each.job.seconds[RENTED] for each in held])
        quiet = [self.now - each.quiet_since for each in self.living() if each.ready is not None]
        limits = self.scenario.limits
        return deciding.Demand(
            self.now,
            tuple(groups),
            oldest,
            len(held),
            seconds,
            min(quiet, default=0.0),
            self._capacity(FREE),
            replace(self._capacity("cloud"), per_second=limits.jobs_per_minute / 60),
        )

    def _group(self, standing: Sequence[Standing]) -> deciding.Waiting:
        seconds: defaultdict[str, list[float]] = defaultdict(list)
        price: list[int] = []
        for each in standing[:_LOOKED_AT]:
            for backend in each.job.backends():
                if self.scenario.runs(each.job, backend):
                    seconds[backend].append(each.job.seconds[backend])
            price.append(each.job.micro.get("cloud", 0))
        dated = [each.job.deadline for each in standing if each.job.deadline is not None]
        return deciding.Waiting(
            len(standing),
            _mean(seconds[RENTED]),
            _mean(seconds[FREE]) if seconds[FREE] else None,
            _mean(seconds["cloud"]) if seconds["cloud"] else None,
            round(_mean(price)),
            min(dated) - self.now if dated else None,
        )

    def _capacity(self, backend: str) -> deciding.Capacity:
        slots = self.scenario.slots(backend)
        if not slots:
            return deciding.Capacity()
        left = 0.0
        for slot in self.world.slots:
            if slot.backend == backend and slot.busy is not None:
                left += max(0.0, slot.busy.job.seconds[backend] - (self.world.now_ms - slot.since_ms) / 1000)
        for lane, many in self.world.lanes.items():
            if lane.startswith(f"lane:{backend}:"):
                left += sum(each.job.seconds[backend] for _, each in many)
        return deciding.Capacity(slots, left / slots)

    def _limits(self) -> deciding.Limits:
        renting, ledger = self.renting, self.world.ledger
        left = None if ledger.cap is None else max(0, ledger.cap - ledger.spent - ledger.reserved)
        return deciding.Limits(
            renting.max_instances,
            renting.batch_min,
            renting.batch_max_wait,
            renting.idle_grace,
            renting.max_runtime,
            left,
            self.scenario.policy == "local-first",
        )

    def _figures(self) -> Figures:
        return Figures(self.renting.starts, self.renting.starts * _SLOWEST_START, self.renting.hourly)

    def _instance(self, machine: Rented) -> Instance:
        busy = any(slot.watcher == machine.name and slot.busy for slot in self.world.slots)
        state: InstanceState = "loading" if machine.ready is None else "draining" if busy else "idle"
        since = machine.created if machine.ready is None else machine.quiet_since
        over = machine.created + self.renting.max_runtime
        return Instance(
            machine.name,
            "",
            "simulated",
            state,
            since,
            over,
            over,
            dph=self.renting.hourly,
            market_id=machine.name,
            created_at=machine.created,
            jobs_done=machine.jobs,
        )

    def _look_again(self, demand: deciding.Demand) -> None:
        """Time alone may change the decision: a batch has waited long enough, or a machine has been idle so long."""
        times: list[float] = []
        if demand.waiting and demand.oldest < self.renting.batch_max_wait:
            times.append(self.now + self.renting.batch_max_wait - demand.oldest)
        times += [
            each.quiet_since + self.renting.idle_grace
            for each in self.living()
            if each.ready is not None and not demand.waiting and not demand.held
        ]
        # Events lie on whole milliseconds: one later is surely past.
        coming = [time + _MOMENT for time in times if time + _MOMENT > self.now]
        if coming and not self.now < self._wakes <= min(coming):
            self._wakes = min(coming)
            self.at(self._wakes, "look", None)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
