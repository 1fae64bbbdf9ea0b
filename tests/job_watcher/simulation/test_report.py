"""What a simulated run says of itself."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from job_watcher.simulation import report
from job_watcher.simulation.drawn import workload
from job_watcher.simulation.running import simulate
from tests.job_watcher.simulation.scenarios import DESK, job, scenario
from tests.stress.simulated import stress

SECONDS = [90, 150, 120, 100, 130, 110, 95, 140, 125, 105]


def test_the_document_names_every_figure() -> None:
    """Makespan, cost, use, deadlines, decisions, lines; and it is JSON."""
    run = simulate(scenario(job("a", 10, 10, deadline=5.0), job("b", 10, 10, deadline=50.0), watchers=(DESK,)))
    told = json.loads(json.dumps(report.document(run)))
    assert told["makespan_seconds"] == 20
    assert told["makespan_floor_seconds"] == pytest.approx(20, rel=1e-4)
    assert (told["done"], told["failed"], told["waiting"]) == (2, 0, 0)
    assert told["utilisation"] == {"metal": 1.0}
    assert told["deadlines"] == {
        "jobs": 2, "missed": 1, "missed_jobs": ["a"], "meetable_at_most": 1, "cheapest_usd": 0.0,
    }  # fmt: skip
    assert [each["request_id"] for each in told["decisions"]] == ["a", "b"]
    assert told["attempts"][0] == {
        "request_id": "a", "backend": "metal", "slot": "desk 1", "start_seconds": 0.0, "end_seconds": 10.0,
        "status": "done",
    }  # fmt: skip
    assert {"at_seconds": 0.0, "text": "Fed Metal"} in told["lines"]


def test_a_person_reads_the_same() -> None:
    """Short, and with every decision if that is wanted."""
    run = stress(SECONDS)
    short = "\n".join(report.lines(run))
    assert "10 done, 0 failed, 0 left waiting" in short
    assert "makespan    5:35" in short
    assert "deadlines" not in short, "there are none"
    told = "\n".join(report.lines(run, verbose=True))
    assert "job-3 -> cloud" in told
    assert "M1 is full, trying Gemini" in told


def test_late_jobs_are_named_by_their_deadlines() -> None:
    """The first few, and how many more; what was never done says so."""
    jobs = [job(f"j{i}", 10, 10, deadline=9.0 - i) for i in range(7)]
    told = [each for each in report.lines(simulate(scenario(*jobs, watchers=(DESK,)))) if each.startswith("late")]
    assert len(told) == 6
    assert told[0].startswith("late        j6: due at 3 s, done at ")
    assert told[-1] == "late        and 2 more; --json names all"


def test_the_picture_has_a_bar_for_every_attempt() -> None:
    """Ten jobs, ten bars, and the slots that ran them."""
    svg = report.picture(stress(SECONDS), "stress")
    assert svg.count("<g>") == 10
    assert "here 1" in svg
    assert "job-10: cloud" in svg


def test_failures_are_bounded_soundly() -> None:
    """With attempts that fail the floors hold all the same."""
    jobs = [job(f"j{i}", 50, 20, fails={"cloud": 0.3, "metal": 0.1}, spread=0.3) for i in range(30)]
    for seed in range(5):
        run = simulate(scenario(*jobs, jobs_per_minute=20), seed=seed)
        assert report.floors(run).makespan <= run.makespan


@pytest.mark.parametrize("seed", range(6))
def test_no_run_is_better_than_what_no_schedule_can_beat(seed: int) -> None:
    """For each policy: makespan, deadlines, and the cost of those that were met."""
    for policy in ("local-first", "cheapest", "deadline"):
        run = simulate(replace(workload(seed), policy=policy), seed=seed)
        floor = report.floors(run)
        told = report.document(run)
        assert run.makespan >= floor.makespan * (1 - 1e-3)
        if policy == "local-first":
            assert run.makespan >= floor.conducted * (1 - 1e-3)
        assert told["deadlines"]["jobs"] - told["deadlines"]["missed"] <= floor.meetable
        assert run.micro >= floor.cheapest * (1 - 1e-9)


def test_an_idle_backend_and_an_empty_run_divide_by_nothing() -> None:
    """Nothing ran: no use, no floor."""
    run = simulate(scenario(job("far", 10, 10, capability="speech")))
    told = report.document(run)
    assert told["utilisation"] == {"cloud": 0.0, "metal": 0.0}
    assert (told["makespan_seconds"], told["makespan_floor_seconds"], told["waiting"]) == (0.0, 0.0, 1)
