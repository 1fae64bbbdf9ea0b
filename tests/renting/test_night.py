"""The sums of the long course: what a fixed plan takes, and when a night is not as it must be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.renting.bare import index_of
from tests.renting.night import JOBS, Night, fixed_seconds

NIGHT = Night(
    jobs=JOBS, done=JOBS, machines=1, batches=10, left=0, work=95.0, paid=100.0, charged=1.1, booked=1.2,
    fixed=1.0, fixed_machines=1, naive=2.2, naive_machines=10, seconds=120.0,
)  # fmt: skip


def test_a_fixed_plan_pays_all_its_machines_from_the_first_job_to_the_last() -> None:
    """Each takes the next that waits once it has started; those that are done wait for the last one, and are paid."""
    assert fixed_seconds([1.0] * 4, 2.0, 1) == 6.0
    assert fixed_seconds([1.0] * 4, 2.0, 2) == 8.0
    assert fixed_seconds([1.0, 5.0, 1.0], 2.0, 2) == 14.0


def test_a_night_is_told_with_its_aims() -> None:
    """Idle share, times the best fixed plan, and what of the naive plan was saved."""
    assert NIGHT.well
    assert (NIGHT.idle, NIGHT.by_fixed, NIGHT.saved) == pytest.approx((0.05, 1.1, 0.5))
    assert any("idle 5.0%" in line for line in NIGHT.lines())


def test_a_night_in_which_nothing_was_done_is_told_too() -> None:
    """Its figures are what one looks at then."""
    failed = replace(NIGHT, done=0, work=0.0, paid=0.0, charged=0.0, fixed=0.0, naive=0.0)
    assert not failed.well
    assert failed.lines()


@pytest.mark.parametrize(
    "short",
    [
        replace(NIGHT, work=89.0),
        replace(NIGHT, charged=1.16),
        replace(NIGHT, done=JOBS - 1),
        replace(NIGHT, left=1),
        replace(NIGHT, batches=1),
    ],
)
def test_whatever_falls_short_is_said(short: Night) -> None:
    """An aim that is missed, a job that is not done, a machine that is left, a machine for one batch."""
    assert not short.well


def test_a_bare_host_is_told_where_packages_are_and_nothing_else(tmp_path: Path) -> None:
    """How pip here reaches its index, or a folder alone; no other variable of the caller."""
    environ = {"PIP_CERT": "ca", "https_proxy": "p", "VAST_API_KEY": "k", "PYTHONPATH": "x"}
    assert index_of(None, environ) == {"PIP_CERT": "ca", "https_proxy": "p"}
    assert index_of(tmp_path, environ) == {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(Path(tmp_path).resolve())}
