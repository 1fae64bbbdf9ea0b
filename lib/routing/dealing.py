"""Deals the room of lanes out among the intakes of one priority, one job a turn. Pure; called by the policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.jobqueue.moves import PRIORITY_RANK
from lib.routing.places import Place, by_priority
from lib.routing.view import FREE, METERED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lib.jobqueue.moves import Move
    from lib.routing.view import Condition, IntakeClass, View

    Choices = Callable[[IntakeClass], Sequence[Place]]


def deal(view: View, waiting: Mapping[str, int], choices: Choices, says: set[Condition]) -> list[Move]:
    """Orders for the heads of the intakes: high priority first, intakes of one priority by turns.

    `choices` says where an intake's jobs may run, the best first. Of each priority the order that stands last is that
    of the intake served last. What stands in the way of a job is added to `says`.
    """
    orders: list[Move] = []
    for priority, group in by_priority(list(view.intakes), PRIORITY_RANK).items():
        there = [intake for intake in group if waiting.get(intake.name, 0) > 0]
        orders += _share(_rotated(there, view.served.get(priority, "")), waiting, choices, says)
    return orders


def _rotated(intakes: Sequence[IntakeClass], served: str) -> list[IntakeClass]:
    """By name, beginning behind the one that was served last."""
    return sorted(intakes, key=lambda intake: (intake.name <= served, intake.name))


def _share(
    intakes: Sequence[IntakeClass], waiting: Mapping[str, int], choices: Choices, says: set[Condition]
) -> list[Move]:
    """Deals the room out one job a turn, so that no backlog of a million hides one of ten."""
    open_to = {intake.name: found for intake in intakes if (found := choices(intake))}
    left = {name: waiting[name] for name in open_to}
    given: dict[tuple[str, str], tuple[Place, int]] = {}
    while left:
        for name in list(left):
            place, room = _open(open_to[name], says)
            if place is None:
                says.add("holding")
                del left[name]
                continue
            # Alone in its turn an intake takes all it can at once: the deal need not go job by job.
            count = min(left[name], room) if len(left) == 1 else 1
            # Taken out and put in again, so that the intake served last stands last.
            _, so_far = given.pop((name, place.lane), (place, 0))
            given[name, place.lane] = (place, so_far + count)
            place.take(count)
            if count == left[name]:
                del left[name]
            else:
                left[name] -= count
    return [place.order(name, count) for (name, _), (place, count) in given.items()]


def _open(choices: Sequence[Place], says: set[Condition]) -> tuple[Place | None, int]:
    """The first of these places with room, and how much; what stands in the way of the others is said."""
    metal_full = False
    for place in choices:
        if metal_full and place.backend in METERED:
            says.add("metal_full")
        room = place.room()
        if room > 0:
            return place, room
        if place.pool.rate is not None:
            says |= place.obstacles()
        metal_full = metal_full or place.backend == FREE
    return None, 0
