"""Decides which waiting jobs get which places: pure, so that the simulator can drive it too.

`decide` looks at how many jobs wait in each intake, how much room the live watchers leave, and what quota and budget
still grant, and returns the orders for the next move with what a person should hear. The queue checks every order
again when it carries it out.

`local-first` keeps Rules A and B of the contract: the free machine while it holds fewer than METAL_QUEUE_MAX jobs a
slot, else the cloud while fewer than CLOUD_QUEUE_MAX wait there and the limits grant one, else hold. `cheapest` pays
only for what no live free watcher can ever run. `deadline` is told in `lib.routing.deadline`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lib.routing import deadline
from lib.routing.dealing import deal
from lib.routing.places import Place, places
from lib.routing.view import BACKENDS, Condition, Decision, IntakeClass, LaneClass, Limits, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lib.jobqueue.moves import LiveWatcher

__all__ = ["BACKENDS", "Decision", "IntakeClass", "LaneClass", "Limits", "View", "decide", "is_offered"]


def decide(view: View) -> Decision:
    """Orders for the next move, no lane beyond its room, and what is true meanwhile.

    Of each priority the order that stands last is that of the intake served last.
    """
    if view.policy == "deadline" and view.urgent:
        return deadline.decide(view)
    there = places(view)
    says: set[Condition] = set()

    def local_first(intake: IntakeClass) -> list[Place]:
        return there.for_intake(intake, BACKENDS)

    def cheapest(intake: IntakeClass) -> list[Place]:
        return there.cheapest(intake)

    orders = deal(view, view.survey.waiting, local_first if view.policy == "local-first" else cheapest, says)
    return Decision(tuple(orders), frozenset(says))


def is_offered(intake: IntakeClass, watchers: Iterable[LiveWatcher]) -> bool:
    """Whether these watchers have any place for such jobs; else they wait, however empty the lanes are."""
    backends = (intake.pin,) if intake.pin else BACKENDS
    live = list(watchers)
    return any(watcher.slots_for(backend, intake.capability) > 0 for watcher in live for backend in backends)
