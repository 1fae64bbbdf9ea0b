"""When machines are rented: cases reckoned by hand, and what holds whatever waits.

In the cases a machine takes 120 s to start and 75 s of idle grace, so 195 s are paid for without work; it costs 100
millionths of a dollar a second.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.market.deciding import Capacity, Code, Decision, Demand, Limits, Waiting, decide
from lib.market.figures import Figures
from lib.market.instance import STATES
from lib.market.life import worst_cost
from tests.lib.market.lives import in_state

if TYPE_CHECKING:
    from lib.market.instance import Instance, InstanceState

FIGURES = Figures(startup=120.0, startup_most=300.0, dph=360_000)
LIMITS = Limits(max_instances=5, batch_min=1, idle_grace=75.0, max_runtime=7200.0, budget_left=100_000_000)
WORST = 720_000
NONE = Capacity(0)
ONE = Capacity(1)


def asked(demand: Demand, fleet: tuple[Instance, ...] = (), limits: Limits = LIMITS) -> Decision:
    """The decision with the usual figures."""
    return decide(demand, fleet, limits, FIGURES)


def waits(*groups: Waiting, metal: Capacity = NONE, cloud: Capacity = NONE, oldest: float = 0.0) -> Demand:
    """These wait, now."""
    return Demand(now=0.0, waiting=groups, oldest=oldest, metal=metal, cloud=cloud)


def rented(state: InstanceState, *, since: float = 0.0, number: int = 0) -> Instance:
    """One that came into this state then, and was asked for at that moment too."""
    row = replace(in_state(state).instance, intent=f"intent000{number}", since=since, expires_at=since + 7200)
    return replace(row, created_at=None if state == "intended" else since)


@pytest.mark.parametrize(
    ("jobs", "metal", "rent"),
    [
        # 10 s on metal, 1 s rented: 12 are done at 120 s, the rest goes at 1.1 a second.
        # 10 n - 120 - (n - 12) / 1.1 >= 195 from 34 on.
        (33, 10.0, 0),
        (34, 10.0, 1),
        # As fast as metal, 1 s each: 120 are done meanwhile, the rest takes half the time: (n - 120) / 2 >= 195.
        (508, 1.0, 0),
        (512, 1.0, 1),
        # All of them are done before a machine has started.
        (12, 10.0, 0),
        (120, 1.0, 0),
    ],
)
def test_start_up_is_repaid_in_seconds_against_the_free_machine(jobs: int, metal: float, rent: int) -> None:
    """By those who wait: as many as are paid for without work."""
    decision = asked(waits(Waiting(jobs, 1.0, metal=metal), metal=ONE), limits=replace(LIMITS, max_instances=1))
    assert (decision.rent, decision.code) == (rent, "sooner" if rent else "not_worth")


@pytest.mark.parametrize(
    ("jobs", "rent"),
    # The second halves what one does: n / 2 >= 3 * 195; the third saves n / 6, the fourth n / 12, the fifth n / 20.
    [(1, 1), (1168, 1), (1172, 2), (3508, 2), (3512, 3), (7018, 3), (7022, 4), (11_698, 4), (11_702, 5), (90_000, 5)],
)
def test_each_further_machine_is_repaid_by_itself(jobs: int, rent: int) -> None:
    """Where nobody else can do them, the first needs no comparison."""
    decision = asked(waits(Waiting(jobs, 1.0)))
    assert (decision.rent, decision.code) == (rent, "only_rented")


@pytest.mark.parametrize(("payback", "rent"), [(1.0, 4), (3.0, 2), (9.0, 1), (0.0, 5)])
def test_who_wants_less_haste_for_the_money_rents_fewer(payback: float, rent: int) -> None:
    """2500 s of work: the second saves 1250 s, the third 416, the fourth 208, the fifth 125."""
    assert asked(waits(Waiting(2500, 1.0)), limits=replace(LIMITS, payback=payback)).rent == rent


@given(st.integers(1, 200_000), st.floats(0.05, 60.0), st.floats(1.0, 900.0), st.floats(0.0, 300.0))
def test_several_machines_cost_little_more_than_one(jobs: int, seconds: float, startup: float, grace: float) -> None:
    """At most 8/7 of the dollars of one machine that does it all, whatever haste is bought with them."""
    allowed = replace(LIMITS, max_instances=50, idle_grace=grace)
    free = Figures(startup, startup, 0)
    rent = decide(waits(Waiting(jobs, seconds)), (), allowed, free).rent
    work, unused = jobs * seconds, startup + grace
    assert (work + rent * unused) / (work + unused) <= 8 / 7 + 1e-6


@pytest.mark.parametrize(
    ("jobs", "rent"),
    # 2 s and 1000 millionths on the cloud: 60 are done at 120 s; of the rest, r, a machine does two thirds.
    # 1000 * 2/3 r >= 100 * (2/3 r + 195) from r = 32.5 on.
    [(92, 0), (93, 1)],
)
def test_start_up_is_repaid_in_dollars_against_the_cloud(jobs: int, rent: int) -> None:
    """By what the cloud would be paid for the jobs that the machine does."""
    limits = replace(LIMITS, hurry=False, max_instances=1)
    decision = asked(waits(Waiting(jobs, 1.0, cloud=2.0, cloud_price=1000), cloud=ONE), limits=limits)
    assert (decision.rent, decision.code) == (rent, "cheaper" if rent else "not_worth")


@pytest.mark.parametrize(("jobs_a_minute", "code"), [(2.0, "sooner"), (600.0, "not_worth")])
def test_a_cloud_with_a_limit_is_slow_however_many_slots_it_has(jobs_a_minute: float, code: Code) -> None:
    """100 jobs at 2 a minute take 50 minutes; at 600, ten seconds. They are so cheap that dollars do not matter."""
    cloud = Capacity(10, per_second=jobs_a_minute / 60)
    assert asked(waits(Waiting(100, 1.0, cloud=1.0, cloud_price=1), cloud=cloud)).code == code


@pytest.mark.parametrize(
    ("startup_most", "rent"),
    # 50 jobs of 10 s on metal are late for 400 s. At 300 s, 30 are done, 20 are left: 318 s. At 395 s: 404.5 s.
    [(300.0, 1), (395.0, 0)],
)
def test_a_deadline_that_would_be_missed_is_a_reason_if_a_machine_helps(startup_most: float, rent: int) -> None:
    """Reckoned with the slow start that nine of ten do not exceed; batches need not gather for it."""
    demand = waits(Waiting(50, 1.0, metal=10.0, deadline=400.0), metal=ONE)
    limits = replace(LIMITS, batch_min=1000, hurry=False, max_instances=1)
    decision = decide(demand, (), limits, replace(FIGURES, startup_most=startup_most))
    assert (decision.rent, decision.code) == (rent, "deadline" if rent else "gathering")


def test_as_many_machines_as_the_deadline_needs() -> None:
    """600 s of work in 200 s after the start: three."""
    demand = waits(Waiting(600, 1.0, deadline=500.5))
    assert asked(demand, limits=replace(LIMITS, batch_min=1000)).rent == 3
    assert "600 jobs would miss the deadline" in asked(demand).why


def test_jobs_with_a_deadline_are_done_before_those_without() -> None:
    """So a long backlog beside them is no reason to rent, wherever it stands."""
    dated, others = Waiting(10, 1.0, metal=10.0, deadline=2000.0), Waiting(5000, 1.0, metal=10.0)
    limits = replace(LIMITS, hurry=False)
    for groups in ((dated, others), (others, dated)):
        assert asked(waits(*groups, metal=ONE), limits=limits).rent == 0


def test_a_deadline_that_the_free_machine_keeps_is_no_reason() -> None:
    """Nor one that nothing can keep."""
    limits = replace(LIMITS, hurry=False)
    for deadline in (4000.0, 30.0):
        demand = waits(Waiting(300, 1.0, metal=10.0, deadline=deadline), metal=ONE)
        assert asked(demand, limits=limits).rent == 0


@pytest.mark.parametrize(
    ("jobs", "oldest", "code"),
    [(9, 299.0, "gathering"), (10, 0.0, "only_rented"), (1, 300.0, "only_rented"), (0, 0.0, "nothing_waits")],
)
def test_jobs_gather_before_anything_is_rented(jobs: int, oldest: float, code: Code) -> None:
    """WATCHER_BATCH_MIN of them, or the oldest has waited for WATCHER_BATCH_MAX_WAIT."""
    limits = replace(LIMITS, batch_min=10, batch_max_wait=300.0)
    decision = asked(waits(*[Waiting(jobs, 1.0)] * (jobs > 0), oldest=oldest), limits=limits)
    assert decision.code == code
    if code == "gathering":
        assert decision.why == (
            "9 jobs waiting for 299 s: fewer than WATCHER_BATCH_MIN (10) and not yet for WATCHER_BATCH_MAX_WAIT (300 s)"
        )


def test_without_hurry_nothing_is_paid_for_what_the_free_machine_can_do() -> None:
    """However long it takes; what it cannot do is rented for, or given to the cloud where that is cheaper."""
    limits = replace(LIMITS, hurry=False)
    assert asked(waits(Waiting(10_000, 1.0, metal=60.0), metal=ONE), limits=limits).rent == 0
    cloud = Capacity(4)
    assert asked(waits(Waiting(10_000, 1.0, 60.0, 1.0, 9000), metal=ONE, cloud=cloud), limits=limits).rent == 0
    assert asked(waits(Waiting(10_000, 1.0, cloud=1.0, cloud_price=9000), cloud=cloud), limits=limits).code == "cheaper"
    assert asked(waits(Waiting(10_000, 1.0, cloud=1.0, cloud_price=1), cloud=cloud), limits=limits).rent == 0


@pytest.mark.parametrize(
    ("budget_left", "rent", "code"),
    [
        (None, 0, "no_budget"),
        (WORST - 1, 0, "budget"),
        (WORST, 1, "only_rented"),
        (3 * WORST - 1, 2, "only_rented"),
        (-5, 0, "budget"),
    ],
)
def test_no_more_is_rented_than_the_budget_can_pay_at_worst(budget_left: int | None, rent: int, code: Code) -> None:
    """The whole of WATCHER_MAX_RUNTIME for each; without a budget nothing that costs."""
    decision = asked(waits(Waiting(100_000, 1.0)), limits=replace(LIMITS, budget_left=budget_left))
    assert (decision.rent, decision.code) == (rent, code)


def test_machines_of_ones_own_need_no_budget() -> None:
    """They cost nothing."""
    free = replace(FIGURES, dph=0)
    assert decide(waits(Waiting(10, 1.0)), (), replace(LIMITS, budget_left=None), free).rent == 1


def test_what_would_not_be_worth_it_is_said_before_what_is_forbidden() -> None:
    """Nobody need set a budget for a machine that would not be rented anyway."""
    demand = waits(Waiting(3, 1.0, metal=1.0), metal=ONE)
    assert asked(demand, limits=replace(LIMITS, budget_left=None)).code == "not_worth"


@pytest.mark.parametrize("state", ["intended", "loading", "canary", "draining", "idle"])
def test_what_is_rented_already_is_counted_with(state: InstanceState) -> None:
    """One that starts or works does the 300 jobs; a second one would save no 195 s."""
    decision = asked(waits(Waiting(300, 1.0)), (rented(state),))
    assert (decision.rent, decision.code) == (0, "covered")


def test_one_that_is_being_destroyed_works_no_more_but_takes_a_place() -> None:
    """Until it is proven gone it may bill."""
    gone = rented("destroying")
    assert asked(waits(Waiting(300, 1.0)), (gone,)).rent == 1
    decision = asked(waits(Waiting(300, 1.0)), (gone,), replace(LIMITS, max_instances=1))
    assert (decision.rent, decision.code) == (0, "most")


@pytest.mark.parametrize(("most", "rent"), [(1, 0), (2, 1), (3, 2)])
def test_those_that_are_there_take_their_places(most: int, rent: int) -> None:
    """However much waits."""
    assert asked(waits(Waiting(100_000, 1.0)), (rented("draining"),), replace(LIMITS, max_instances=most)).rent == rent


def test_one_that_is_about_to_end_is_replaced() -> None:
    """It has not as long to live as another one takes to start."""
    old = rented("draining", since=-7100.0)
    assert asked(waits(Waiting(300, 1.0)), (old,)).code == "only_rented"


def test_what_the_machines_hold_is_done_first() -> None:
    """A machine with 2000 s of work does not cover 10 more jobs' haste; one with none does."""
    ready = (rented("draining"),)
    busy = replace(waits(Waiting(10, 1.0)), held=2000, held_seconds=1.0)
    assert asked(busy, ready).code == "sooner"
    assert asked(replace(busy, held=5), ready).code == "covered"


def test_idle_ones_are_given_back_after_their_grace_and_only_if_nothing_waits() -> None:
    """`release` names their intents."""
    fleet = (rented("idle", since=-75.0, number=1), rented("idle", since=-74.0, number=2), rented("draining", number=3))
    assert asked(waits(), fleet) == Decision(0, ("intent0001",), "nothing waits for a rented machine", "nothing_waits")
    assert asked(waits(Waiting(1, 1.0)), fleet).release == ()


def test_one_that_starts_for_nobody_is_given_back() -> None:
    """Once nothing has waited for the idle grace, and no job stands before it."""
    fleet = (rented("loading", number=1),)
    assert asked(replace(waits(), quiet=75.0), fleet).release == ("intent0001",)
    assert asked(replace(waits(), quiet=74.0), fleet).release == ()
    assert asked(replace(waits(), quiet=75.0, held=1), fleet).release == ()


capacities = st.builds(
    Capacity, st.integers(0, 3), st.floats(0, 500), st.one_of(st.none(), st.floats(0.01, 2.0, allow_nan=False))
)
_seconds = st.floats(0.1, 60.0)
groups = st.builds(
    Waiting,
    st.integers(0, 3000),
    _seconds,
    st.one_of(st.none(), _seconds),
    st.one_of(st.none(), _seconds),
    st.integers(0, 20_000),
    st.one_of(st.none(), st.floats(1.0, 5000.0)),
)
demands = st.builds(
    Demand,
    now=st.just(0.0),
    waiting=st.lists(groups, max_size=4).map(tuple),
    oldest=st.floats(0, 900),
    held=st.integers(0, 300),
    held_seconds=_seconds,
    quiet=st.floats(0, 200),
    metal=capacities,
    cloud=capacities,
)
states = st.sampled_from([state for state in STATES if state != "gone"])
fleets = st.lists(states, max_size=4).map(lambda found: tuple(rented(s, number=i) for i, s in enumerate(found)))
limits = st.builds(
    Limits,
    max_instances=st.integers(1, 8),
    batch_min=st.integers(1, 500),
    batch_max_wait=st.floats(0, 900),
    budget_left=st.one_of(st.none(), st.integers(-100, 20_000_000)),
    hurry=st.booleans(),
)


@given(demands, fleets, limits)
def test_no_limit_is_ever_passed(demand: Demand, fleet: tuple[Instance, ...], allowed: Limits) -> None:
    """Places, budget at worst, the start of a batch; nothing is rented and given back at once; why is always said."""
    decision = asked(demand, fleet, allowed)
    jobs = sum(group.jobs for group in demand.waiting)
    assert decision.why
    assert decision.rent == 0 or len(fleet) + decision.rent <= allowed.max_instances
    assert decision.rent * worst_cost(FIGURES.dph, allowed.max_runtime) <= max(0, allowed.budget_left or 0)
    assert not (decision.rent and decision.release)
    assert not (decision.release and jobs)
    assert {row.intent for row in fleet} >= set(decision.release)
    assert (decision.rent > 0) == (decision.code in {"deadline", "only_rented", "cheaper", "sooner"})
    if decision.rent and decision.code != "deadline":
        assert jobs >= allowed.batch_min or demand.oldest >= allowed.batch_max_wait


@given(demands, fleets, limits)
def test_having_rented_them_nobody_rents_more(demand: Demand, fleet: tuple[Instance, ...], allowed: Limits) -> None:
    """A decision that is made again at the same moment, with the new intents in the rows, rents none."""
    decision = asked(demand, fleet, allowed)
    more = tuple(rented("intended", number=9 - each) for each in range(decision.rent))
    left = None if allowed.budget_left is None else allowed.budget_left - decision.rent * WORST
    assert asked(demand, fleet + more, replace(allowed, budget_left=left)).rent == 0


@given(demands, fleets, limits)
def test_the_same_arguments_lead_to_the_same_decision(
    demand: Demand, fleet: tuple[Instance, ...], allowed: Limits
) -> None:
    """And the order of the rows does not matter to what is rented."""
    assert asked(demand, fleet, allowed) == asked(demand, fleet, allowed)
    assert asked(demand, fleet[::-1], allowed).rent == asked(demand, fleet, allowed).rent
