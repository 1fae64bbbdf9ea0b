"""Growth: submit, drain, status, history and report with a thousand to a million jobs waiting, and as many done.

Each figure is ours by raw at that size, and raw works on a small stream of its own, so a machine that slows down in
the minutes between takes both along. What is said to be flat is the middle of these ratios at the largest size, divided
by the middle at ten thousand: a run at the one size has no partner at the other.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from bench import raw
from bench.draining import drained_so_many, raw_rate, record_of_a_job
from bench.figure import FLAT_WITHIN, Figure, Found, rate, ratio_at_least, ratio_at_most, ratios
from bench.filling import fill_done, fill_waiting
from bench.stand import jobs, standing
from bench.submitting import submitted
from bench.turns import by_turns
from job_runner.service.outcomes import history, report
from lib.jobfile.scanning import FileJob
from lib.jobqueue import JobSpec
from lib.redisqueue.overview import overview

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bench.sizes import Sizes
    from bench.stand import Stand
    from bench.steps import Steps
    from lib.jobqueue.protocol import Submission

HELD_AGAINST: Final = 10_000
_VIEWS: Final = ("status", "history", "report")
_LOOKS: Final = 9
_REPORTED: Final = 1_000
_HISTORY: Final = 100
_IDLE_MS: Final = 60_000
_UNITS: Final = {"submit": "/s", "drain": "/s"} | dict.fromkeys(_VIEWS, "ms")


@dataclass(slots=True)
class Level:
    """What was found with so many jobs `waiting` or `done`."""

    size: int
    which: str
    ours: dict[str, list[float]] = field(default_factory=dict)
    beside: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, ours: float, beside: float) -> None:
        """One pair."""
        self.ours.setdefault(what, []).append(ours)
        self.beside.setdefault(what, []).append(beside)


async def measure(sizes: Sizes, step: Steps) -> Found:
    """On one server: fill, look, fill more; then another with the done ones."""
    levels: list[Level] = []
    try:
        await _filled(sizes, step, levels)
    finally:
        step.found.figures += figures(levels)
    return step.found


async def _filled(sizes: Sizes, step: Steps, levels: list[Level]) -> None:
    record = await record_of_a_job()
    for which, fill in (("waiting", fill_waiting), ("done", fill_done)):
        async with standing() as stand:
            for size in sizes.waiting:
                await fill(stand, size, f"{which}{size}")
                await stand.quiet()
                level = Level(size, which)
                for number in range(sizes.repeats):
                    await _look(stand, level, sizes, number, record)
                    step()
                levels.append(level)


async def _look(stand: Stand, level: Level, sizes: Sizes, number: int, record: bytes) -> None:
    """Every thing once, on top of what is there; what was submitted is drained again."""
    some = await asyncio.to_thread(jobs, sizes.sample, f"{level.which}{level.size}-{number}")
    level.note("submit", *await by_turns(number, lambda: _submitted(stand, some), lambda: _raw_submitted(stand, some)))
    listed = [_file_job(job) for job in some[:_REPORTED]]
    looks: dict[str, Callable[[], Awaitable[object]]] = {
        "status": lambda: overview(stand.queue, lease_idle_ms=_IDLE_MS),
        "history": lambda: history(stand.queue, status="all", limit=_HISTORY),
        "report": lambda: report(stand.queue, listed),
    }
    for what, look in looks.items():
        level.note(what, *await by_turns(number, partial(_timed, look), lambda: _timed(lambda: _raw_page(stand))))
    drains = await by_turns(number, lambda: drained_so_many(stand, len(some)), lambda: raw_rate(stand, some, record))
    level.note("drain", *drains)


async def _submitted(stand: Stand, some: list[Submission]) -> float:
    return rate(len(some), await submitted(stand.queue, some))


async def _raw_submitted(stand: Stand, some: list[Submission]) -> float:
    seconds = await asyncio.to_thread(raw.submit, stand.client, [job.job for job in some])
    raw.clear(stand.client)
    return rate(len(some), seconds)


async def _timed(look: Callable[[], Awaitable[object]]) -> float:
    """Milliseconds, the middle of several."""
    times = []
    for _ in range(_LOOKS):
        begun = time.perf_counter()
        await look()
        times.append((time.perf_counter() - begun) * 1000)
    return sorted(times)[_LOOKS // 2]


async def _raw_page(stand: Stand) -> None:
    """Sixteen round trips of the same client: what a look could cost at the least."""
    for _ in range(16):
        await stand.queue.client.ping()


def _file_job(job: Submission) -> FileJob:
    return FileJob(0, 1, JobSpec.model_validate_json(job.job))


def figures(levels: list[Level]) -> list[Figure]:
    """One for each thing at each size, and whether it is flat."""
    found: list[Figure] = []
    for which, some in itertools.groupby(levels, key=lambda level: level.which):
        of_this = list(some)
        base = next((level for level in of_this if level.size == HELD_AGAINST), of_this[0])
        for what in ("submit", "drain", *_VIEWS):
            found += [_figure(what, which, level) for level in of_this]
            if of_this[-1] is not base:
                found.append(_verdict(what, which, base, of_this[-1]))
    return found


def _figure(what: str, which: str, level: Level) -> Figure:
    beside = "raw" if what in {"submit", "drain"} else "16 PINGs"
    ours, other = tuple(level.ours[what]), tuple(level.beside[what])
    return Figure("growth", f"{what}, {short(level.size)} {which}", _UNITS[what], ours, other, beside)


def _verdict(what: str, which: str, few: Level, many: Level) -> Figure:
    """Ours by raw with many, against ours by raw with few; no run of the one belongs to one of the other."""
    more, less = (ratios(level.ours[what], level.beside[what]) for level in (many, few))
    rates = what in {"submit", "drain"}
    flat = ratio_at_least(1 - FLAT_WITHIN) if rates else ratio_at_most(1 + FLAT_WITHIN)
    title = f"{what}, {short(many.size)} {which} by {short(few.size)}"
    note = "flat: within a tenth, the median with many by the median with few"
    return Figure("growth", title, "of raw", more, less, short(few.size), flat, note, paired=False)


def short(count: int) -> str:
    """1k, 100k, 1M."""
    return f"{count // 1_000_000}M" if count >= 1_000_000 else f"{count // 1000}k"  # noqa: PLR2004 - a million
