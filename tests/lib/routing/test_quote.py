"""The quote: which ways there are, what each comes to, and which one is to be taken."""

from __future__ import annotations

from dataclasses import replace
from math import isinf
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.routing.filling import Length, Ration
from lib.routing.quote import quote
from lib.routing.quoted import Aside, Backend, Group, Quote, Row, Taking, Wish
from lib.setting_fields.compute import POLICIES
from tests.lib.routing.one_by_one import ExactCalendar, hand_out_one_by_one

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.setting_fields.compute import Policy

HERE = Taking(10, 12, 10, samples=1000)
THERE = Taking(5, 6, 5, usd=0.01, usd_most=0.02, samples=1000)
BOTH = {"metal": HERE, "cloud": THERE}
GROUND = {"metal": Backend(1), "cloud": Backend(10, 0.5)}
MANY = 1e9


def quoted(
    groups: Sequence[Group], wish: Wish | None = None, policies: Sequence[Policy] = POLICIES, **ground: Backend
) -> Quote:
    """A quote on one local slot and ten of the cloud, unless said otherwise."""
    return quote(groups, {**GROUND, **ground}, wish or Wish(), policies)


def row(found: Quote, way: str, policy: str | None = None) -> Row:
    """The row of a way."""
    (one,) = [each for each in found.rows if each.way.name == way and policy in {None, each.way.policy}]
    return one


def test_a_row_a_way() -> None:
    """Local only, cloud only, and both; figures that can be checked in the head."""
    found = quoted([Group(100, BOTH)], policies=["local-first"])
    assert [each.way.name for each in found.rows] == ["local only", "cloud only", "local + cloud"]
    assert row(found, "local only").seconds[0] == pytest.approx(1000)
    assert row(found, "local only").usd == (0, 0)
    assert row(found, "cloud only").seconds[0] == pytest.approx(50)
    assert row(found, "cloud only").usd[0] == pytest.approx(1.0)
    both = row(found, "local + cloud")
    assert both.jobs == {"metal": 5, "cloud": 95}
    assert both.seconds[0] == pytest.approx(50)
    assert both.usd[0] == pytest.approx(0.95)


def test_the_cheapest_that_keeps_to_what_was_asked() -> None:
    """Free as long as it is in time; then the few that are needed; never beyond the budget."""
    jobs = [Group(100, BOTH)]

    def best(wish: Wish) -> tuple[str, str]:
        found = quoted(jobs, wish)
        assert found.recommended is not None
        chosen = found.rows[found.recommended]
        return chosen.way.name, found.reason

    assert best(Wish()) == ("local only", "the cheapest")
    assert best(Wish(deadline=2000, budget=0))[0] == "local only"
    assert best(Wish(deadline=500, budget=3))[0] == "local + cloud"
    assert best(Wish(deadline=500, budget=0.1)) == (
        "local only",
        "no way within the budget meets the deadline at p90: the one with the fewest late jobs",
    )
    assert best(Wish(deadline=1))[1] == "no way meets the deadline at p90: the one with the fewest late jobs"
    assert best(Wish(deadline=30))[0] == "local + cloud"


def test_of_ways_at_one_price_the_local_one_else_the_soonest() -> None:
    """What costs nothing on the cloud is no reason to go there; and if one must, not to leave the free machine idle."""
    free = Taking(60, 60, 60, samples=1000)
    both = Group(20, {"metal": free, "cloud": free})
    cloud = Backend(1, 0.5)
    found = quoted([both], Wish(deadline=5000), cloud=cloud)
    assert found.rows[found.recommended or 0].way.name == "local only"
    pinned = quoted([both, Group(1, {"cloud": free})], Wish(deadline=5000), cloud=cloud)
    assert pinned.recommended is not None
    best = pinned.rows[pinned.recommended]
    assert best.way.name == "local + cloud"
    assert best.seconds[1] == min(each.seconds[1] for each in pinned.rows if each.fits)


def test_by_the_deadline_pays_for_no_more_than_it_must() -> None:
    """As many as end in time stay at home."""
    found = quoted([Group(100, BOTH)], Wish(deadline=600))
    saving, hasty = row(found, "local + cloud", "deadline"), row(found, "local + cloud", "local-first")
    assert saving.jobs["metal"] > 50 > hasty.jobs["metal"]
    assert saving.usd[1] < hasty.usd[1]
    assert saving.seconds[1] <= 600
    assert saving.keeps_deadline
    # Without any deadline it pays for nothing, which is the way `local only`, said once.
    assert {each.way.policy for each in quoted([Group(100, BOTH)]).rows[2:]} == {"local-first"}


def test_what_is_urgent_goes_first() -> None:
    """Of two groups the one with the nearer deadline stands first in the free machine's line."""
    late, soon = Group(5, BOTH, deadline=1000), Group(5, BOTH, deadline=60)
    as_they_stand = row(quoted([late, soon], policies=["deadline"]), "local only")
    assert as_they_stand.deadline_risk == pytest.approx(1.0)
    assert 3 <= as_they_stand.late <= 5
    assert row(quoted([replace(late, deadline=99), soon], policies=["deadline"]), "local + cloud").late == 0


def test_a_job_that_a_way_cannot_run() -> None:
    """It is counted as having no place there, and that way is not recommended; a way for nothing at all is no row."""
    found = quoted([Group(3, {"metal": HERE}), Group(2, {"cloud": THERE})], policies=["local-first"])
    assert [(each.way.name, each.impossible) for each in found.rows] == [
        ("local only", 2),
        ("cloud only", 3),
        ("local + cloud", 0),
    ]
    assert found.recommended == 2
    assert [each.way.name for each in quoted([Group(3, {"metal": HERE})]).rows] == ["local only"]
    nowhere = quoted([Group(3, {"metal": HERE}), Group(2, {})])
    assert (nowhere.reason, nowhere.aside) == ("the cheapest", (Aside("nowhere", 2, ()),))
    assert nowhere.rows[0].fits
    assert quoted([Group(2, {})]) == Quote((), None, "", (Aside("nowhere", 2, ()),))
    assert quoted([]) == Quote((), None, "")


def test_what_no_way_helps_is_set_aside_and_named() -> None:
    """It runs and costs, but neither makes a way late nor hides which one is in time; the rest is judged as before."""
    rest = Group(20, BOTH, deadline=150)
    lost = [
        Group(5, BOTH, deadline=-60, first=("old",)),
        Group(2, BOTH, deadline=3, first=("soon",)),
        Group(1, BOTH, deadline=500, lost="not_before", first=("odd",)),
    ]
    found, alone = quoted([*lost, rest]), quoted([rest])
    assert found.aside == (Aside("past", 5, ("old",)), Aside("near", 2, ("soon",)), Aside("not_before", 1, ("odd",)))
    assert alone.aside == ()
    assert found.reason == alone.reason == "the cheapest that keeps to what was asked, at p90"
    assert found.recommended is not None
    best = found.rows[found.recommended]
    assert (best.late, sum(best.jobs.values()), best.fits) == (0, 28, True)
    assert best.risk is not None
    assert best.risk < 0.1


def test_who_cannot_keep_the_deadline_of_the_whole_is_set_aside() -> None:
    """Unless nothing could, which is the answer then; a job that missed its own is held to that of the whole."""
    long = Group(1, {"metal": Taking(900, 900, 900, samples=1000)}, first=("long",))
    found = quoted([long, Group(10, BOTH)], Wish(deadline=300))
    assert found.aside == (Aside("wish", 1, ("long",)),)
    assert found.rows[found.recommended or 0].fits
    hopeless = quoted([long], Wish(deadline=300))
    assert (hopeless.aside, hopeless.rows[0].late) == ((), 1)
    missed = quoted([Group(10, BOTH, deadline=-1)], Wish(deadline=50))
    assert row(missed, "local only").late > 0
    assert row(missed, "cloud only").late == 0


def test_a_budget_of_the_day_makes_it_take_days() -> None:
    """What is paid for pauses at the cap and goes on the next day; a job dearer than a day's budget never runs."""
    a_day = Ration("usd", 0.5, 86_400, 0.5, 3600)
    cloud = Backend(10, 0.5, (a_day,))
    found = row(quoted([Group(100, {"cloud": THERE})], cloud=cloud), "cloud only")
    assert found.seconds[0] == pytest.approx(3600 + 5, abs=5)
    tiny = Backend(10, 0.5, (replace(a_day, amount=0.0, left=0.0),))
    never = quoted([Group(100, {"cloud": THERE})], Wish(deadline=100), cloud=tiny)
    assert isinf(never.rows[0].seconds[0])
    assert never.rows[0].deadline_risk == 1.0


def test_the_risk_is_the_chance_beyond() -> None:
    """One half at p50, a tenth at p90, nothing far beyond."""
    jobs = [Group(1, {"metal": Taking(100, 200, 100, samples=10_000)})]
    p50, p90 = quoted(jobs).rows[0].seconds
    for deadline, risk in ((p50, 0.5), (p90, 0.1), (10_000, 0.0), (1, 0.9)):
        assert quoted(jobs, Wish(deadline=deadline)).rows[0].deadline_risk == pytest.approx(risk, abs=0.05)
    paid = [Group(100, {"cloud": THERE})]
    middle, dear = quoted(paid).rows[0].usd
    assert quoted(paid, Wish(budget=middle)).rows[0].budget_risk == pytest.approx(0.5)
    assert quoted(paid, Wish(budget=dear)).rows[0].budget_risk == pytest.approx(0.1, abs=0.01)
    both = quoted(paid, Wish(deadline=1e6, budget=middle)).rows[0]
    assert both.risk == pytest.approx(0.5)
    assert replace(both, impossible=1).risk == 1.0, "a job without a place is never done"
    assert replace(both, impossible=1, deadline_risk=None, budget_risk=None).risk is None


def test_many_jobs_are_surer_than_one() -> None:
    """Chance evens out in many measured jobs; a guess stays a guess however many they are."""

    def spread(taking: Taking, count: int) -> float:
        p50, p90 = quoted([Group(count, {"metal": taking})]).rows[0].seconds
        return p90 / p50

    measured, guess = Taking(10, 20, 11, samples=1000), Taking(10, 20, 10)
    assert spread(measured, 1) > 1.8
    assert spread(measured, 10_000) < 1.1
    assert spread(replace(measured, samples=1), 10_000) > 1.5
    assert spread(guess, 1) == pytest.approx(spread(guess, 10_000)) == pytest.approx(2.0)


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 40), st.floats(1, 60), st.floats(1, 60)), min_size=1, max_size=4),
    slots=st.integers(1, 3),
    per_minute=st.integers(1, 60),
)
def test_the_middle_is_that_of_the_slow_scheduler(
    sizes: list[tuple[int, float, float]], slots: int, per_minute: int
) -> None:
    """Local-first on slots and a limit a minute: the p50 finish, to within a window and a job of each group."""
    limit = Ration("jobs", per_minute, 60.5, per_minute, 60.5)
    ground = {"metal": Backend(slots), "cloud": Backend(4, 0.0, (limit,))}
    groups = [
        Group(count, {"metal": Taking(here, here, here, samples=1), "cloud": Taking(there, there, there, samples=1)})
        for count, here, there in sizes
    ]
    rows = quote(groups, ground, Wish(), ["local-first"]).rows
    calendars = (ExactCalendar([0.0] * slots), ExactCalendar([0.0] * 4, 0.0, (limit,)))
    ends = [
        hand_out_one_by_one(count, list(zip(calendars, (Length(here), Length(there, {"jobs": 1.0})), strict=True)))[1]
        for count, here, there in sizes
    ]
    slack = 60.5 + sum(max(here, there) for _, here, there in sizes) * 2
    for found in rows:
        if found.way.name == "local + cloud":
            assert found.seconds[0] == pytest.approx(max(ends), abs=slack)


@given(
    counts=st.lists(st.integers(1, 1000), min_size=1, max_size=5),
    deadline=st.none() | st.floats(1, 1e5),
    budget=st.none() | st.floats(0, 100),
)
def test_what_holds_of_every_quote(counts: list[int], deadline: float | None, budget: float | None) -> None:
    """p90 is never before p50; no job is lost; the recommended way is one that fits when any does."""
    found = quoted([Group(count, BOTH) for count in counts], Wish(deadline, budget))
    for each in found.rows:
        assert each.seconds[0] <= each.seconds[1]
        assert each.usd[0] <= each.usd[1]
        assert sum(each.jobs.values()) + each.impossible == sum(counts)
        assert each.risk is None or 0 <= each.risk <= 1
    assert found.recommended is not None
    best = found.rows[found.recommended]
    fitting = [each for each in found.rows if each.fits]
    assert best.fits == bool(fitting)
    if fitting:
        assert best.usd[1] == min(each.usd[1] for each in fitting)


def test_the_jobs_themselves_cost_nothing_to_quote() -> None:
    """A hundred thousand are as many numbers as ten: the answer scales, to a job."""
    few, many = quoted([Group(1000, BOTH)]).rows[0], quoted([Group(100_000, BOTH)]).rows[0]
    assert many.seconds[0] == pytest.approx(100 * few.seconds[0], rel=0.01)
    assert quoted([Group(1000, BOTH)], Wish(deadline=MANY)).rows[0].late == 0


def test_a_rented_machine_is_paid_for_by_the_hour_from_now_to_its_last_idle_second() -> None:
    """Figures that can be checked in the head: 100 s to begin, 90 jobs of 10 s, 100 s idle, at 3.60 an hour."""
    ground = {"metal": Backend(1), "vast": Backend(1, busy=100, hourly=3.6, idle=100)}
    steady = Taking(10, 10, 10, samples=10**9)
    found = quote([Group(90, {"metal": steady, "vast": steady})], ground, Wish(), ["local-first"])
    assert [each.way.name for each in found.rows] == ["local only", "rented only", "local + rented"]
    alone = row(found, "rented only")
    assert alone.seconds[0] == pytest.approx(1000)
    assert alone.usd[0] == pytest.approx(1.1)
    both = row(found, "local + rented")
    assert both.jobs == {"metal": 50, "vast": 40}
    assert both.seconds[0] == pytest.approx(500)
    assert both.usd[0] == pytest.approx(0.6)
    assert row(found, "local only").usd == (0, 0)
    assert found.rows[found.recommended or 0].way.name == "local only"
    pressed = quote([Group(90, {"metal": steady, "vast": steady})], ground, Wish(deadline=600), ["deadline"])
    assert pressed.rows[pressed.recommended or 0].way.name == "local + rented"


def test_of_three_backends_the_free_one_with_each_other_and_all_together() -> None:
    """The ways that people would type; a machine that is given no job costs nothing."""
    ground = {"metal": Backend(1), "vast": Backend(2, busy=1e6, hourly=1.0), "cloud": Backend(10, 0.5)}
    group = Group(100, {**BOTH, "vast": HERE})
    found = quote([group], ground, Wish(), ["local-first"])
    assert {each.way.name for each in found.rows} >= {"local only", "rented only", "cloud only", "local + cloud"}
    assert row(found, "local + cloud").usd[0] == pytest.approx(0.95)
    assert all(each.jobs.get("vast", 0) == 0 for each in found.rows if each.way.name != "rented only")
