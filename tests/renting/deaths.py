"""The watcher that rents is killed at each step of an instance's life: how long anything is billed after it.

    python -m tests.renting.deaths [POINT ...] [--alone]

With another watcher alive an instance whose renter died must be gone within L + S; with none, within the dead-man's
time from when its host last heard of anybody. Measured on the market's own clock. Afterwards every job is done, once.
The other one is there before the first begins; it may pay for nothing, so that it is the first who rents.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.renting.place import DEAD_MAN_SECONDS, placed
from tests.support.wait import wait_until
from tests.support.watchers import LIFE_SECONDS, SWEEP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence

POINTS: Final = (
    "rent.intended", "rent.before_create", "rent.created", "rent.recorded", "rent.running", "rent.connected",
    "rent.probed", "rent.canary", "rent.draining", "rent.before_destroy", "rent.destroy_asked", "rent.gone",
)  # fmt: skip
JOBS: Final = 3
SLACK_SECONDS: Final = 6.0
"""What a loaded machine may take for anything."""

TOO_LITTLE: Final = "0.001"
"""Dollars an hour for which nobody rents anything out."""

_END_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Death:
    """What was seen: seconds for which the dead watcher's instances were billed on, and what became of the jobs."""

    point: str
    alone: bool
    billed: float
    bound: float
    instances: int
    done: int
    failed: int
    left: int

    @property
    def well(self) -> bool:
        """Whether nothing was billed for too long, nothing is left, and every job is done."""
        return self.billed <= self.bound and not self.left and self.done == JOBS and not self.failed

    def line(self) -> str:
        """For a person."""
        beside = "nobody else" if self.alone else "another watcher"
        return (
            f"{self.point:<20} {beside:<16} billed {self.billed:5.2f} s after it (bound {self.bound:.1f}), "
            f"{self.instances} instances, {self.left} left, {self.done} done"
            f"{'' if self.well else '  NOT AS IT MUST BE'}"
        )


async def death_at(folder: Path, point: str, *, alone: bool) -> Death:
    """One death at one point."""
    with placed(folder) as place:
        ids = place.speak(JOBS)
        first, other = place.watcher("first", "--drain"), place.watcher("other", VAST_MAX_DPH=TOO_LITTLE)
        if not alone:
            other.start()
            await wait_until(lambda: place.sessions() == 1, _END_SECONDS, what="the other watcher")
        first.start(failpoint=point)
        await first.ended(_END_SECONDS)
        died = place.market.clock.time()
        of_the_dead = [each.meter for each in place.market.instances]
        bound = (DEAD_MAN_SECONDS if alone else LIFE_SECONDS + SWEEP_SECONDS) + SLACK_SECONDS
        await wait_until(lambda: not place.market.living, _END_SECONDS, what="the end of its machines")
        if not alone:
            other.term()
            await other.ended(_END_SECONDS)
        last = place.watcher("last")
        last.start()
        await wait_until(lambda: all(each.ended for each in of_the_dead), _END_SECONDS, what="the end of its bills")
        await wait_until(lambda: place.active() == 0, _END_SECONDS, what="the end of all jobs")
        last.term()
        await last.ended(_END_SECONDS)
        ended = [each.ended for each in of_the_dead]
        now = place.market.clock.time()
        billed = max(((now if each is None else each) - died for each in ended), default=0.0)
        records = [place.told("result", each) for each in ids]
        statuses = [each["status"] for each in records]
        return Death(
            point,
            alone,
            max(0.0, billed),
            bound,
            len(place.market.instances),
            statuses.count("done"),
            statuses.count("failed"),
            len(place.market.living),
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Die at each of the points, with another watcher alive and alone; exit code 1 where one was not as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.renting.deaths", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("points", nargs="*", metavar="POINT", help=", ".join(POINTS))
    parser.add_argument("--alone", action="store_true", help="only with nobody else alive")
    parser.add_argument("--beside", action="store_true", help="only with another watcher alive")
    asked = parser.parse_args(argv)
    well, began = True, time.monotonic()
    for point in asked.points or POINTS:
        for alone in (False, True):
            if (alone and asked.beside) or (not alone and asked.alone):
                continue
            with tempfile.TemporaryDirectory(prefix="deaths-") as folder:
                death = asyncio.run(death_at(Path(folder), point, alone=alone))
            sys.stdout.write(death.line() + "\n")
            sys.stdout.flush()
            well = well and death.well
    sys.stdout.write(f"{time.monotonic() - began:.0f} s\n")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
