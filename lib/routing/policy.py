"""Decides which waiting jobs get which places: pure, so that the simulator can drive it too.

`decide` looks at how many jobs wait in each intake, how much room the live watchers leave, and what quota and budget
still grant, and returns the orders for the next move with what a person should hear. The queue checks every order
again when it carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lib.jobqueue.moves import PRIORITY_RANK, LiveWatcher, Move
from lib.routing.places import Place, Places, by_priority, places
from lib.routing.view import BACKENDS, Condition, Decision, IntakeClass, LaneClass, Limits, View

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["BACKENDS", "Decision", "IntakeClass", "LaneClass", "Limits", "View", "decide", "is_offered"]

_METAL: Final = "metal"


def decide(view: View) -> Decision:
    """Orders for the next move: high priority first, intakes of one priority by turns, no lane beyond its room.

    Of each priority the order that stands last is that of the intake served last.
    """
    there = places(view)
    orders: list[Move] = []
    says: set[Condition] = set()
    for priority, group in by_priority(list(view.intakes), PRIORITY_RANK).items():
        waiting = [intake for intake in group if view.survey.waiting.get(intake.name, 0) > 0]
        turns = _rotated(waiting, view.served.get(priority, ""))
        orders += _share(turns, view.survey.waiting, there, says)
    return Decision(tuple(orders), frozenset(says))


def is_offered(intake: IntakeClass, watchers: Iterable[LiveWatcher]) -> bool:
    """Whether these watchers have any place for such jobs; else they wait, however empty the lanes are."""
    backends = (intake.pin,) if intake.pin else BACKENDS
    live = list(watchers)
    return any(watcher.slots_for(backend, intake.capability) > 0 for watcher in live for backend in backends)


def _rotated(intakes: Sequence[IntakeClass], served: str) -> list[IntakeClass]:
    """By name, beginning behind the one that was served last."""
    return sorted(intakes, key=lambda intake: (intake.name <= served, intake.name))


def _share(
    intakes: Iterable[IntakeClass], waiting: Mapping[str, int], there: Places, says: set[Condition]
) -> list[Move]:
    """Deals the room out one job a turn, so that no backlog of a million hides one of ten.

    The free machine first; what has no room there is offered to what is paid for.
    """
    choices = {intake: there.for_intake(intake, BACKENDS) for intake in intakes}
    left = {intake: waiting[intake.name] for intake, found in choices.items() if found}
    given: dict[tuple[IntakeClass, str], tuple[Place, int]] = {}
    while left:
        for intake in list(left):
            place = _open(choices[intake], says)
            if place is None:
                says.add("holding")
                del left[intake]
                continue
            # Alone in its turn an intake takes all it can at once: the deal need not go job by job.
            count = min(left[intake], place.room(), left[intake] if len(left) == 1 else 1)
            # Taken out and put in again, so that the intake served last stands last.
            _, so_far = given.pop((intake, place.lane), (place, 0))
            given[intake, place.lane] = (place, so_far + count)
            place.take(count)
            left[intake] -= count
            if left[intake] == 0:
                del left[intake]
    return [place.order(intake.name, count) for (intake, _), (place, count) in given.items()]


def _open(choices: Sequence[Place], says: set[Condition]) -> Place | None:
    """The first of these places with room; what stands in the way of the others is said."""
    metal_full = False
    for place in choices:
        if metal_full and place.backend != _METAL:
            says.add("metal_full")
        if place.room() > 0:
            return place
        says |= place.obstacles()
        metal_full = metal_full or place.backend == _METAL
    return None
