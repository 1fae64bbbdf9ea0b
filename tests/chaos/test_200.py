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
    # Each of the first three dies once, before a job that the dead held is back: killed twice, the forty of one watcher
    # would be suspects, which run one at a time for minutes. The script does that too.
    Plan(jobs=200, seconds=5, slots=40, every=1.5, kills=3, rename=True),
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
    assert figures.waits, said
    assert figures.worst_wait <= LIFE_SECONDS + SWEEP_SECONDS + SLACK_SECONDS, said
