"""The plan of jobs with a deadline: what it holds back can still go in time, and it is what a plan from scratch is.

The plan is reckoned anew only from what changed on; here each part of it is held against the plain way, which reckons
everything anew.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue.moves import RateState
from lib.routing.places import Place, Pool
from lib.routing.planning import MARGIN_SECONDS, Plan, Planned, _Chosen, _Cloud, planned
from lib.routing.view import Limits
from tests.lib.routing.seen_views import watcher
from tests.lib.routing.test_deadline import DATED, DESK, seen, urgent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lib.routing.view import View

WHERE = {backend: Place(f"lane:{backend}:any", backend, 99, 0, Pool((), 99, 0)) for backend in ("metal", "cloud")}


def job(name: str, left: float, metal: float, cloud: float, price: int = 1000, spread: float = 1.0) -> Planned:
    """A job that may run on both; the free machine takes up to `spread` times as long."""
    said = urgent(name, left, metal=metal, cloud=cloud, price=price)
    on_metal = replace(said.estimates["metal"], p90=spread * metal)
    return Planned(said, DATED, left, WHERE["metal"], WHERE["cloud"], on_metal, said.estimates["cloud"])


def machine(metal: int, cloud: int, each: int = 2, window: float = 60.0, rate: RateState | None = None) -> View:
    """So many slots, and a cloud that takes `each` jobs in any window; nothing stands in the lanes."""
    found = replace(seen(), limits=Limits(2, 5, None, each, round(window * 1000)))
    survey = replace(found.survey, rate=rate or RateState(1000))
    return replace(found, survey=survey, watchers=(replace(DESK, slots={"metal": metal, "cloud": cloud}),))


# Whole seconds, so that ties are many; halves, so that sums are not all whole.
seconds = st.integers(2, 120).map(lambda number: number / 2)
jobs = st.lists(
    st.tuples(
        st.one_of(st.sampled_from([60.0, 100.0, 161.0]), st.integers(5, 900).map(float)),
        seconds,
        st.one_of(st.just(20.0), seconds),
        st.integers(1, 5000),
        st.sampled_from([1.0, 1.3, 3.0]),
    ),
    max_size=40,
).map(lambda drawn: [job(f"j{i}", *each) for i, each in enumerate(drawn)])
machines = st.builds(
    machine,
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([10.0, 60.0]),
    st.sampled_from([RateState(9), RateState(0, 5_000), RateState(0, None)]),
)


def last_begins(there: Sequence[Planned], view: View) -> list[float]:
    """When each must begin at the latest: from the last one back, all anew. In the order of their last moments."""
    latest = sorted(each.left - each.on_cloud.p90 - MARGIN_SECONDS for each in there)
    lengths = [each.on_cloud.p50 for each in sorted(there, key=lambda one: one.left - one.on_cloud.p90)]
    begins = latest.copy()
    each, slots = view.limits.cloud_jobs, sum(one.slots["cloud"] for one in view.watchers)
    for i in reversed(range(len(begins))):
        after = [begins[i + 1]] if i + 1 < len(begins) else []
        after += [begins[i + each] - view.limits.cloud_window_ms / 1000] if i + each < len(begins) else []
        after += [begins[i + slots] - lengths[i]] if i + slots < len(begins) else []
        begins[i] = min(begins[i], *after) if after else begins[i]
    return begins


@given(jobs, machines)
def test_the_cloud_takes_a_job_exactly_if_all_of_them_can_begin_in_time(drawn: list[Planned], view: View) -> None:
    """In whatever order they are asked for; one that was refused leaves no trace."""
    drawn = [alike(each) for each in drawn]
    rate = view.survey.rate
    soonest = (rate.next_ms or 0) / 1000 if rate.left <= 0 else 0.0
    cloud = _Cloud(view)
    taken: list[Planned] = []
    for each in drawn:
        fits = each.fits_cloud and last_begins([*taken, each], view)[0] >= soonest
        assert cloud.take(each) is fits
        taken += [each] * fits
    assert sorted(begin for begin, _ in cloud.starts()) == pytest.approx(sorted(last_begins(taken, view)))


def alike(each: Planned) -> Planned:
    """The same with a length on the cloud that follows from its last moment: of equal ones the order says nothing."""
    latest, length = each.left - 20.0, 1.0 + each.left % 37
    return replace(each, left=latest + length + MARGIN_SECONDS, on_cloud=replace(each.on_cloud, p50=length, p90=length))


@given(jobs, machines)
def test_what_goes_at_its_moment_keeps_the_limit_and_its_deadline(drawn: list[Planned], view: View) -> None:
    """Each begins no later than it must, and of any window no more than the limit lets through."""
    plan = planned(view, drawn)
    begins = sorted(begin for begin, _ in plan.cloud)
    for begin, each in plan.cloud:
        assert begin + each.on_cloud.p90 + MARGIN_SECONDS <= each.left + 1e-6
    window, most = view.limits.cloud_window_ms / 1000, view.limits.cloud_jobs
    for first, beyond in zip(begins, begins[most:], strict=False):
        assert beyond - first >= window - 1e-6


@given(jobs, machines)
def test_every_job_has_one_place_in_the_plan(drawn: list[Planned], view: View) -> None:
    """On the free machine, on the cloud, or too late; the nearest deadline first where it stays."""
    plan = planned(view, drawn)
    named = [each.urgent.request_id for each in [*plan.metal, *(one for _, one in plan.cloud), *plan.late]]
    assert sorted(named) == sorted(each.urgent.request_id for each in drawn)
    assert [each.left for each in plan.metal] == sorted(each.left for each in plan.metal)


@given(jobs, st.integers(1, 4), st.data())
def test_a_job_taken_out_leaves_the_plan_of_the_others(drawn: list[Planned], slots: int, data: st.DataObject) -> None:
    """As if it had never been planned: who comes in which order, whether the last is late, when all is done."""
    begin = [2.0 * slot for slot in range(slots)]
    chosen = _Chosen(begin)
    for each in drawn:
        chosen.add(each)
        if len(chosen.jobs) > 1 and data.draw(st.booleans()):
            chosen.remove(data.draw(st.sampled_from(chosen.jobs[:-1])))
    anew = _Chosen(begin)
    for each in chosen.jobs:
        anew.add(each)
    assert chosen.jobs == anew.jobs
    assert chosen.ends == anew.ends
    if chosen.jobs:
        assert chosen.last_is_late() is anew.last_is_late()
        assert chosen.last_is_hopeless() is anew.last_is_hopeless()


@pytest.mark.parametrize("places", [[0, 47, 31, 15, 16, 30, -1, *[0] * 43], [-1] * 50], ids=["anywhere", "end"])
def test_more_jobs_than_one_stride_are_taken_out(places: list[int]) -> None:
    """Until none is left; then one comes again."""
    chosen = _Chosen([0.0, 3.0])
    there = [job(f"j{i}", 10_000, 1.0 + i % 5, 1.0) for i in range(50)]
    for each in there:
        chosen.add(each)
    for at in places:
        chosen.remove(chosen.jobs[at])
        anew = _Chosen([0.0, 3.0])
        for each in chosen.jobs:
            anew.add(each)
        assert (chosen.jobs, chosen.ends) == (anew.jobs, anew.ends)
    assert chosen.ends == [0.0, 3.0]
    chosen.add(job("again", 10_000, 5.0, 1.0))
    assert sorted(chosen.ends) == [3.0, 5.0]


def test_the_spread_of_a_job_goes_with_it() -> None:
    """One that may take an hour makes the one behind it late; without it that one is in time."""
    chosen = _Chosen([0.0])
    wild = job("wild", 3000, 10, 10, spread=360.0)
    for each in (wild, job("calm", 3000, 10, 10), job("last", 3000, 10, 10)):
        chosen.add(each)
    assert chosen.last_is_late()
    chosen.remove(wild)
    assert not chosen.last_is_late()


def test_two_that_must_share_a_slot_begin_one_after_the_other() -> None:
    """Exactly if the first can end before the second must begin."""
    for latest, fits in ((29.5, False), (30.0, True)):
        cloud = _Cloud(machine(1, 1, each=9))
        pair = [job(name, latest + 30 + MARGIN_SECONDS, 1, 30) for name in "ab"]
        assert [cloud.take(each) for each in pair] == [True, fits]


def test_without_a_free_machine_all_that_fits_is_paid_for() -> None:
    """And what fits nowhere is late; there is no other place."""
    plan: Plan = planned(
        replace(machine(1, 1), watchers=(watcher("w", 1, "any", backend="cloud"),)), [job("a", 50, 1, 9)]
    )
    assert [each.urgent.request_id for _, each in plan.cloud] == ["a"]
    assert plan.metal == plan.late == []
