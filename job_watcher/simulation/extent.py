"""How much there is to simulate, told before it begins: what would take very long is warned of, or refused.

The figures are those of a slow machine of 2026, and rough: an attempt costs a decision or two, and under the policy
`deadline` each of them plans the waiting jobs that have one anew, up to `URGENT_MAX`. Called by
`job-watcher simulate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from job_watcher.simulation.running import URGENT_MAX
from lib.errors import InvalidInputError

if TYPE_CHECKING:
    from job_watcher.simulation.scenario import Scenario, SimJob

MOST_ATTEMPTS: Final = 1_000_000
"""Each is remembered for the report, in a kilobyte or so."""

LONG_SECONDS: Final = 60.0

_ATTEMPT_SECONDS: Final = 0.0005
_PLANNED_SECONDS: Final = 0.00002


def attempts(scenario: Scenario) -> float:
    """How many there will be on average, if every job gets its turn."""
    return sum(map(_attempts, scenario.jobs))


def seconds(scenario: Scenario) -> float:
    """What to simulate it takes, roughly."""
    total = attempts(scenario)
    dated = sum(job.deadline is not None for job in scenario.jobs) if scenario.policy == "deadline" else 0
    return total * (_ATTEMPT_SECONDS + _PLANNED_SECONDS * min(dated, URGENT_MAX))


def warning(scenario: Scenario) -> str | None:
    """What to say beforehand, None where it is over soon.

    Raises:
        InvalidInputError: there is more than can be simulated.

    """
    total = attempts(scenario)
    if total > MOST_ATTEMPTS:
        raise InvalidInputError(
            f"about {total:.0f} attempts are too many; at most {MOST_ATTEMPTS} can be simulated",
            hint="lower count, fails or max_attempts",
        )
    took = seconds(scenario)
    if took < LONG_SECONDS:
        return None
    mend = "; policy deadline plans anew at every step: fewer jobs with one take less" * (scenario.policy == "deadline")
    return f"{len(scenario.jobs)} jobs, about {total:.0f} attempts: this may take {took / 60:.0f} minutes{mend}"


def _attempts(job: SimJob) -> float:
    fails = min((job.fails.get(backend, 0.0) for backend in job.backends()), default=0.0)
    return job.max_attempts if fails == 1 else (1 - fails**job.max_attempts) / (1 - fails)
