"""The stress test's command line.

    python -m tests.stress [--seconds-min 90] [--seconds-max 150] [--count 10] [--seed 1] [--picture FILE.svg]

Exit code 0: all was as the requirement says, and the simulator decides the same; 1: something was not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.stress.comparing import differences, picture
from tests.stress.course import Plan, Seen, run
from tests.stress.judging import most_in_a_window, problems


def main() -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.stress", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seconds-min", type=int, default=90)
    parser.add_argument("--seconds-max", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=2.0, help="jobs a minute for the cloud")
    parser.add_argument("--picture", type=Path, help="where to draw the timeline")
    options = parser.parse_args()
    plan = Plan(options.count, options.seconds_min, options.seconds_max, options.seed, options.rate)
    with tempfile.TemporaryDirectory(prefix="stress-") as folder:
        seen = asyncio.run(run(plan, Path(folder)))
    sys.stdout.write(_text(seen))
    if options.picture:
        options.picture.write_text(picture(seen))
        sys.stdout.write(f"timeline: {options.picture}\n")
    wrong = [*problems(seen), *differences(seen)]
    for problem in wrong:
        sys.stdout.write(f"not as it must be: {problem}\n")
    sys.stdout.write("all as it must be\n" if not wrong else "")
    return 1 if wrong else 0


def _text(seen: Seen) -> str:
    rows = [f"{'NAP':<10} {'TOOK':>6}  {'BACKEND':<7} {'MOVED':>7} {'STARTED':>8} {'ENDED':>7}  STATUS"]
    rows += [
        f"{nap.name:<10} {nap.seconds:>4.0f} s  {nap.backend:<7} {nap.moved:>7.1f} {nap.started:>8.1f} "
        f"{nap.ended:>7.1f}  {nap.status}"
        for nap in seen.naps
    ]
    rows += ["", *(f"{line.at:>7.1f}  {line.text}{f' ({line.jobs})' if line.jobs else ''}" for line in seen.lines), ""]
    cloud = [nap.moved for nap in seen.naps if nap.backend == "cloud"]
    makespan, most = max((nap.ended for nap in seen.naps), default=0.0), most_in_a_window(cloud)
    rows.append(f"makespan {makespan:.1f} s; most on the cloud in 60 s: {most}; verify ended with {seen.verified}\n")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
