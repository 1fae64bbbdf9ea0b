"""`plan` and `enqueue` of job files of many rows: time against PyYAML on the same file, memory, and rows a second."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Final

from bench import raw
from bench.figure import FLAT_WITHIN, Figure, Found, Target, rate, ratio_at_most
from bench.stand import BIN, said_by, standing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis

    from bench.sizes import Sizes
    from bench.stand import Stand

_ROW: Final = """\
- output_name: topic/beat-{i:06d}
  voice: newsroom
  text: Beat number {i} of a long night, in which a hundred thousand lines wait to be spoken by the morning.
"""
_BESIDE: Final = "CSafeLoader"
Run = dict[str, float]


async def measure(sizes: Sizes, step: Callable[[], None]) -> Found:
    """Each size of file; the largest is held against the targets."""
    found = Found()
    smallest: Run | None = None
    async with standing() as stand:
        for count in sizes.rows:
            path = stand.state / f"{count}.yaml"
            await asyncio.to_thread(write, path, count)
            runs: list[dict[str, Run]] = []
            for number in range(min(sizes.repeats, 3)):
                runs.append(await _runs(stand, path, f"{count}-{number}"))
                step()
            last = count == sizes.rows[-1]
            found.figures += _figures(runs, count, last=last)
            if smallest is None:
                smallest = runs[0]["plan"]
            elif last:
                found.figures.append(_memory(runs, count, smallest, sizes.rows[0]))
    return found


def write(path: Path, count: int) -> None:
    """A file of so many rows of speech."""
    with path.open("w") as out:
        out.write("jobs:\n")
        out.writelines(_ROW.format(i=number) for number in range(count))


async def _runs(stand: Stand, path: Path, prefix: str) -> dict[str, Run]:
    """Each way once; `raw` is the same number of XADDs of as many bytes."""
    environ = stand.environ(JOBS_PREFIX=prefix)
    environ.pop("JOBS_TASK_MODULES")
    runner = str(BIN / "job-runner")

    async def reading(*words: str) -> Run:
        # From a place without a .env file of the user's.
        return await _told(*words, environ=environ, cwd=stand.state)

    found = {
        "load": await reading("load", str(path)),
        "rows": await reading("rows", str(path)),
        "plan": await reading("run", runner, "plan", str(path), "--quiet"),
        "enqueue": await reading("run", runner, "enqueue", str(path), "--quiet"),
    }
    payloads = await asyncio.to_thread(_queued, stand.client, prefix)
    seconds = await asyncio.to_thread(raw.submit, stand.client, payloads)
    raw.clear(stand.client)
    stand.client.flushdb()
    return found | {"raw": {"seconds": seconds, "megabytes": 0.0, "jobs": float(len(payloads))}}


def _queued(client: redis.Redis, prefix: str) -> list[bytes]:
    """What `enqueue` has put into the queue, as bytes."""
    entries: Any = client.xrange(f"{prefix}:jobs:stream")
    return [fields[b"job"] for _, fields in entries]


def _figures(runs: list[dict[str, Run]], count: int, *, last: bool) -> list[Figure]:
    rows = f"{count:,}".replace(",", " ") + " rows"

    def times(way: str) -> tuple[float, ...]:
        return tuple(each[way]["seconds"] for each in runs)

    def rates(way: str) -> tuple[float, ...]:
        return tuple(rate(count, each[way]["seconds"]) for each in runs)

    half = ratio_at_most(0.5) if last else None
    return [
        Figure("plan", f"parsing, {rows}", "s", times("rows"), times("load"), _BESIDE, half),
        Figure("plan", f"plan, {rows}", "s", times("plan"), times("load"), _BESIDE, None, "the whole command"),
        Figure("plan", f"enqueue, {rows}", "/s", rates("enqueue"), rates("raw"), "raw", None, "the whole command"),
    ]


def _memory(runs: list[dict[str, Run]], count: int, smallest: Run, fewest: int) -> Figure:
    """Flat means: a file a hundred times as long takes no more."""
    most = tuple(each["plan"]["megabytes"] for each in runs)
    flat = Target("ratio", "at most", 1 + FLAT_WITHIN)
    few = (smallest["megabytes"],) * len(most)
    return Figure("plan", f"plan, memory with {count} rows", "MB", most, few, f"{fewest} rows", flat)


async def _told(*words: str, environ: dict[str, str], cwd: Path) -> Run:
    """What `bench.reading` says.

    Raises:
        StandError: it failed.

    """
    out = await said_by(sys.executable, "-m", "bench.reading", *words, environ=environ, cwd=cwd)
    told: Run = json.loads(out)
    return told
