"""The quote of a plan: its jobs counted in groups as they are read, then priced for each way to run them.

Called by `planning`. The reckoning is `lib.routing.quote`; here it is given what the settings and the queue know, and
what it answers becomes a document. Memory does not grow with the jobs: those of a kind, of sizes that are alike and
with deadlines that are near each other are one group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from job_runner.service.compute import backends, offers
from job_runner.service.known import Known
from lib.clock import iso
from lib.job_sizes import size_bucket, size_of
from lib.jobqueue import capability_of
from lib.jobqueue.moves import PRIORITY_RANK
from lib.routing.estimates import Estimates
from lib.routing.quote import quote
from lib.routing.quoted import Group, Quote, Wish
from lib.routing.view import BACKENDS, RENTED
from lib.setting_fields.compute import POLICIES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lib.jobqueue import Catalogue, JobSpec
    from lib.redisqueue.keys import Priority
    from lib.routing.estimates import Kind
    from lib.routing.quoted import Hopeless, Row
    from lib.setting_fields.compute import Policy
    from lib.settings import Settings

GROUPS_MOST: Final = 100
"""More deadlines than these are reckoned together, each as the earliest of its group."""

_DEADLINE_STEP_SECONDS: Final = 60

NAMED_MOST: Final = 3
"""So many jobs of those that no way helps are named; more would hide the rest."""

_LOST: Final[tuple[Hopeless, ...]] = ("past", "not_before", "near")
"""In the place of a deadline they stand as -1, -2 and so on, so that they are groups of their own."""


NO_CAP: Final = (
    "nothing that costs is rented without BUDGET_PER_DAY_USD, which is not set: the quote has no such machine"
)
"""Of jobs that could run on a machine of the market."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user wants to keep to; `policy` None means every one that there is."""

    deadline: datetime | None = None
    budget_usd: float | None = None
    policy: Policy | None = None


_Seen = tuple[tuple[str, ...], tuple[str, ...], "Kind"]
"""Where jobs that are alike may run, where of these they could, and what they take on the first."""

_AWAITED: Final = tuple(name for name in BACKENDS if name != RENTED)
"""What a job waits for that nobody could run now: nobody rents a machine for it alone."""


class _Key(NamedTuple):
    """What the jobs of a group have in common.

    `deadline` is Unix seconds in whole steps, None for none, and below 0 for one that no way meets.
    """

    priority: Priority
    task: str
    bucket: int
    backends: tuple[str, ...]
    deadline: int | None


@dataclass(slots=True)
class _Sums:
    """The jobs of one group: how many, how large, where they stand in the plan, the nearest deadline, the first ids."""

    count: int = 0
    size: float = 0.0
    place: int = 0
    deadline: float | None = None
    first: list[str] = field(default_factory=list)

    def add(self, other: _Sums) -> None:
        self.count += other.count
        self.size += other.size
        self.place += other.place
        known = [each for each in (self.deadline, other.deadline) if each is not None]
        self.deadline = min(known, default=None)
        self.first = [*self.first, *other.first][:NAMED_MOST]


@dataclass(slots=True)
class Quoting:
    """Counts jobs, then quotes them; deadlines are looked at from `now`."""

    settings: Settings
    catalogue: Catalogue
    known: Known = field(default_factory=Known)
    estimates: Estimates = field(default_factory=Estimates)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    _offers: Mapping[str, frozenset[str]] = field(init=False)
    _seen: dict[tuple[str, str | None, bool, int], _Seen] = field(default_factory=dict)
    _groups: dict[tuple[object, ...], _Sums] = field(default_factory=dict)
    _jobs: int = 0
    _step: int = _DEADLINE_STEP_SECONDS

    def __post_init__(self) -> None:
        self._offers = offers(self.settings, self.known)

    def count(self, spec: JobSpec) -> tuple[tuple[str, ...], float, float]:
        """One job more: where it may run, and the seconds and dollars that it takes on the first of these."""
        task, pin, size = spec.task, spec.backend, size_of(spec)
        bucket = size_bucket(size)
        # What a job needs depends on its task, and of speech on who speaks.
        alike = task, pin, spec.speaker is None, bucket
        seen = self._seen.get(alike)
        if seen is None:
            where, offered = self._allowed(spec)
            seen = self._seen[alike] = where, offered, self.estimates.kind(task, where[0], bucket)
        where, offered, kind = seen
        if spec.deadline is None:
            # A plain tuple here, which is equal to a key and made in a third of the time: this is done once a row.
            key: tuple[object, ...] = (spec.priority, task, bucket, offered, None)
            sums = self._groups.get(key) or self._groups.setdefault(key, _Sums())
        else:
            deadline = spec.deadline.timestamp()
            lost = self._lost(spec, deadline, size, offered)
            sums = self._before(deadline, lost, (spec.priority, task, bucket, offered))
        if sums.count < NAMED_MOST:
            sums.first.append(spec.request_id)
        sums.count += 1
        sums.size += size
        sums.place += self._jobs
        self._jobs += 1
        return where, *kind.expected(size)

    def _lost(self, spec: JobSpec, deadline: float, size: float, offered: tuple[str, ...]) -> Hopeless | None:
        """Why no way meets its deadline."""
        left = deadline - self.now.timestamp()
        if left <= 0:
            return "past"
        if spec.run_after is not None and spec.deadline is not None and spec.deadline <= spec.run_after:
            return "not_before"
        takes = {name: self.estimates.taking(spec.task, name, size) for name in offered}
        return "near" if takes and Group(1, takes).alone() > left else None

    def _before(self, deadline: float, lost: Hopeless | None, alike: tuple[object, ...]) -> _Sums:
        """The group of the jobs with such a deadline, which knows the nearest."""
        sums = self._groups.get((*alike, self._slot(deadline, lost)))
        if sums is None:
            if len(self._groups) >= GROUPS_MOST:
                self._coarsen()
            sums = self._groups.setdefault((*alike, self._slot(deadline, lost)), _Sums())
        if sums.deadline is None or deadline < sums.deadline:
            sums.deadline = deadline
        return sums

    def offered(self, spec: JobSpec, backend: str) -> bool:
        """Whether somebody alive, or a watcher with these settings, could run it there."""
        kind = self.catalogue.get(spec.task)
        return kind is not None and capability_of(kind, spec) in self._offers.get(backend, frozenset())

    def _allowed(self, spec: JobSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Where it may run, and on which of these it could: where nobody offers anything, it waits for all of them."""
        found = tuple(name for name in ((spec.backend,) if spec.backend else BACKENDS) if self.offered(spec, name))
        return found or ((spec.backend,) if spec.backend else _AWAITED), found

    def _slot(self, deadline: float | None, lost: Hopeless | None) -> int | None:
        if lost is not None:
            return -1 - _LOST.index(lost)
        return None if deadline is None else max(0, int(deadline) // self._step)

    def _coarsen(self) -> None:
        """Wider steps between deadlines, until there is room for some groups more."""
        before = len(self._groups) + 1
        while GROUPS_MOST // 2 < len(self._groups) < before:
            before = len(self._groups)
            self._step *= 2
            merged: dict[tuple[object, ...], _Sums] = {}
            for key, sums in self._groups.items():
                lost = _lost_of(_Key._make(key))
                merged.setdefault((*key[:-1], self._slot(sums.deadline, lost)), _Sums()).add(sums)
            self._groups = merged

    def quote(self, asked: Asked, now: datetime) -> Quote:
        """The rows of all ways."""
        begin = now.timestamp()
        found = [(_Key._make(key), sums) for key, sums in self._groups.items()]
        found.sort(key=lambda item: (PRIORITY_RANK[item[0].priority], item[1].place / item[1].count))
        groups = [self._group(key, sums, begin) for key, sums in found]
        deadline = None if asked.deadline is None else asked.deadline.timestamp() - begin
        policies = POLICIES if asked.policy is None else (asked.policy,)
        wish = Wish(deadline, self._budget(asked))
        return quote(groups, backends(self.settings, self.known, now), wish, policies)

    @property
    def waiting(self) -> int:
        """How many jobs the queue has already."""
        return int(self.known.document.get("totals", {}).get("outstanding", 0))

    @property
    def notes(self) -> tuple[str, ...]:
        """What keeps the quote from having a row that somebody may look for."""
        could = any(RENTED in _Key._make(key).backends for key in self._groups)
        no_cap = self.settings.budget_per_day_usd is None
        return (NO_CAP,) if could and self.settings.vast_api_key and no_cap else ()

    def _budget(self, asked: Asked) -> float | None:
        if asked.budget_usd is not None or self.settings.budget_per_day_usd is None:
            return asked.budget_usd
        spent = self.known.document.get("spend", {})
        taken = float(spent.get("today_usd", 0.0)) + float(spent.get("reserved_usd", 0.0))
        return max(0.0, self.settings.budget_per_day_usd - taken)

    def _group(self, key: _Key, sums: _Sums, begin: float) -> Group:
        size = sums.size / sums.count
        takes = {name: self.estimates.taking(key.task, name, size) for name in key.backends}
        deadline = None if sums.deadline is None else sums.deadline - begin
        return Group(sums.count, takes, deadline, _lost_of(key), tuple(sums.first))


def _lost_of(key: _Key) -> Hopeless | None:
    return None if key.deadline is None or key.deadline >= 0 else _LOST[-1 - key.deadline]


ASIDE: Final[Mapping[Hopeless, str]] = {
    "nowhere": "no backend that is alive or set up here can run such a job, so it would wait; it is in no row",
    "past": "the deadline has passed already, so every way is late",
    "not_before": "the deadline is not after run_after, so every way is late",
    "near": "the deadline is nearer than such a job takes at p90 by itself, so every way is late",
    "wish": "such a job takes longer at p90 by itself than until --deadline, so every way is late",
}
"""Why no way helps some jobs."""


def document(found: Quote, asked: Asked, now: datetime, known: Known, notes: Sequence[str] = ()) -> dict[str, Any]:
    """The JSON of a quote."""
    rows = [_row(row, now, recommended=i == found.recommended) for i, row in enumerate(found.rows)]
    return {
        "start_at": iso(now),
        "deadline": None if asked.deadline is None else iso(asked.deadline),
        "budget_usd": asked.budget_usd,
        "redis": known.answered,
        "rows": rows,
        "recommended": None if found.recommended is None else rows[found.recommended]["way"],
        "reason": found.reason,
        "aside": [
            {"why": each.why, "says": ASIDE[each.why], "jobs": each.jobs, "first": list(each.first[:NAMED_MOST])}
            for each in found.aside
        ],
        "notes": list(notes),
        "risk_is": "the chance, by a normal distribution through p50 and p90, that a deadline or the budget is missed",
    }


def _row(row: Row, now: datetime, *, recommended: bool) -> dict[str, Any]:
    p50, p90 = row.seconds
    return {
        "way": row.way.name,
        "policy": row.way.policy if len(row.way.backends) > 1 else None,
        "jobs": dict(row.jobs),
        "impossible": row.impossible,
        "seconds": {"p50": _rounded(p50), "p90": _rounded(p90)},
        "finish_at": {"p50": _moment(now, p50), "p90": _moment(now, p90)},
        "usd": {"p50": round(row.usd[0], 6), "p90": round(row.usd[1], 6)},
        "late": row.late,
        "risk": None if row.risk is None else round(row.risk, 4),
        "deadline_risk": None if row.deadline_risk is None else round(row.deadline_risk, 4),
        "budget_risk": None if row.budget_risk is None else round(row.budget_risk, 4),
        "fits": row.fits,
        "recommended": recommended,
    }


def _rounded(seconds: float) -> float | None:
    return round(seconds, 1) if isfinite(seconds) else None


def finish(now: datetime, seconds: float) -> datetime | None:
    """The moment; None for one that never comes, or not within the years that a calendar has."""
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return None


def _moment(now: datetime, seconds: float) -> str | None:
    moment = finish(now, seconds)
    return None if moment is None else iso(moment.astimezone(UTC))
