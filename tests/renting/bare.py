"""A machine with a bare image, rented: job-runner is installed there over ssh, tried, and a batch is spoken.

    python -m tests.renting.bare [--jobs 12] [--wheels FOLDER]

The host has a Python and nothing of this checkout. What job-runner depends on comes from the package index as pip on
this machine is set up for it, or from a folder of wheels and from nowhere else. It ends with the seconds of each
state; exit code 1 where not every job is done, or a machine is left.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.fakes.hosts import HostPlan
from tests.fakes.vast_lives import Plan
from tests.renting.demo import bill_lines
from tests.renting.place import placed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JOBS: Final = 12
_END_SECONDS: Final = 1200.0
_NETWORK: Final = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_")


def index_of(wheels: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """What pip on the host is told: a folder of wheels alone, or how this machine reaches the index."""
    if wheels is not None:
        return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels.resolve())}
    return {name: value for name, value in environ.items() if name.upper().startswith(_NETWORK)}


async def run(folder: Path, index: Mapping[str, str], count: int) -> tuple[bool, list[str]]:
    """Rent one, have it speak, and see it end: whether all went well, and what a person is told."""
    with placed(folder, VAST_IMAGE="ubuntu:24.04", VAST_DEAD_MAN="60") as place:
        place.market.plan(Plan(host=HostPlan(bare=True, env=index)))
        ids = place.speak(count)
        watcher = place.watcher("watcher", "--drain")
        watcher.start()
        code = await watcher.ended(_END_SECONDS)
        done = [place.told("result", each)["status"] for each in ids].count("done")
        bills = place.told("instances", "list")["bills"]
        steps = [line for line in watcher.log.splitlines() if "rented machine" in line]
        left = len(place.market.living)
        well = (code, done, left, len(bills)) == (0, count, 0, 1)
        return well, [*steps, *bill_lines(bills), f"{done} of {count} done, {left} machines left"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run it and say what was seen."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.renting.bare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=JOBS)
    parser.add_argument("--wheels", type=Path, help="a folder that holds all that job-runner depends on")
    asked = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bare-") as folder:
        well, said = asyncio.run(run(Path(folder), index_of(asked.wheels, os.environ), asked.jobs))
    sys.stdout.write("\n".join([*said, f"{time.monotonic() - began:.0f} s", ""]))
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
