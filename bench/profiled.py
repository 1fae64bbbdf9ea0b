"""Where the time goes: a submit or a drain under cProfile, and what the server says of its commands.

    python -m bench.profiled drain [--jobs 20000] [--lanes] [--sort tottime] [--lines 30]
    python -m bench.profiled submit

A profiler makes every call dearer, the short ones most: it shows where to look, and is no measure. `python -m bench`
measures.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats
import sys
from typing import TYPE_CHECKING, Any

from bench.filling import fill_lane
from bench.stand import ROOM, SLOTS, ended_well, jobs, process, standing
from lib.redisqueue import producing

if TYPE_CHECKING:
    from pathlib import Path

    from bench.stand import Stand


async def drain(stand: Stand, count: int, *, lanes: bool) -> Path:
    """A watcher that drains under the profiler; the file with its profile."""
    await producing.submit(stand.queue, await asyncio.to_thread(jobs, count, "p"))
    if lanes:
        await fill_lane(stand, count)
    stand.client.config_resetstat()
    profile = stand.state / "drain.profile"
    words = (sys.executable, "-m", "cProfile", "-o", str(profile), "-m", "job_watcher.cli", "--quiet", "--drain")
    environ = stand.environ(METAL_CONCURRENCY=str(SLOTS), METAL_QUEUE_MAX=str(ROOM))
    async with process(*words, environ=environ, log=stand.state / "w.log") as running:
        await ended_well(running, stand)
    return profile


async def submit(stand: Stand, count: int) -> Path:
    """A bulk submit of validated jobs in this process; the file with its profile."""
    submissions = await asyncio.to_thread(jobs, count, "p")
    stand.client.config_resetstat()
    profiler = cProfile.Profile()
    profiler.enable()
    await producing.submit(stand.queue, submissions)
    profiler.disable()
    profile = stand.state / "submit.profile"
    profiler.dump_stats(profile)
    return profile


def commands(stats: dict[str, Any], count: int) -> list[str]:
    """INFO commandstats by time: those called from scripts count in the script's time again."""
    rows = sorted(stats.items(), key=lambda item: -float(item[1]["usec"]))
    return [
        f"  {name.removeprefix('cmdstat_'):<24}{each['calls']:>10} calls{float(each['calls']) / count:>8.3f} a job"
        f"{float(each['usec']) / count:>9.2f} µs a job"
        for name, each in rows
    ]


async def main() -> None:
    """One of the two, on a server of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("drain", "submit"))
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--lanes", action="store_true", help="drain from filled lanes, without the conductor")
    parser.add_argument("--sort", default="tottime", help="as pstats has it: tottime, cumulative, ncalls")
    parser.add_argument("--lines", type=int, default=30)
    options = parser.parse_args()
    async with standing() as stand:
        if options.what == "drain":
            profile = await drain(stand, options.jobs, lanes=options.lanes)
        else:
            profile = await submit(stand, options.jobs)
        pstats.Stats(str(profile)).sort_stats(options.sort).print_stats(options.lines)
        print(f"the server's commands, {options.jobs} jobs")
        print("\n".join(commands(stand.info("commandstats"), options.jobs)))


if __name__ == "__main__":
    asyncio.run(main())
