"""The policy `deadline`: what it pays for, what it holds back, and who comes first."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue.moves import LiveWatcher, RateState
from lib.routing.policy import Decision, Limits, View, decide
from lib.routing.view import Estimate, Urgent
from tests.lib.routing.seen_views import intake, lane, view

NOW_MS = 1_000_000_000
LANES = {lane("any", backend): 0 for backend in ("metal", "cloud")}
OFFERS = {"metal": frozenset({"any"}), "cloud": frozenset({"any"})}
DESK = LiveWatcher("desk", "desk:1", frozenset({"any"}), {"metal": 1, "cloud": 10}, 0, OFFERS)
DATED = intake("dated")
PATIENT = intake("patient")


def urgent(
    name: str, left: float, *, metal: float = 100, cloud: float = 50, price: int = 1000, where: Any = DATED
) -> Urgent:
    """A job whose deadline is so many seconds away; every estimate is exact."""
    estimates = {"metal": Estimate(metal, metal), "cloud": Estimate(cloud, cloud, price, 2 * price)}
    return Urgent(name, where.name, NOW_MS + round(left * 1000), estimates)


def seen(
    *jobs: Urgent,
    patient: int = 0,
    mixed: int = 0,
    held: int = 0,
    left: float = 0.0,
    rate: RateState | None = None,
    budget: int | None = None,
    window: tuple[int, int] = (100, 60_000),
    watcher: LiveWatcher = DESK,
) -> View:
    """A view of these jobs, and of some without a deadline beside them or, `mixed`, in the same intake."""
    waiting = {DATED: len(jobs) + mixed, PATIENT: patient}
    found = view(waiting, watcher, held=LANES)
    survey = replace(found.survey, held={**found.survey.held, "lane:metal:any": held}, rate=rate or RateState(1000))
    return replace(
        found,
        survey=survey,
        limits=Limits(2, 5, budget, *window),
        policy="deadline",
        urgent=tuple(sorted(jobs, key=lambda job: job.deadline_ms)),
        now_ms=NOW_MS,
        # What runs is half done on the average.
        estimates={("metal", "any"): Estimate(2 * left, 2 * left)} if left else {},
    )


def picks(decision: Decision) -> dict[str, list[str]]:
    """The jobs that are ordered by name, by backend."""
    found: dict[str, list[str]] = {"metal": [], "cloud": []}
    for order in decision.orders:
        found[order.lane.split(":")[1]] += order.picks
    return found


def test_what_the_free_machine_can_end_in_time_costs_nothing() -> None:
    """The nearest deadline first, one at a time: what stands in a lane cannot be planned anew."""
    decision = decide(seen(urgent("late", 400), urgent("soon", 150), urgent("later", 1000)))
    assert picks(decision) == {"metal": ["soon"], "cloud": []}
    assert decision.says == {"holding"}


def test_a_job_that_the_free_machine_cannot_end_in_time_goes_to_the_cloud_at_once() -> None:
    """Waiting longer could not bring it back."""
    decision = decide(seen(urgent("tight", 60), urgent("easy", 500)))
    assert picks(decision) == {"metal": ["easy"], "cloud": ["tight"]}
    assert decision.again_in_ms is None


def test_the_reservation_is_the_worst_price_of_the_very_job() -> None:
    """What the order reserves is what that job may cost."""
    [order] = decide(seen(urgent("tight", 60, price=7_000))).orders
    assert (order.price, order.rated, order.count) == (14_000, True, 1)


def test_of_jobs_that_are_too_many_the_least_dollars_for_the_time_are_paid() -> None:
    """Three of a hundred seconds within 250: the cheapest of them goes, the others stay."""
    jobs = urgent("dear", 250, price=9_000), urgent("cheap", 250, price=1_000), urgent("fair", 250, price=5_000)
    decision = decide(seen(*jobs))
    assert picks(decision)["metal"] == ["dear"]
    assert picks(decision)["cloud"] == [], "it is held back as long as that is safe"
    assert decision.again_in_ms is not None
    assert 150_000 < decision.again_in_ms < 200_000
    at_last = replace(seen(*jobs[1:], held=1, left=60.0), now_ms=NOW_MS + 199_000)
    assert picks(decide(at_last))["cloud"] != []


def test_work_is_pulled_back_when_the_free_machine_is_ahead() -> None:
    """The same two jobs: one must be paid for while metal is busy, none when it is free sooner than expected."""
    jobs = urgent("first", 220), urgent("second", 220)
    busy = decide(seen(*jobs, held=1, left=100.0))
    assert busy.again_in_ms is not None, "one of them is planned onto the cloud"
    ahead = decide(seen(*jobs))
    assert picks(ahead) == {"metal": ["first"], "cloud": []}
    assert ahead.again_in_ms is None


def test_the_limit_a_minute_makes_them_go_earlier() -> None:
    """Four that the cloud must take, one a minute: the first goes three windows before the last moment."""
    jobs = [urgent(f"j{i}", 300, metal=250, cloud=50) for i in range(5)]
    free = decide(seen(*jobs, held=1, left=40.0))
    slow = decide(seen(*jobs, held=1, left=40.0, window=(1, 60_000)))
    assert free.again_in_ms is not None
    assert slow.again_in_ms is not None
    assert slow.again_in_ms <= free.again_in_ms - 180_000 + 1_000


def test_jobs_without_a_deadline_have_what_room_is_left_and_never_pay() -> None:
    """They come after all that is dated, and stay on the free machine."""
    behind = decide(seen(urgent("dated", 500), patient=5))
    assert [(order.intake, order.picks) for order in behind.orders] == [(DATED.name, ("dated",))]
    alone = decide(seen(urgent("tight", 60), patient=5))
    assert {(order.lane, order.count) for order in alone.orders} == {("lane:cloud:any", 1), ("lane:metal:any", 1)}


def test_the_head_of_an_intake_is_left_alone_while_one_in_it_is_held_back() -> None:
    """An order for its head could take the very job that waits for its moment."""
    waiting = urgent("a", 9.5, metal=5, cloud=2)
    decision = decide(seen(waiting, mixed=3, patient=3, held=1, left=4.0))
    assert decision.again_in_ms is not None, "it is on the way to the cloud, but not yet"
    assert [(order.intake, order.lane) for order in decision.orders] == [(PATIENT.name, "lane:metal:any")]


def test_what_cannot_be_met_anywhere_comes_last_and_goes_where_it_ends_first() -> None:
    """It takes no place of one that can be met."""
    decision = decide(seen(urgent("lost", 10), urgent("sure", 150)))
    assert picks(decision) == {"metal": ["sure"], "cloud": ["lost"]}
    slow = decide(seen(urgent("lost", 10, cloud=500)))
    assert picks(slow) == {"metal": ["lost"], "cloud": []}


def test_a_late_job_takes_no_place_of_the_cloud_that_another_waits_for() -> None:
    """As long as one is held back for it, what is too late stays on the free machine."""
    jobs = urgent("lost", 10), urgent("a", 250), urgent("b", 250), urgent("c", 250)
    decision = decide(seen(*jobs, held=1, left=30.0))
    assert decision.again_in_ms is not None
    assert "lost" not in picks(decision)["cloud"]


def test_a_spent_limit_and_a_reached_budget_are_said() -> None:
    """The job stays, and it is known why."""
    spent = decide(seen(urgent("tight", 60), rate=RateState(0, 5_000)))
    assert spent.orders == ()
    assert {"near_limit", "rate_paused", "holding"} <= spent.says
    poor = decide(seen(urgent("tight", 60, price=9_000), budget=10_000))
    assert poor.orders == (), "the worst case of that very job passes what is left"
    assert "holding" in poor.says


def test_without_deadlines_it_is_as_frugal_as_cheapest() -> None:
    """Nothing is paid for that the free machine can do."""
    assert all(order.lane == "lane:metal:any" for order in decide(seen(patient=50)).orders)


def test_a_job_that_no_one_measured_is_taken_for_a_long_one() -> None:
    """The built-in estimate is careful: five minutes are none too many for it."""
    unknown = Urgent("new", DATED.name, NOW_MS + 301_500, {})
    assert picks(decide(seen(unknown, held=1)))["cloud"] == ["new"]
    assert picks(decide(seen(unknown)))["metal"] == ["new"]


def test_quick_jobs_are_sent_ahead_and_long_ones_are_not() -> None:
    """METAL_QUEUE_MAX holds for jobs of seconds; one of minutes waits where it can still be planned anew."""
    quick = decide(seen(*(urgent(f"q{i}", 900, metal=1) for i in range(9))))
    assert len(picks(quick)["metal"]) == 2
    slow = decide(seen(*(urgent(f"s{i}", 9000, metal=60) for i in range(9))))
    assert len(picks(slow)["metal"]) == 1


@given(
    st.lists(st.tuples(st.floats(5, 2000), st.floats(1, 300), st.floats(1, 300), st.integers(0, 10_000)), max_size=25),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(1, 4),
    st.integers(0, 20),
)
def test_no_job_is_ordered_twice_and_no_place_twice_given(
    drawn: list[tuple[float, float, float, int]], held: int, rate: int, slots: int, patient: int
) -> None:
    """Every pick is a waiting job, named once; rooms, rate and intakes are kept."""
    jobs = [urgent(f"j{i}", *one[:1], metal=one[1], cloud=one[2], price=one[3]) for i, one in enumerate(drawn)]
    wide = replace(DESK, slots={"metal": slots, "cloud": 3})
    decision = decide(seen(*jobs, patient=patient, held=held, left=20.0, rate=RateState(rate), watcher=wide))
    named = [name for order in decision.orders for name in order.picks]
    assert len(named) == len(set(named))
    assert set(named) <= {job.request_id for job in jobs}
    on_cloud = sum(order.count for order in decision.orders if order.rated)
    on_metal = sum(order.count for order in decision.orders if not order.rated)
    assert on_cloud <= min(rate, 8)
    assert on_metal <= max(0, 2 * slots - held)
    heads = sum(order.count for order in decision.orders if not order.picks)
    assert heads <= patient
    assert all(order.count == len(order.picks) or not order.picks for order in decision.orders)
