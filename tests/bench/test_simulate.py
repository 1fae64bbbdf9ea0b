"""Random workloads against what no schedule can beat: a sample of what `python -m bench.simulate` measures in full."""

from __future__ import annotations

import json

import pytest

from bench.simulate import Figures, Summary, main, measure, summary, told
from job_watcher.simulation.drawn import ANY, workload

SAMPLE = 30
"""Some seconds' worth."""


@pytest.fixture(scope="module")
def found() -> list[Figures]:
    """The figures of the first workloads."""
    return [measure(seed) for seed in range(SAMPLE)]


@pytest.fixture(scope="module")
def all_(found: list[Figures]) -> Summary:
    """All of them together."""
    return summary(found)


def test_metal_never_idles_while_a_job_that_it_could_run_waits(found: list[Figures]) -> None:
    """In no workload, at no moment."""
    assert [each.seed for each in found if each.idle > 0] == []


def test_local_first_stays_as_near_to_the_bound_as_it_was_measured(all_: Summary) -> None:
    """What Rules A and B allow without a look ahead; the aim of 1.10 in the median is not reached, see the decision."""
    assert all_.median_by_rules <= 1.25
    assert all_.nine_in_ten_by_rules <= 1.6
    assert all_.worst_by_rules <= 3.1


def test_deadline_meets_what_can_be_met(all_: Summary) -> None:
    """At least 95 of 100 deadlines that the bound grants."""
    assert all_.deadlines_met >= 0.95
    assert all_.workloads_with_95_percent >= 0.9


def test_deadline_pays_little_more_than_anybody_must(all_: Summary) -> None:
    """What the met deadlines cost, by what they cost at least."""
    assert all_.cost_of_met <= 1.15


def test_no_run_beats_a_bound(found: list[Figures]) -> None:
    """Else the bound is none."""
    for each in found:
        assert each.by_any >= each.by_rules >= 1 - 1e-3
        assert each.met <= each.meetable <= each.dated
        assert each.met_cost >= each.cheapest * (1 - 1e-9)


def test_a_workload_is_drawn_from_its_seed_alone() -> None:
    """And they are as wide as is said."""
    assert workload(11) == workload(11)
    made = [workload(seed) for seed in range(200)]
    counts, slots = [len(each.jobs) for each in made], {each.slots("metal") for each in made}
    assert min(counts) < 15
    assert max(counts) > 185
    assert slots == {1, 2, 3, 4}
    ratios = [each.jobs[0].seconds["metal"] / each.jobs[0].seconds["cloud"] for each in made]
    assert min(ratios) < 0.5
    assert max(ratios) > 2
    rates = [each.limits.jobs_per_minute for each in made]
    assert min(rates) < 3
    assert max(rates) > 57
    assert all(
        watcher.offers[backend] == ANY for each in made for watcher in each.watchers for backend in watcher.slots
    )


def test_the_command_prints_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """For a person, and as JSON with a line for each workload."""
    assert main(["--workloads", "2", "--processes", "1"]) == 0
    assert "makespan by the bound of any schedule" in capsys.readouterr().out
    assert main(["--workloads", "2", "--processes", "1", "--each", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("seed") for line in lines] == [0, 1, None]
    assert lines[-1]["workloads"] == 2
    with pytest.raises(SystemExit):
        main(["--workloads", "0"])


def test_a_summary_of_nothing_paid_divides_by_nothing() -> None:
    """No deadlines, no cost: all was met for nothing."""
    figures = summary([Figures(0, 5, 0.0, 1.0, 1.0, 0, 0, 0, 0, 0, 0.0)])
    assert (figures.cost_of_met, figures.cost_of_all) == (1.0, 1.0)
    assert next(iter(told(figures))) == "1 workloads"
