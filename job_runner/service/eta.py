"""When what waits will be done: the queue's own jobs, by what average jobs took, on the watchers that are alive.

Nothing is said where nothing was measured or nobody is alive: a rate or a guess would promise what nobody keeps. It is
light, since the status starts with it; `lib.routing.quote` reckons.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from job_runner.service.compute import backends, machines_ready, offered_by
from job_runner.service.known import known
from lib.routing.estimates import averages
from lib.routing.quote import row_of
from lib.routing.quoted import Group, Way, Wish
from lib.routing.view import RENTED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from job_runner.service.known import Known
    from lib.redisqueue.place import Place
    from lib.redisqueue.queue import Queue
    from lib.redisqueue.reader import Found
    from lib.routing.quoted import Backend
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


def eta_of(known_now: Known, settings: Settings, jobs: Mapping[str, int] | None = None) -> Eta | None:
    """When so many jobs, by what they need, will be done; by default all that wait or run."""
    counts = known_now.document.get("by_capability", {}) if jobs is None else jobs
    here = offered_by(known_now)
    takes = averages(known_now.measured)
    groups: list[Group] = []
    for capability, count in counts.items():
        able = {name for name, offered in here.items() if capability in offered and known_now.slots(name)}
        found = {name: takes[name, capability] for name in able if (name, capability) in takes}
        if not found:
            return None
        groups.append(Group(count, found))
    if not groups:
        return None
    there = {
        name: _as_it_is(name, backend, known_now)
        for name, backend in backends(settings, known_now, datetime.now(UTC)).items()
        if name in here
    }
    row = row_of(groups, there, Way("all", tuple(there), settings.conductor_policy), Wish())
    return Eta(*row.seconds) if isfinite(row.seconds[1]) else None


def _as_it_is(name: str, backend: Backend, known_now: Known) -> Backend:
    """Of rented machines those that take jobs: whether more will be rented is not decided yet."""
    if name != RENTED:
        return backend
    ready = max(1, min(backend.slots, machines_ready(known_now)))
    return replace(backend, slots=ready, begins=(0.0,) * ready)


def line_of(place: Place, known_now: Known) -> int:
    """How many jobs go before one at this place, as far as can be told: those of other lines take turns with it."""
    totals = known_now.document["totals"]
    before = place.higher + place.ahead * (1 + place.beside)
    return min(before, max(0, int(totals["queued"]) - 1))


def eta_in_line(capability: str, before: int, known_now: Known, settings: Settings) -> Eta | None:
    """When a job with so many before it will be done; those that run now go first."""
    running = int(known_now.document["totals"]["leased"])
    return eta_of(known_now, settings, {capability: before + running + 1})


@dataclass(frozen=True, slots=True)
class InLine:
    """Where a waiting job stands: how many go before it, as far as can be told, and when it will be done."""

    before: int
    eta: Eta | None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"position": self.before + 1, "eta": None if self.eta is None else self.eta.document()}


async def in_line(queue: Queue, settings: Settings, found: Sequence[Found]) -> dict[str, InLine]:
    """The waiting ones among these jobs, by id.

    Only the first of each stream is looked up, and the last one reckoned: those between are taken to follow each other.
    """
    streams: dict[str, list[Found]] = {}
    # The same job may stand in two files.
    for each in {one.request_id: one for one in found}.values():
        if each.row is not None and each.row.state == "queued" and each.row.entry:
            streams.setdefault(each.row.stream, []).append(each)
    if not streams:
        return {}
    from lib.redisqueue.keys import is_intake, parse_intake, parse_lane  # noqa: PLC0415 - for waiting jobs alone
    from lib.redisqueue.place import place_of  # noqa: PLC0415 - as above

    now_known = await known(queue, settings)
    lines: dict[str, InLine] = {}
    for stream, waiting in streams.items():
        waiting.sort(key=_entry_of)
        row = waiting[0].row
        assert row is not None  # noqa: S101 - chosen so above
        place = await place_of(queue, waiting[0].request_id, row)
        first = line_of(place, now_known) if is_intake(stream) else place.ahead
        capability = (parse_intake(stream) if is_intake(stream) else parse_lane(stream)).capability
        last = first + len(waiting) - 1
        end = eta_in_line(capability, last, now_known, settings)
        for before, each in enumerate(waiting, start=first):
            lines[each.request_id] = InLine(before, None if end is None else end.part((before + 1) / (last + 1)))
    return lines


def _entry_of(found: Found) -> tuple[int, int]:
    assert found.row is not None  # noqa: S101 - only such are sorted
    milliseconds, _, number = found.row.entry.partition("-")
    return int(milliseconds), int(number or 0)


def with_eta(known_now: Known, settings: Settings) -> dict[str, Any]:
    """The document of the status, with the time of all that waits or runs."""
    found = eta_of(known_now, settings)
    return {**known_now.document, "eta": None if found is None else found.document()}
