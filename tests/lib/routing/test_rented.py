"""Rented machines as places: paid for by the hour, so used before the cloud, and free of its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib.jobqueue.moves import LiveWatcher, RateState
from lib.routing.policy import Decision, Limits, View, decide
from lib.routing.view import Estimate, Urgent
from tests.lib.routing.seen_views import intake, lane, view

SPEECH = intake(capability="speech")
LANES = {lane("speech", backend): 0 for backend in ("metal", "vast", "cloud")}
OFFERS = dict.fromkeys(("metal", "vast", "cloud"), frozenset({"speech"}))
NOW_MS = 1_000_000_000


def desk(*, vast: int = 3) -> LiveWatcher:
    """One slot of metal, so many of rented machines, two of the cloud."""
    return LiveWatcher("w", "w:1", frozenset({"speech"}), {"metal": 1, "vast": vast, "cloud": 2}, 0, OFFERS)


def seen(waiting: int, *, vast: int = 3, left: int = 1000, budget: int | None = None, spent: int = 0) -> View:
    """So many jobs wait; the limit a minute has `left`."""
    found = view({SPEECH: waiting}, desk(vast=vast), held=LANES)
    survey = replace(found.survey, rate=RateState(left, spent=spent))
    return replace(found, survey=survey, limits=Limits(2, 5, budget))


def given(decision: Decision) -> dict[str, int]:
    """Backend -> how many jobs are ordered there."""
    return {order.lane.split(":")[1]: order.count for order in decision.orders}


def test_metal_first_then_what_is_rented_then_the_cloud() -> None:
    """A machine that is paid for by the hour costs nothing more with a job; its slots are what goes there at once."""
    assert given(decide(seen(12))) == {"metal": 2, "vast": 3, "cloud": 7}


def test_metal_that_is_full_is_no_word_to_gemini_while_a_rented_machine_has_room() -> None:
    """`M1 is full, trying Gemini` is said when a job is offered to the cloud, not before."""
    assert decide(seen(5)).says == frozenset()
    assert "metal_full" in decide(seen(6)).says


def test_limits_of_the_cloud_are_none_of_a_rented_machines() -> None:
    """Neither the limit a minute nor the budget at the move: its money was reserved when it was rented."""
    found = decide(seen(12, left=0, budget=100, spent=100))
    assert given(found) == {"metal": 2, "vast": 3}
    assert not any(order.rated or order.price for order in found.orders)
    assert {"near_limit", "rate_paused", "holding"} <= found.says


def test_without_a_machine_that_is_ready_all_is_as_before() -> None:
    """No slots, no place."""
    assert given(decide(seen(12, vast=0))) == {"metal": 2, "cloud": 7}


def test_cheapest_takes_what_is_paid_for_already_and_not_the_cloud() -> None:
    """It pays for nothing that a rented machine can run as well."""
    found = decide(replace(seen(12), policy="cheapest"))
    assert given(found) == {"metal": 2, "vast": 3}


def urgent(number: int, left: float, rented: float) -> Urgent:
    """A job that metal cannot end in time, the cloud can for a dollar."""
    takes = {"metal": Estimate(1e6, 1e6), "vast": Estimate(rented, rented), "cloud": Estimate(5, 5, 10**6, 10**6)}
    return Urgent(f"job-{number}", SPEECH.name, NOW_MS + round(left * 1000), takes)


@pytest.mark.parametrize(
    ("rented", "wanted"),
    [(10.0, {"vast": 3, "cloud": 1}), (200.0, {"cloud": 4})],
    ids=["in time", "too slow"],
)
def test_deadlines_are_met_on_rented_machines_before_anything_is_paid_for(
    rented: float, wanted: dict[str, int]
) -> None:
    """As far as one machine ends them one after the other; what it could not end in time goes where it can be met."""
    jobs = tuple(urgent(number, 100.0, rented) for number in range(4))
    found = decide(replace(seen(4), policy="deadline", urgent=jobs, now_ms=NOW_MS))
    counted: dict[str, int] = {}
    for order in found.orders:
        backend = order.lane.split(":")[1]
        counted[backend] = counted.get(backend, 0) + order.count
        assert order.price == 0 or backend == "cloud"
    assert counted == wanted
