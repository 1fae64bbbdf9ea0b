"""What is told before a simulation: how much there is to do, and when that is too much."""

from __future__ import annotations

from dataclasses import replace

import pytest

from job_watcher.simulation import extent
from job_watcher.simulation.running import simulate
from lib.errors import InvalidInputError
from tests.job_watcher.simulation.scenarios import job, scenario


def test_attempts_are_counted_with_those_that_fail() -> None:
    """One where nothing fails, all where everything does, the mean between."""
    sure, vain = job("a"), job("b", fails={"metal": 1.0, "cloud": 1.0}, max_attempts=7)
    half = job("c", fails={"metal": 0.5, "cloud": 0.5}, max_attempts=2)
    assert [extent.attempts(scenario(each)) for each in (sure, vain, half)] == [1, 7, 1.5]


def test_as_many_are_foretold_as_there_are() -> None:
    """Where chance has no part."""
    told = scenario(*(job(f"j{i}", fails={"metal": 1.0, "cloud": 1.0}, max_attempts=4) for i in range(5)))
    assert len(simulate(told).attempts) == extent.attempts(told) == 20


def test_what_is_over_soon_is_not_talked_about() -> None:
    """A long night is not long to simulate."""
    assert extent.warning(scenario(*(job(f"j{i}") for i in range(1000)))) is None


def test_planning_for_deadlines_is_what_takes_long() -> None:
    """Said with what to do; under another policy the same jobs are quick."""
    jobs = [job(f"j{i}", deadline=1e6) for i in range(20_000)]
    told = scenario(*jobs, policy="deadline")
    assert "20000 jobs, about 20000 attempts: this may take 4 minutes; policy deadline" in (extent.warning(told) or "")
    assert extent.warning(replace(told, policy="cheapest")) is None


def test_more_than_can_be_kept_is_refused() -> None:
    """With the fields that make it so."""
    vain = scenario(*(job(f"j{i}", fails={"metal": 1.0, "cloud": 1.0}, max_attempts=1000) for i in range(1001)))
    with pytest.raises(InvalidInputError, match="about 1001000 attempts are too many") as caught:
        extent.warning(vain)
    assert "max_attempts" in (caught.value.hint or "")


def test_progress_is_told_on_the_way() -> None:
    """Every hundred attempts."""
    heard: list[int] = []
    simulate(scenario(*(job(f"j{i}", metal=1.0) for i in range(250))), progress=heard.append)
    assert heard == [100, 200]
