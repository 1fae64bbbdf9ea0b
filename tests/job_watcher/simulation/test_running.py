"""A run on the virtual clock: the rules are kept at every moment, and the same seed gives the same run."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from job_watcher.simulation import report
from job_watcher.simulation.drawn import workload
from job_watcher.simulation.running import Run, drawn, simulate
from job_watcher.simulation.scenario import SimWatcher
from tests.job_watcher.simulation.scenarios import ANY, DESK, job, scenario

DAY = 86_400.0


def given_times(run: Run, backend: str) -> list[float]:
    """When jobs were moved there."""
    return [each.at_seconds for each in run.given if each.backend == backend]


def most_at_once(run: Run, backend: str) -> int:
    """How many attempts ran there together, at most."""
    edges = [(each.begin, 1) for each in run.attempts if each.backend == backend]
    edges += [(each.end, -1) for each in run.attempts if each.backend == backend]
    now = most = 0
    for _, step in sorted(edges):
        now += step
        most = max(most, now)
    return most


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000), st.sampled_from(["local-first", "cheapest", "deadline"]))
def test_every_limit_holds_at_every_moment(seed: int, policy: str) -> None:
    """Slots, the window of jobs a minute, and every job ends once."""
    drawn_up = workload(seed)
    small = replace(drawn_up, jobs=drawn_up.jobs[:40], policy=policy)  # type: ignore[arg-type]  # one of them
    run = simulate(small, seed=seed)
    assert Counter(ended.status for ended in run.jobs) == {"done": len(small.jobs)}
    assert most_at_once(run, "metal") <= small.slots("metal")
    assert most_at_once(run, "cloud") <= small.slots("cloud")
    times, rate = given_times(run, "cloud"), small.limits.rate()
    for first, later in zip(times, times[rate.jobs :], strict=False):
        assert later - first > 60, "no window of a minute holds more"
    assert run.idle_while_waiting == 0 or policy == "deadline"
    assert len(run.given) == len({each.job for each in run.given}), "nothing is moved twice"


def test_the_same_seed_gives_the_same_run() -> None:
    """And another seed another one."""
    made = workload(3)
    assert simulate(made, seed=3) == simulate(made, seed=3)
    assert simulate(made, seed=3).makespan != simulate(made, seed=4).makespan


def test_what_a_job_takes_does_not_depend_on_the_policy() -> None:
    """So that policies can be compared on one draw."""
    one = job("a", 100, 50, spread=0.3, micro={"cloud": 1000})
    first = drawn(one, "metal", 7)
    assert first == drawn(one, "metal", 7)
    assert drawn(one, "cloud", 7).seconds == pytest.approx(first.seconds / 2), "much work is much work everywhere"
    assert drawn(one, "cloud", 7).micro == pytest.approx(1000 * first.seconds / 100, abs=1)


def test_jobs_run_in_the_order_in_which_they_came_and_priority_goes_first() -> None:
    """One slot: high before normal before low, each in its order."""
    jobs = [
        job(f"{priority}{i}", 10, None, priority=priority) for i in (1, 2) for priority in ("low", "normal", "high")
    ]
    run = simulate(scenario(*jobs, watchers=(DESK,)))
    assert [each.job for each in run.attempts] == ["high1", "high2", "normal1", "normal2", "low1", "low2"]


def test_a_small_backlog_is_done_long_before_a_crowd() -> None:
    """A hundred jobs beside five: they take turns."""
    crowd = [job(f"c{i}", 10, None, backlog="crowd") for i in range(100)]
    few = [job(f"f{i}", 10, None, backlog="few") for i in range(5)]
    run = simulate(scenario(*crowd, *few, watchers=(DESK,)))
    assert max(each.end for each in run.attempts if each.job.startswith("f")) <= 110


def test_what_fails_is_tried_again_later_and_at_last_given_up() -> None:
    """With the delays of the watcher, in the high intake of its class, and each attempt is paid for."""
    doomed = job("x", None, 10, fails={"cloud": 1.0}, micro={"cloud": 1000}, max_attempts=3)
    run = simulate(scenario(doomed), seed=5)
    assert [each.status for each in run.attempts] == ["retried", "retried", "failed"]
    assert run.attempts[1].begin - run.attempts[0].end >= 24, "30 s, spread by a fifth"
    assert run.jobs[0].status == "failed"
    assert 0 < run.micro <= 3000
    assert run.jobs[0].missed is False, "it had no deadline"


def test_a_reached_budget_waits_for_the_next_day() -> None:
    """Three jobs of 40 cents at worst under a dollar: two today, one tomorrow; the rest is told."""
    jobs = [job(f"j{i}", None, 60, micro={"cloud": 400_000}) for i in range(3)]
    talk = SimWatcher("api", {"cloud": 10}, {"cloud": frozenset({"speech"})})
    spoken = [replace(each, capability="speech") for each in jobs]
    run = simulate(scenario(*spoken, watchers=(talk,), budget=1_000_000, jobs_per_minute=60))
    assert sorted(each.at_seconds >= DAY for each in run.given) == [False, False, True]
    assert "Budget of the day reached, nothing that is paid for begins" in [text for _, text in run.lines]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 50))
def test_no_day_costs_more_than_its_budget(seed: int, cents: int) -> None:
    """What is reserved is the worst case, so the settled sum stays below the cap."""
    count = random.Random(seed).randint(1, 40)  # noqa: S311 - a simulation, and repeatable
    talk = SimWatcher("all", {"metal": 1, "cloud": 5}, dict.fromkeys(("metal", "cloud"), frozenset({"speech"})))
    jobs = [
        job(f"j{i}", 50, 20, capability="speech", spread=0.3, micro={"cloud": 30_000}, worst_micro={"cloud": 120_000})
        for i in range(count)
    ]
    run = simulate(scenario(*jobs, watchers=(talk,), budget=cents * 10_000, jobs_per_minute=60), seed=seed)
    by_day = Counter[int]()
    costs = {ended.job.id: ended.micro for ended in run.jobs}
    for each in run.attempts:
        by_day[int(each.end // DAY)] += costs[each.job] if each.backend == "cloud" else 0
    assert all(spent <= cents * 10_000 for spent in by_day.values())
    assert all(ended.status == "done" for ended in run.jobs)


def test_what_nobody_can_run_is_left_waiting() -> None:
    """The run ends all the same, and says so."""
    run = simulate(scenario(job("far", 10, 10, capability="speech"), job("near", 10, 10)))
    assert {ended.job.id: ended.status for ended in run.jobs} == {"far": "waiting", "near": "done"}


def test_jobs_come_when_they_come() -> None:
    """Nothing begins before it arrives; the makespan counts from the start."""
    run = simulate(scenario(job("late", 10, None, arrival=1000.0), watchers=(DESK,)))
    assert run.attempts[0].begin == 1000
    assert run.makespan == 1010


def test_two_watchers_of_one_backend_share_its_lane() -> None:
    """Each slot takes the oldest entry."""
    both = (DESK, SimWatcher("attic", {"metal": 1}, {"metal": ANY}))
    run = simulate(scenario(*(job(f"j{i}", 10, None) for i in range(4)), watchers=both))
    assert run.makespan == 20
    assert {each.slot for each in run.attempts} == {"desk 1", "attic 1"}


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1_000), st.data())
def test_no_order_of_the_jobs_beats_the_bound_of_rules_a_and_b(seed: int, data: st.DataObject) -> None:
    """First come, first served, over every order is every schedule that the rules allow."""
    made = workload(seed)
    count = data.draw(st.integers(3, 9))
    jobs = [replace(each, arrival=0.0, backlog="one", priority="normal") for each in made.jobs[:count]]
    floor = report.floors(simulate(replace(made, jobs=tuple(jobs)), seed=seed))
    for _ in range(15):
        run = simulate(replace(made, jobs=tuple(data.draw(st.permutations(jobs)))), seed=seed)
        assert run.makespan >= floor.conducted * (1 - 1e-3)
        assert floor.conducted >= floor.makespan * (1 - 1e-9)
