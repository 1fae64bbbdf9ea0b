"""The policy `deadline`: pays only where a deadline would be missed otherwise. Pure; called by `lib.routing.policy`.

All jobs with a deadline are planned onto the free machine, the nearest deadline first, behind what stands there already
(as many average jobs as the lanes hold). Where one would end too late (at p90, with a margin),
the job ahead of it or it itself that frees the most time for a dollar is planned onto the cloud. It goes there as late
as is safe under the limit of jobs a minute, and is planned anew at every decision, so it comes back to the free machine
when that is ahead. A job that the free machine cannot end in time even at once goes to the cloud at once.
Jobs that nothing can end in time come behind those that can be met, and go where they end first. Jobs without a
deadline get what room is left on the free machine, and the cloud only where no live free watcher can ever run them.

The plan trusts the queue with nothing: it knows jobs by id (`Move.picks`), and `Decision.again_in_ms` says when the
next of those that are held back must go. Rented machines that are ready get first what they end in time: their hours
are paid for whatever they do.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from lib.routing.dealing import deal
from lib.routing.places import Place, Places, places
from lib.routing.planning import MARGIN_SECONDS, Plan, Planned, planned
from lib.routing.view import BACKENDS, FREE, METERED, RENTED, UNKNOWN, Condition, Decision, Estimate, IntakeClass, View

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lib.jobqueue.moves import Move

_UNHURRIED_SECONDS: Final = 10.0
"""Jobs at least as long are not sent ahead to the free machine: what stands in a lane cannot be planned anew."""


def decide(view: View) -> Decision:
    """Orders and conditions as `lib.routing.policy.decide` gives them."""
    lengths = [estimate.p50 for job in view.urgent if (estimate := job.estimates.get(FREE))]
    unhurried = sum(lengths) >= _UNHURRIED_SECONDS * len(lengths)
    there = places(view, metal_each=1 if unhurried else None)
    jobs = list(_known(view, there))
    says: set[Condition] = set()
    hands = _Hands()
    plan = planned(view, _not_rented(view, jobs, there, hands))
    for job in plan.metal:
        hands.give(job, job.metal)
    held_back, again = _to_cloud(plan, hands, says)
    for job in plan.late:
        _where_first(job, plan, hands, paying=not held_back)
    waiting = Counter(view.survey.waiting)
    waiting.subtract(job.intake.name for job in jobs)
    # The head of an intake may be a job that waits for its time to go to the cloud.
    waiting.update({job.intake.name: -waiting[job.intake.name] for job in held_back})
    orders = hands.orders() + deal(view, waiting, there.cheapest, says)
    if len(hands.placed) < len(jobs):
        says.add("holding")
    return Decision(tuple(orders), frozenset(says), again)


def _known(view: View, there: Places) -> Iterable[Planned]:
    """The jobs that somebody alive can run, with what they take there."""
    classes = {intake.name: _Class.of(view, there, intake) for intake in view.intakes}
    for urgent in view.urgent:
        known = classes.get(urgent.intake)
        if known is None or (known.metal is None and known.cloud is None):
            continue
        left, own = (urgent.deadline_ms - view.now_ms) / 1000, urgent.estimates
        on_metal = own.get(FREE) or known.on_metal
        on_cloud = (own.get(known.cloud.backend) if known.cloud else None) or known.on_cloud
        yield Planned(urgent, known.intake, left, known.metal, known.cloud, on_metal, on_cloud)


@dataclass(frozen=True, slots=True)
class _Class:
    """What all jobs of an intake have in common: where they may run, and what an average one takes there."""

    intake: IntakeClass
    metal: Place | None
    cloud: Place | None
    on_metal: Estimate
    on_cloud: Estimate

    @classmethod
    def of(cls, view: View, there: Places, intake: IntakeClass) -> _Class:
        """The class of an intake."""
        found = {place.backend: place for place in there.for_intake(intake, BACKENDS)}
        cloud = next((place for backend, place in found.items() if backend in METERED), None)
        on_metal = view.estimates.get((FREE, intake.capability), UNKNOWN)
        on_cloud = view.estimates.get((cloud.backend, intake.capability), UNKNOWN) if cloud else UNKNOWN
        return cls(intake, found.get(FREE), cloud, on_metal, on_cloud)


def _not_rented(view: View, jobs: list[Planned], there: Places, hands: _Hands) -> list[Planned]:
    """Gives rented machines that are ready what they end in time, at no price; the jobs that are left."""
    left: list[Planned] = []
    for job in sorted(jobs, key=lambda each: each.left):
        capability = job.intake.capability
        place = None if job.intake.pin else there.by_class.get((RENTED, capability))
        takes = job.urgent.estimates.get(RENTED) or view.estimates.get((RENTED, capability), UNKNOWN)
        # As if one machine did all that stands there, one after the other.
        if place is None or place.pool.held * takes.p50 + takes.p90 > job.left or not hands.give(job, place):
            left.append(job)
    return left


def _to_cloud(plan: Plan, hands: _Hands, says: set[Condition]) -> tuple[list[Planned], int | None]:
    """Gives the cloud what must go now; what is held back, and when the first of it must go."""
    held_back: list[Planned] = []
    again: float | None = None
    soonest = plan.free_at[0] if plan.free_at else None
    for begin, job in plan.cloud:
        no_way_back = job.metal is None or soonest is None or soonest + job.on_metal.p50 > job.left
        if begin > MARGIN_SECONDS and not no_way_back:
            held_back.append(job)
            again = begin if again is None else min(again, begin)
        elif not hands.give(job, job.cloud):
            held_back.append(job)
            says |= job.cloud.obstacles() if job.cloud else set()
        if job.metal is not None and not hands.holds(job):
            says.add("metal_full")
    return held_back, None if again is None else max(1, int((again - MARGIN_SECONDS / 2) * 1000))


def _where_first(job: Planned, plan: Plan, hands: _Hands, *, paying: bool) -> None:
    """Of a job that nothing can end in time: the place where it is expected to end first, if it has room.

    Not `paying`: the cloud is left to those that it can still end in time.
    """
    metal = plan.metal_seconds + job.on_metal.p50
    if job.metal is None or (paying and job.cloud is not None and job.on_cloud.p50 < metal):
        if not hands.give(job, job.cloud):
            hands.give(job, job.metal)
        return
    hands.give(job, job.metal)
    plan.metal_seconds += job.on_metal.p50 / max(1, len(plan.free_at))


@dataclass(slots=True)
class _Hands:
    """Who gets which place, in the order in which it was given."""

    placed: set[str] = field(default_factory=set)
    _runs: list[tuple[str, Place, int, list[str]]] = field(default_factory=list)

    def holds(self, job: Planned) -> bool:
        """Whether it was given a place."""
        return job.urgent.request_id in self.placed

    def give(self, job: Planned, place: Place | None) -> bool:
        """Give it a place there if there is room."""
        if place is None or place.room() < 1:
            return False
        price = max(place.price, job.on_cloud.worst_price) if place.backend in METERED else 0
        if place.pool.money is not None and price > place.pool.money:
            return False
        place.held += 1
        place.pool.held += 1
        if place.pool.rate is not None:
            place.pool.rate -= 1
        if place.pool.money is not None:
            place.pool.money -= price
        last = self._runs[-1] if self._runs else None
        if last is not None and last[:1] == (job.intake.name,) and last[1] is place and last[2] == price:
            last[3].append(job.urgent.request_id)
        else:
            self._runs.append((job.intake.name, place, price, [job.urgent.request_id]))
        self.placed.add(job.urgent.request_id)
        return True

    def orders(self) -> list[Move]:
        """One for each run of jobs of one intake that go to one place at one price."""
        return [
            replace(place.order(intake, len(picks), tuple(picks)), price=price)
            for intake, place, price, picks in self._runs
        ]
