"""Two hundred jobs and three watchers, one of them killed again and again: all done, each recorded once.

`tests.chaos.killing` does the work and, run by hand, prints the figures; here they must be what the promises say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos.killing import Plan, chaos
from tests.chaos.yard import SLACK_SECONDS
from tests.support.watchers import LIFE_SECONDS, SWEEP_SECONDS

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos

PLANS = [
    Plan(rename=False, slots=3),
    # Forty slots each and no more than four deaths; the script does it in full.
    Plan(jobs=200, seconds=5, slots=40, kills=4, rename=True),
]


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: f"{plan.seconds:g}s-{'new' if plan.rename else 'same'}-names")
async def test_200_jobs_survive_their_watchers(yard: Yard, plan: Plan) -> None:
    """Promises 3, 6, 7 and 8: all done, none poison, one record each, nothing held back longer than L + S."""
    figures = await chaos(yard.server.url, yard.prefix, yard.home / "host", plan)
    said = figures.text(plan)
    assert figures.statuses == {"done": plan.jobs}, said
    assert figures.missing == 0, said
    assert figures.contradictions == [], said
    assert figures.findings == [], said
    assert figures.kills >= 3, said
    assert figures.worst_wait <= LIFE_SECONDS + SWEEP_SECONDS + SLACK_SECONDS, said
