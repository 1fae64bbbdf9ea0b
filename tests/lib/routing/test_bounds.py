"""The bounds hold for every schedule: tried against all schedules of a few jobs, and against what is simulated."""

from __future__ import annotations

from itertools import permutations, product
from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.routing import bounds, deadline_bounds
from lib.routing.bounds import Machine, Rules, Work

ONE = Machine(1, 10, 2)
"""One slot of metal, and two jobs a minute for the cloud."""

seconds = st.sampled_from([1.0, 10.0, 30.0, 61.0, 100.0, 130.0])
few = st.lists(
    st.builds(
        Work,
        seconds,
        seconds,
        st.sampled_from([0.0, 0.0, 20.0]),
        st.one_of(st.none(), st.sampled_from([40.0, 90.0, 150.0])),
        st.integers(1, 9),
    ),
    min_size=1,
    max_size=4,
)
machines = st.builds(Machine, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))


def ends_of(order: tuple[Work, ...], where: tuple[bool, ...], machine: Machine) -> list[float]:
    """When each ends if they are taken in this order, each as soon as its backend can; `where`: on the cloud?"""
    metal = [0.0] * machine.metal_slots
    cloud = [0.0] * machine.cloud_slots
    granted: list[float] = []
    ends = []
    for job, on_cloud in zip(order, where, strict=True):
        slots = cloud if on_cloud else metal
        begin = max(min(slots), job.arrival)
        if on_cloud:
            if len(granted) >= machine.cloud_jobs:
                begin = max(begin, granted[-machine.cloud_jobs] + machine.cloud_window)
            granted.append(begin)
        slots[slots.index(min(slots))] = begin + (job.cloud if on_cloud else job.metal)
        ends.append(begin + (job.cloud if on_cloud else job.metal))
    return ends


def all_schedules(jobs: list[Work], machine: Machine) -> list[tuple[tuple[Work, ...], tuple[bool, ...], list[float]]]:
    """Every order and every choice of backends, each worked off without a pause."""
    return [
        (order, where, ends_of(order, where, machine))
        for order in permutations(jobs)
        for where in product([False, True], repeat=len(jobs))
    ]


@settings(max_examples=40, deadline=None)
@given(few, machines)
def test_no_schedule_is_shorter_than_the_bound(jobs: list[Work], machine: Machine) -> None:
    """The best of all schedules of up to four jobs is no better than the bound says."""
    best = min(max(ends) for _, _, ends in all_schedules(jobs, machine))
    assert bounds.makespan(jobs, machine) <= best * (1 + 1e-6)


@settings(max_examples=40, deadline=None)
@given(few, machines)
def test_no_schedule_meets_more_deadlines_than_the_bound_grants(jobs: list[Work], machine: Machine) -> None:
    """Nor meets its own for less money than the bound says."""
    granted = deadline_bounds.meetable(jobs, machine)
    for order, where, ends in all_schedules(jobs, machine):
        met = [job for job, end in zip(order, ends, strict=True) if job.deadline is not None and end <= job.deadline]
        assert len(met) <= granted
        paid = sum(
            job.price
            for job, on_cloud, end in zip(order, where, ends, strict=True)
            if on_cloud and job.deadline is not None and end <= job.deadline
        )
        assert deadline_bounds.cheapest(met, machine) <= paid + 1e-6


@given(st.lists(st.integers(0, 9), max_size=12))
def test_the_cloud_takes_a_job_if_and_only_if_there_is_a_way(latest: list[int]) -> None:
    """One grant a second: a set is possible when of those that must be granted by k there are at most k, for all k."""
    machine, taken = Machine(0, 1, 1, 1.0), bounds._Grants(Machine(0, 1, 1, 1.0), 10.0)
    inside: list[int] = []
    for spare in latest:
        by = machine.granted(10.0 - (10.0 - spare))
        possible = all(sum(each <= k for each in [*inside, by]) <= k for k in range(1, 12))
        assert taken.take(10.0 - spare) is possible
        inside += [by] * possible
        assert len(taken) == len(inside)


@given(few, machines)
def test_deadlines_are_counted_as_their_rule_says(jobs: list[Work], machine: Machine) -> None:
    """For each deadline: the shortest that fit, and what the cloud was granted; the least of them all."""
    dated = sorted(
        (job for job in jobs if job.deadline is not None and deadline_bounds.possible(job, machine)),
        key=lambda job: job.deadline or 0,
    )
    most = len(dated)
    for limit in {job.deadline for job in dated if job.deadline is not None}:
        due = [job for job in dated if (job.deadline or 0) <= limit]
        begin = min(job.arrival for job in due)
        lengths = sorted(job.metal for job in due)
        fit = max(n for n in range(len(due) + 1) if sum(lengths[:n]) <= machine.metal_slots * (limit - begin))
        clouded = machine.granted(limit - begin - min(job.cloud for job in due))
        most = min(most, min(len(due), fit + clouded) + len(dated) - len(due))
    assert deadline_bounds.meetable(jobs, machine) == most


def test_one_long_job_bounds_all() -> None:
    """A job ends no sooner than where it is fastest."""
    assert bounds.makespan([Work(100, 40), Work(1, 1)], ONE) == pytest.approx(40)
    assert bounds.makespan([], ONE) == 0


def test_work_that_comes_late_is_bounded_from_then_on() -> None:
    """Ten jobs at the end of an hour are not done with the hour."""
    late = [Work(60, inf, arrival=3600) for _ in range(10)]
    assert bounds.makespan([Work(1, 1), *late], ONE) == pytest.approx(3600 + 600, rel=1e-5)


def test_the_limit_a_minute_bounds_what_the_cloud_relieves() -> None:
    """Ten of a hundred seconds on one slot: three windows, of two each, relieve it of six."""
    equal = [Work(100, 1) for _ in range(10)]
    assert bounds.makespan(equal, ONE) == pytest.approx(240, rel=0.2)
    assert bounds.makespan(equal, ONE) <= 300
    assert bounds.makespan(equal, Machine(1)) == pytest.approx(1000, rel=1e-5)
    assert bounds.makespan(equal, Machine(4)) == pytest.approx(300, rel=1e-5), "four slots, three each"


def test_slots_of_the_cloud_bound_too() -> None:
    """Two slots and no limit to speak of: a hundred equal jobs share three slots."""
    equal = [Work(10, 10) for _ in range(99)]
    assert bounds.makespan(equal, Machine(1, 2, 1000)) == pytest.approx(330, rel=1e-5)


def test_rules_a_and_b_force_jobs_onto_the_free_machine() -> None:
    """Five equal jobs and a quick cloud: any schedule ends in one go, one by the rules has two on one slot."""
    equal = [Work(100, 100) for _ in range(5)]
    machine = Machine(1, 10, 60)
    assert bounds.makespan(equal, machine) == pytest.approx(100)
    assert bounds.conducted(equal, machine, Rules(2, 5)) == pytest.approx(200, rel=1e-5)
    assert bounds.conducted(equal, machine, Rules(1, 5)) == pytest.approx(100, rel=1e-5)


def test_rule_b_forces_jobs_onto_a_slow_cloud() -> None:
    """What the cloud is given it must end, however slow it is."""
    slow = [Work(10, 500) for _ in range(4)]
    machine = Machine(1, 10, 60)
    assert bounds.makespan(slow, machine) == pytest.approx(40)
    assert bounds.conducted(slow, machine, Rules(2, 5)) == pytest.approx(500, rel=1e-5)


def test_a_deadline_that_one_job_could_not_meet_alone_is_not_counted() -> None:
    """It is nobody's fault."""
    hopeless = Work(100, 50, deadline=40)
    assert not deadline_bounds.possible(hopeless, ONE)
    assert deadline_bounds.meetable([hopeless, Work(10, 10, deadline=40)], ONE) == 1
    assert deadline_bounds.meetable([Work(10, 10)], ONE) == 0, "without a deadline there is none to meet"
    assert deadline_bounds.possible(Work(100, 100), ONE)


def test_a_set_of_deadlines_is_bounded_together() -> None:
    """Six jobs of a minute within a minute: one on metal, two granted at 0, and two at the very end at most."""
    equal = [Work(60, 60, deadline=60) for _ in range(6)]
    assert deadline_bounds.meetable(equal, ONE) == 3


def test_what_exceeds_the_free_machine_must_be_paid_for() -> None:
    """Three of a minute within two: the cheapest of them at least, and all of what metal cannot end at all."""
    equal = [Work(60, 10, deadline=120, price=price) for price in (5, 7, 9)]
    assert deadline_bounds.cheapest(equal, ONE) == pytest.approx(5)
    assert deadline_bounds.cheapest([*equal, Work(500, 10, deadline=120, price=100)], ONE) == pytest.approx(105)
    assert deadline_bounds.cheapest([], ONE) == 0
    assert deadline_bounds.cheapest(equal, Machine(3)) == 0
