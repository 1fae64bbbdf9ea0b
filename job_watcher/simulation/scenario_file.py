"""Reads what is to be simulated from a YAML file; docs/how-to/simulate.md explains every field.

All mistakes of a file are told at once, each with its place. Called by `job-watcher simulate`; pydantic and YAML are
heavy, so import this module only then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from job_watcher.simulation.scenario import Scenario, SimJob, SimLimits, SimRenting, SimWatcher
from lib.errors import InvalidJobsError, Problem
from lib.jobfile.document import read_document
from lib.money import MICRO
from lib.redisqueue.keys import DEFAULT_BACKLOG, PINS, Pin, Priority
from lib.setting_fields.compute import Policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lib.jobfile.document import Document

MAX_JOBS: Final = 100_000
_MAX_BYTES: Final = 10_000_000

Owned = Literal["metal", "cloud"]
Backend = Literal["metal", "vast", "cloud"]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,120}$")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
BacklogName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9_-]{0,62}[a-z0-9])?$")]
Seconds = Annotated[float, Field(gt=0, le=10_000_000)]
Moment = Annotated[float, Field(ge=0, le=10_000_000)]
Dollars = Annotated[float, Field(ge=0, le=1_000_000)]
Chance = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class WatcherPart(_Part):
    """A watcher."""

    name: Name
    slots: dict[Owned, Annotated[int, Field(ge=0, le=1000)]] = Field(min_length=1)
    offers: dict[Owned, list[Word]] = Field(default_factory=dict)

    def made(self) -> SimWatcher:
        """Of a backend without `offers` it offers `any`."""
        slots: dict[str, int] = {backend: count for backend, count in self.slots.items() if count}
        offers: dict[str, frozenset[str]] = {backend: frozenset(words) for backend, words in self.offers.items()}
        return SimWatcher(self.name, slots, {name: offers.get(name, frozenset({"any"})) for name in slots})


class LimitsPart(_Part):
    """The settings of the same meaning, with their defaults."""

    metal_queue_max: Annotated[int, Field(ge=1, le=10_000)] = 2
    cloud_queue_max: Annotated[int, Field(ge=1, le=10_000)] = 5
    cloud_jobs_per_minute: Annotated[float, Field(ge=0.001, le=100_000)] = 2.0
    budget_per_day_usd: Dollars | None = None


class RentedPart(_Part):
    """Machines that may be rented: the settings of the same meaning, and what a machine is like."""

    usd_per_hour: Annotated[float, Field(gt=0, le=1000)]
    starts: Annotated[float, Field(ge=0, le=86_400)] = 240.0
    max_instances: Annotated[int, Field(ge=1, le=100)] = 1
    idle_grace: Annotated[float, Field(ge=0, le=86_400)] = 75.0
    max_runtime: Annotated[float, Field(ge=60, le=2_592_000)] = 7200.0
    batch_min: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    batch_max_wait: Annotated[float, Field(ge=0, le=604_800)] = 300.0
    preempted_per_hour: Annotated[float, Field(ge=0, le=3600)] = 0.0
    offers: list[Word] = Field(default=["speech"], min_length=1)

    def made(self) -> SimRenting:
        """In millionths of a dollar."""
        return SimRenting(
            round(self.usd_per_hour * MICRO),
            self.starts,
            self.max_instances,
            self.idle_grace,
            self.max_runtime,
            self.batch_min,
            self.batch_max_wait,
            self.preempted_per_hour,
            frozenset(self.offers),
        )


class JobsPart(_Part):
    """A job, or `count` equal ones."""

    id: Name
    seconds: dict[Backend, Seconds] = Field(min_length=1)
    count: Annotated[int, Field(ge=1, le=MAX_JOBS)] = 1
    at: Moment = 0.0
    every: Moment = 0.0
    task: Word = "sleep"
    capability: Word = "any"
    backlog: BacklogName = DEFAULT_BACKLOG
    priority: Priority = "normal"
    pin: Pin = ""
    usd: dict[Backend, Dollars] = Field(default_factory=dict)
    worst_usd: dict[Backend, Dollars] = Field(default_factory=dict)
    spread: Annotated[float, Field(ge=0, le=2)] = 0.0
    deadline: Seconds | None = None
    fails: dict[Backend, Chance] = Field(default_factory=dict)
    max_attempts: Annotated[int, Field(ge=1, le=1000)] = 3

    @model_validator(mode="after")
    def _knows_its_backends(self) -> Self:
        if self.pin and self.pin not in self.seconds:
            raise ValueError(f"pin: {self.pin} has no entry in seconds (pins are: {', '.join(filter(None, PINS))})")
        for field in ("usd", "worst_usd", "fails"):
            strange = set(getattr(self, field)) - set(self.seconds)
            if strange:
                raise ValueError(f"{field}: {', '.join(sorted(strange))} has no entry in seconds")
        return self

    def made(self) -> list[SimJob]:
        """One or more jobs; `deadline` counts from when each comes."""
        digits = len(str(self.count))
        found: list[SimJob] = []
        for number in range(self.count):
            at = self.at + number * self.every
            found.append(
                SimJob(
                    id=self.id if self.count == 1 else f"{self.id}-{number + 1:0{digits}}",
                    seconds=_by_name(self.seconds),
                    arrival=at,
                    task=self.task,
                    capability=self.capability,
                    backlog=self.backlog,
                    priority=self.priority,
                    pin=self.pin,
                    micro={backend: round(usd * MICRO) for backend, usd in self.usd.items()},
                    worst_micro={backend: round(usd * MICRO) for backend, usd in self.worst_usd.items()},
                    spread=self.spread,
                    deadline=None if self.deadline is None else at + self.deadline,
                    fails=_by_name(self.fails),
                    max_attempts=self.max_attempts,
                )
            )
        return found


class ScenarioFile(_Part):
    """The whole file."""

    jobs: list[JobsPart] = Field(min_length=1)
    watchers: list[WatcherPart] = Field(min_length=1)
    limits: LimitsPart = LimitsPart()
    rented: RentedPart | None = None
    policy: Policy = "local-first"
    title: Annotated[str, Field(min_length=1, max_length=200)] = "simulation"

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for what, names in (("jobs", [job.id for job in self.jobs]), ("watchers", [w.name for w in self.watchers])):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what}: named twice: {', '.join(twice)}")
        if self.rented is not None and self.limits.budget_per_day_usd is None:
            raise ValueError("rented: nothing is rented without limits.budget_per_day_usd")
        total = sum(job.count for job in self.jobs)
        if total > MAX_JOBS:
            raise ValueError(f"jobs: {total} are too many; at most {MAX_JOBS} can be simulated")
        return self


def read(path: Path) -> Scenario:
    """The scenario of a file.

    Raises:
        InvalidInputError: it cannot be read, or is too large.
        InvalidJobsError: it is no YAML, or fields are wrong; all of them are named.
    """
    found = read_document(path, _MAX_BYTES)
    if isinstance(found, tuple):
        raise InvalidJobsError(found, undone="simulated")
    try:
        told = ScenarioFile.model_validate(found.value, strict=False)
    except ValidationError as exc:
        problems = tuple(_problem(path, found, _place(each["loc"]), _words(each["msg"])) for each in exc.errors())
        raise InvalidJobsError(problems, undone="simulated") from exc
    jobs = [job for part in told.jobs for job in part.made()]
    limits = told.limits
    budget = None if limits.budget_per_day_usd is None else round(limits.budget_per_day_usd * MICRO)
    return Scenario(
        tuple(jobs),
        tuple(watcher.made() for watcher in told.watchers),
        SimLimits(limits.metal_queue_max, limits.cloud_queue_max, limits.cloud_jobs_per_minute, budget=budget),
        told.policy,
        told.title,
        None if told.rented is None else told.rented.made(),
    )


def _by_name(figures: Mapping[Backend, float]) -> dict[str, float]:
    return {str(backend): figure for backend, figure in figures.items()}


def _problem(path: Path, document: Document, place: str, message: str) -> Problem:
    return Problem(str(path), document.line_of(place), place, message)


def _place(parts: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts).lstrip(".")


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")
