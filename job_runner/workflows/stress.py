"""The stress test of the conductor: a few long naps, for a machine with one slot beside a cloud with a limit.

The figures are those of the requirement (10 jobs of 90 to 150 s); a seed decides how long each nap is. Pure.
"""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from job_runner.workflows.entries import FOLDER, Entry, plan_id
from lib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

OUT: Final = FOLDER / "stress_test_v1.jsonl"
TASK: Final = "tasks.sleep_task"


@dataclass(frozen=True, slots=True)
class StressPlan:
    """`count` naps of `seconds_min` to `seconds_max` whole seconds."""

    count: int = 10
    seconds_min: int = 90
    seconds_max: int = 150
    seed: int = 1

    def __post_init__(self) -> None:
        if self.seconds_min > self.seconds_max:
            raise InvalidInputError(
                f"--seconds-min {self.seconds_min} is more than --seconds-max {self.seconds_max}",
                hint="exchange the two",
            )

    @property
    def plan(self) -> str:
        """Its name."""
        return plan_id("stress", asdict(self))

    def entries(self) -> Iterator[Entry]:
        """`Job 1`, `Job 2` and so on."""
        # A plan is to be the same again, not hard to guess.
        draw = random.Random(f"stress:{self.seed}")  # noqa: S311
        for number in range(1, self.count + 1):
            seconds = draw.randint(self.seconds_min, self.seconds_max)
            yield Entry(TASK, f"Job {number}", args=(seconds,), description=f"sleep {seconds} s")
