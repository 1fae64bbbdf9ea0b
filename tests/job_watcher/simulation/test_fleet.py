"""Rented machines on the virtual clock: when they are paid for, what they do, and what is lost with them: nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from job_watcher.simulation import report
from job_watcher.simulation.running import Run, simulate
from job_watcher.simulation.scenario import Scenario, SimJob, SimLimits, SimRenting, SimWatcher

SPEECH = frozenset({"speech"})
DESK = SimWatcher("desk", {"metal": 1}, {"metal": SPEECH})
HOUR = 3600.0
DOLLAR = 1_000_000
RENTING = SimRenting(DOLLAR // 2, starts=120.0, batch_max_wait=0.0)


def speech(count: int, metal: float | None = 60.0, vast: float = 6.0, **fields: Any) -> tuple[SimJob, ...]:
    """Equal jobs that take exactly so long."""
    seconds = {"vast": vast} if metal is None else {"metal": metal, "vast": vast}
    return tuple(SimJob(f"job-{i:03}", seconds, capability="speech", **fields) for i in range(count))


def night(jobs: tuple[SimJob, ...], renting: SimRenting = RENTING, budget: int | None = 5 * DOLLAR) -> Scenario:
    """One desk, and a machine that is ten times as fast for half a dollar an hour."""
    return Scenario(jobs, (DESK,), SimLimits(budget=budget), renting=renting)


def done(run: Run) -> int:
    """How many."""
    return sum(each.status == "done" for each in run.jobs)


def test_one_machine_works_through_what_waits_and_is_given_back() -> None:
    """Paid for from the wish to the end of its idle grace, to the millionth; the desk works meanwhile."""
    run = simulate(night(speech(200)))
    (machine,) = run.machines
    assert done(run) == 200
    assert machine.ready == pytest.approx(120.0)
    assert machine.jobs > 150
    assert machine.ended is not None
    assert machine.micro == round(RENTING.hourly * (machine.ended - machine.created) / HOUR)
    assert run.rent == machine.micro == run.micro
    assert machine.busy == pytest.approx(machine.jobs * 6.0)
    assert machine.ended - run.makespan <= RENTING.idle_grace + 1


def test_little_work_is_worth_no_machine() -> None:
    """Three jobs are done on the desk before a machine has started."""
    run = simulate(night(speech(3)))
    assert run.machines == ()
    assert run.micro == 0


def test_nothing_is_rented_without_a_budget_or_beyond_it() -> None:
    """At worst a machine costs its longest time; where that does not fit nothing begins."""
    assert simulate(night(speech(200), budget=None)).machines == ()
    assert simulate(night(speech(200), budget=DOLLAR // 2)).machines == ()


def test_what_only_a_rented_machine_can_do_is_done_there() -> None:
    """Pinned by what it knows of itself; a little waits for more, then a machine is rented all the same."""
    run = simulate(night(speech(5, metal=None), replace(RENTING, batch_min=50, batch_max_wait=300.0)))
    assert done(run) == 5
    assert run.machines[0].created == pytest.approx(300.0, abs=1)


def test_a_machine_that_is_taken_away_loses_no_job_and_no_attempt() -> None:
    """What it ran goes back; another is rented if what is left repays it."""
    renting = replace(RENTING, preempted=12.0)
    run = simulate(night(tuple(replace(each, max_attempts=1) for each in speech(300, metal=None)), renting), seed=3)
    assert any(machine.lost for machine in run.machines)
    assert done(run) == 300
    assert run.rent == sum(machine.micro for machine in run.machines)


def test_its_longest_time_is_never_passed() -> None:
    """Whatever is left to do; the next one goes on."""
    renting = replace(RENTING, max_runtime=600.0)
    run = simulate(night(speech(300, metal=None), renting))
    assert done(run) == 300
    assert len(run.machines) > 1
    assert all((machine.ended or 0) - machine.created <= 600.0 for machine in run.machines)


def test_the_report_has_a_bill_and_bounds_that_hold() -> None:
    """Dollars, idle share, dollars a job; and no schedule is said to be impossible that happened."""
    run = simulate(night(speech(200)))
    told = report.document(run)
    assert told["rented"]["usd"] == pytest.approx(run.rent / DOLLAR)
    assert told["rented"]["machines"][0]["jobs"] == run.machines[0].jobs
    assert 0 < told["rented"]["idle_share"] < 1
    assert told["makespan_floor_seconds"] <= told["makespan_seconds"]
    assert any(line.startswith("rented      1 machine: $") for line in report.lines(run))


def test_the_same_seed_rents_the_same() -> None:
    """Two runs, one history."""
    renting = replace(RENTING, preempted=6.0)
    first, second = (simulate(night(speech(200, spread=0.3), renting), seed=7) for _ in range(2))
    assert report.document(first) == report.document(second)
