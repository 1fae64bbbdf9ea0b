"""When what waits will be done: the queue's own jobs, by what average jobs took, on the watchers that are alive.

Nothing is said where nothing was measured or nobody is alive: a rate or a guess would promise what nobody keeps. It is
light, since the status starts with it; `lib.routing.quote` reckons.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from job_runner.service.compute import backends, offered_by
from lib.routing.estimates import averages
from lib.routing.quote import Group, Way, Wish, row_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from job_runner.service.known import Known
    from lib.redisqueue.place import Place
    from lib.settings import Settings


@dataclass(frozen=True, slots=True)
class Eta:
    """Seconds from now, not exceeded with a chance of one half and of nine in ten."""

    p50: float
    p90: float

    def document(self) -> dict[str, float]:
        """As JSON has it."""
        return {"p50_sec": round(self.p50, 1), "p90_sec": round(self.p90, 1)}

    def part(self, share: float) -> Eta:
        """When this share of it is done, as jobs end one after the other."""
        return Eta(self.p50 * share, self.p90 * share)


def eta_of(known: Known, settings: Settings, jobs: Mapping[str, int] | None = None) -> Eta | None:
    """When so many jobs, by what they need, will be done; by default all that wait or run."""
    counts = known.document.get("by_capability", {}) if jobs is None else jobs
    here = offered_by(known)
    takes = averages(known.measured)
    groups: list[Group] = []
    for capability, count in counts.items():
        able = {name for name, offered in here.items() if capability in offered and known.slots(name)}
        found = {name: takes[name, capability] for name in able if (name, capability) in takes}
        if not found:
            return None
        groups.append(Group(count, found))
    if not groups:
        return None
    there = {name: backend for name, backend in backends(settings, known, datetime.now(UTC)).items() if name in here}
    row = row_of(groups, there, Way("all", tuple(there), settings.conductor_policy), Wish())
    return Eta(*row.seconds) if isfinite(row.seconds[1]) else None


def line_of(place: Place, known: Known) -> int:
    """How many jobs go before one at this place, as far as can be told: those of other lines take turns with it."""
    totals = known.document["totals"]
    before = place.higher + place.ahead * (1 + place.beside)
    return min(before, max(0, int(totals["queued"]) - 1))


def eta_in_line(capability: str, before: int, known: Known, settings: Settings) -> Eta | None:
    """When a job with so many before it will be done; those that run now go first."""
    running = int(known.document["totals"]["leased"])
    return eta_of(known, settings, {capability: before + running + 1})


def with_eta(known: Known, settings: Settings) -> dict[str, Any]:
    """The document of the status, with the time of all that waits or runs."""
    found = eta_of(known, settings)
    return {**known.document, "eta": None if found is None else found.document()}
