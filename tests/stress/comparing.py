"""The same course on the simulator's clock: it must have decided the same. And the timeline as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from lib.routing.timeline import Bar, draw
from tests.stress.simulated import stress

if TYPE_CHECKING:
    from tests.stress.course import Seen

LATE_SECONDS: Final = 2.0
"""A job of a watcher begins and ends some milliseconds late, each time: two jobs a slot are a few seconds at most."""


def differences(seen: Seen) -> list[str]:
    """Where the simulator, given what each nap takes, decides otherwise: another job, another place, another time."""
    planned = {nap.name: nap.seconds for nap in sorted(seen.naps, key=lambda each: _number(each.name))}
    simulated = stress(planned, per_minute=seen.plan.rate)
    really = sorted((round(nap.moved, 1), nap.name, nap.backend) for nap in seen.naps)
    found = []
    foretold = {given.job: (given.at_seconds, given.backend) for given in simulated.given}
    for moved, name, backend in really:
        at, where = foretold.get(name, (-1.0, "nowhere"))
        if where != backend or abs(at - moved) > LATE_SECONDS:
            found.append(f"{name} went to {backend} at {moved} s; the simulator gives it to {where} at {at:.1f} s")
    said = [line.text for line in seen.lines if line.text in {text for _, text in simulated.lines}]
    wanted = [text for _, text in simulated.lines]
    if said != wanted:
        found.append(f"it said {said}; the simulator says {wanted}")
    return found


def picture(seen: Seen) -> str:
    """A Gantt chart by backend, as SVG."""
    bars, free = [], dict[str, list[float]]()
    for nap in sorted(seen.naps, key=lambda each: each.started):
        slots = free.setdefault(nap.backend, [])
        slot = next((at for at, until in enumerate(slots) if until <= nap.started + 0.05), len(slots))
        slots[slot : slot + 1] = [nap.ended]
        status: Literal["done", "failed"] = "done" if nap.status == "done" else "failed"
        bars.append(Bar(nap.backend, f"{nap.backend} {slot + 1}", nap.started, nap.ended, nap.name, status))
    return draw(bars, f"{len(bars)} naps: metal 1, cloud {seen.plan.rate:g} a minute")


def _number(name: str) -> int:
    return int(name.rpartition(" ")[2])
