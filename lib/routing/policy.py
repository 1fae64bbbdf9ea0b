"""Decides which waiting jobs get which places: pure, so that the simulator can drive it too.

`decide` looks at how many jobs wait in each intake and how much room the live watchers leave, and returns the
orders for the next move. It looks only at the local machine (metal) so far: a further backend adds a rule to
`_places` and changes nothing else. The queue checks every order again when it carries it out.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Final

from lib.jobqueue.protocol import PRIORITY_RANK, LiveWatcher, Move, Survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_METAL_PINS: Final = ("", "metal")

BACKENDS: Final = ("metal",)
"""Those that there are by now; a job that is pinned elsewhere waits."""


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
    """METAL_QUEUE_MAX: jobs on metal, waiting and running together, for each live slot."""

    metal_queue_max: int


@dataclass(frozen=True, slots=True)
class View:
    """Everything a decision is made from.

    `served` names, by priority, the intake that was given a place last: the one after it comes first now. An intake
    that waits is so passed over at most once by each of its equals, however many of them come and go.
    """

    survey: Survey
    intakes: tuple[IntakeClass, ...]
    lanes: tuple[LaneClass, ...]
    watchers: tuple[LiveWatcher, ...]
    limits: Limits
    served: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Place:
    lane: str
    limit: int
    pool: tuple[str, ...]
    pool_limit: int
    held: int


def decide(view: View) -> list[Move]:
    """Orders for the next move: high priority first, intakes of one priority by turns, no lane beyond its room.

    Of each priority the order that stands last is that of the intake served last.
    """
    places = _places(view)
    pool_held = {place.pool: sum(view.survey.held.get(lane, 0) for lane in place.pool) for place in places.values()}
    orders: list[Move] = []
    ranked = sorted(view.intakes, key=lambda intake: (PRIORITY_RANK[intake.priority], intake.name))
    for priority, group in groupby(ranked, key=lambda intake: intake.priority):
        waiting = [intake for intake in group if view.survey.waiting.get(intake.name, 0) > 0]
        turns = _rotated(waiting, view.served.get(priority, ""))
        for intake, count in _share(turns, view.survey.waiting, places, pool_held).items():
            place = places[_lane_for(intake, places)]
            orders.append(Move(intake.name, place.lane, count, place.limit, place.pool, place.pool_limit))
    return orders


def is_offered(intake: IntakeClass, watchers: Iterable[LiveWatcher]) -> bool:
    """Whether these watchers have any place for such jobs; else they wait, however empty the lanes are."""
    return intake.pin in _METAL_PINS and any(
        intake.capability in watcher.capabilities and watcher.slots.get("metal", 0) > 0 for watcher in watchers
    )


def _places(view: View) -> dict[str, _Place]:
    """The lanes that have room limits now: metal's, as wide as its live slots say."""
    pool = tuple(lane.name for lane in view.lanes if lane.backend == "metal")
    slots_for: defaultdict[str, int] = defaultdict(int)
    total = 0
    for watcher in view.watchers:
        slots = watcher.slots.get("metal", 0)
        total += slots
        for capability in watcher.capabilities:
            slots_for[capability] += slots
    factor = view.limits.metal_queue_max
    return {
        lane.capability: _Place(
            lane.name, factor * slots_for[lane.capability], pool, factor * total, view.survey.held.get(lane.name, 0)
        )
        for lane in view.lanes
        if lane.backend == "metal"
    }


def _lane_for(intake: IntakeClass, places: Mapping[str, _Place]) -> str:
    if intake.pin not in _METAL_PINS or intake.capability not in places:
        return ""
    return intake.capability


def _rotated(intakes: Sequence[IntakeClass], served: str) -> list[IntakeClass]:
    """By name, beginning behind the one that was served last."""
    return sorted(intakes, key=lambda intake: (intake.name <= served, intake.name))


def _share(
    intakes: Iterable[IntakeClass],
    waiting: Mapping[str, int],
    places: dict[str, _Place],
    pool_held: dict[tuple[str, ...], int],
) -> dict[IntakeClass, int]:
    """Deals the room out one job a turn, so that no backlog of a million hides one of ten."""
    left = {intake: waiting[intake.name] for intake in intakes if _lane_for(intake, places)}
    given: dict[IntakeClass, int] = {}
    while left:
        for intake in list(left):
            place = places[_lane_for(intake, places)]
            room = min(place.limit - place.held, place.pool_limit - pool_held[place.pool])
            # Alone in its turn an intake takes all it can at once: the deal need not go job by job.
            count = min(left[intake], room, left[intake] if len(left) == 1 else 1)
            if count < 1:
                del left[intake]
                continue
            # Taken out and put in again, so that the intake served last stands last.
            given[intake] = given.pop(intake, 0) + count
            place.held += count
            pool_held[place.pool] += count
            left[intake] -= count
            if left[intake] == 0:
                del left[intake]
    return given
