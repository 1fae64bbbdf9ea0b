"""The demo with rented machines, short: the same programs, hosts, bucket and speech."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.renting import demo

if TYPE_CHECKING:
    from pathlib import Path

# As in the other courses that rent, everything runs on this one machine; the demo has a limit of its own.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


def test_a_machine_is_taken_away_and_every_job_is_done_on_another(tmp_path: Path) -> None:
    """All are in the bucket as their records say, no machine is left, and our books say no less than the market's."""
    said: list[str] = []
    seen = demo.run(tmp_path, said.append, count=24, after=1)
    assert (seen.done, seen.sound) == (24, 24)
    assert (seen.machines, seen.preempted, seen.left) == (2, 1, 0)
    assert len(seen.bills) == 2
    # From the request on, to the proof: a little more than the market counts, for each machine.
    assert seen.charged <= seen.usd + len(seen.bills) * 1e-6  # each bill is rounded to a millionth
    assert seen.usd <= 3 * seen.charged
    assert any("is taken away" in line for line in said)
    assert len(demo.bill_lines(seen.bills)) == 3
