"""What rented machines cost on a simulated night, beside plans that know the whole of it."""

from __future__ import annotations

import json

import pytest

from bench.renting import JOBS, SHAPES, main, measure, night
from job_watcher.simulation.running import simulate


@pytest.mark.parametrize("shape", SHAPES)
def test_every_job_is_done_and_the_bill_is_near_the_best_fixed_plan(shape: str) -> None:
    """Within 1.15 of the cheapest plan that rents once and keeps what it rented, though that knows the whole night."""
    bill = measure(shape)
    assert bill.jobs_done == JOBS
    assert bill.by_fixed <= 1.15


def test_one_provisioning_drains_many_micro_batches() -> None:
    """Five hundred jobs at once: one machine, and at most a tenth of its hours without work."""
    bill = measure("at once")
    assert bill.machines == 1
    assert bill.idle_share <= 0.10
    assert bill.saved > 0


def test_between_bursts_nothing_is_paid_for() -> None:
    """A machine is given back after its idle grace; the next burst rents another."""
    run = simulate(night("in bursts", 0))
    assert len(run.machines) == 4
    for before, after in zip(run.machines, run.machines[1:], strict=False):
        assert before.ended is not None
        assert before.ended < after.created


def test_each_shape_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """For people and as JSON."""
    assert main([]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert all(line.startswith(shape) for line, shape in zip(shown, SHAPES, strict=True))
    assert main(["--json"]) == 0
    assert [json.loads(line)["shape"] for line in capsys.readouterr().out.splitlines()] == list(SHAPES)
