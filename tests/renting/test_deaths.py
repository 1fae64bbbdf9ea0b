"""The watcher that rents is killed on the way: nothing is billed for long, and every job is done.

All steps are gone through by `python -m tests.renting.deaths`; here are the two that differ most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.renting.deaths import death_at

if TYPE_CHECKING:
    from pathlib import Path

# Watchers, sshd and workers load their models on the cores of this one machine.
pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


async def test_an_instance_that_its_renter_never_saw_is_found_by_its_label(tmp_path: Path) -> None:
    """Row 34: killed between the create and the record of it; another watcher ends it within L + S."""
    death = await death_at(tmp_path, "rent.created", alone=False)
    assert death.well, death.line()
    assert death.instances == 2


async def test_with_every_watcher_dead_the_host_destroys_itself(tmp_path: Path) -> None:
    """Row 35: at the dead-man's time, by the key that is good for this one instance."""
    death = await death_at(tmp_path, "rent.draining", alone=True)
    assert death.well, death.line()
    assert death.billed > 0
