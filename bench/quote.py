"""`python -m bench.quote`: what `plan` foretells after one warm-up batch, against what the run then took and cost.

Each scene has a server, a watcher and a warm-up batch of its own. `local` speaks on this machine; `cloud` speaks by a
listed speaker on a fake of the Gemini API; `both` lets the conductor deal the same out to both. It says how far off the
quote was, and ends with 1 when that is more than `WITHIN`. It needs a quiet machine, as every measure of time does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from bench.stand import BIN, LOOK_SECONDS, StandError, end, present, said_by, standing, still_there, watcher
from lib.redisqueue import measures

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.stand import Stand

WITHIN: Final = 0.2
WARM_UP_JOBS: Final = 12
JOBS: Final = 90
_LATENCY_SECONDS: Final = 0.8
_KEY: Final = "AIza-of-a-benchmark-0123456789"
_CLOUD: Final = {
    "GEMINI_API_KEY": _KEY,
    "GEMINI_RPM": "6000",
    "GEMINI_TPM": "0",
    "GEMINI_RPD": "0",
    "CLOUD_TOKENS_PER_MIN": "6000",
    "CLOUD_CONCURRENCY": "3",
    "BUDGET_PER_DAY_USD": "3",
}
_RYAN: Final = "speaker: Ryan"
_THERE: Final = f"{_RYAN}, backend: cloud"
_SENTENCE: Final = "The lamp burned all night, and in the morning somebody had written this line. "


@dataclass(frozen=True, slots=True)
class Scene:
    """One kind of run: who speaks, where, and the row of the quote that stands for it.

    `warm_up` are the rows of the batch before it, by turns: one that ran on every backend.
    """

    name: str
    backends: str
    way: str
    row: str
    warm_up: tuple[str, ...]
    environ: Mapping[str, str] = field(default_factory=dict)


SCENES: Final = (
    Scene("local", "metal", "local only", "voice: newsroom", ("voice: newsroom",)),
    Scene("cloud", "metal,cloud", "cloud only", _THERE, (_THERE,), _CLOUD),
    Scene("both", "metal,cloud", "local + cloud", _RYAN, (_THERE, f"{_RYAN}, backend: metal"), _CLOUD),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was foretold, what came, and by which estimates."""

    scene: str
    estimates: str
    seconds: float
    seconds_p90: float
    took: float
    usd: float
    cost: float

    @property
    def off(self) -> float:
        """How far off the quote was, of what came; the worse of time and money."""
        return max(_off(self.seconds, self.took), _off(self.usd, self.cost))

    @property
    def line(self) -> str:
        """For people."""
        return (
            f"{self.scene:6} {self.estimates:9} quote {self.seconds:7.1f} s (p90 {self.seconds_p90:.1f}), took "
            f"{self.took:7.1f} s; quote ${self.usd:.6f}, cost ${self.cost:.6f}; off by {self.off:.0%}"
        )


def _off(foretold: float, came: float) -> float:
    return abs(foretold - came) / came if came else float(foretold > 0)


def rows(speakers: Sequence[str], count: int, name: str) -> Iterator[str]:
    """A job file of texts of one to four sentences, by these speakers in turn."""
    yield "jobs:\n"
    for number in range(count):
        text = _SENTENCE * (1 + number // len(speakers) % 4)
        who = speakers[number % len(speakers)]
        yield f'- {{output_name: {name}/{number:03d}, {who}, text: "{text.strip()}", cache: no}}\n'


def row_of(planned: Mapping[str, Any], way: str) -> Mapping[str, Any]:
    """The row of a way, by the default policy where there are several.

    Raises:
        StandError: the quote has none.

    """
    for row in planned["quote"]["rows"]:
        if row["way"] == way and row["policy"] in {None, "local-first"}:
            return dict(row)
    raise StandError(f"the quote has no row {way!r}: {[row['way'] for row in planned['quote']['rows']]}")


def came_to(records: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Seconds from the first job's start to the last one's end, and dollars."""
    begun = min(datetime.fromisoformat(record["started_at"]) for record in records)
    ended = max(datetime.fromisoformat(record["completed_at"]) for record in records)
    cost = sum(float((record.get("cost") or {}).get("usd") or 0) for record in records)
    return (ended - begun).total_seconds(), cost


@asynccontextmanager
async def _fake(stand: Stand) -> AsyncIterator[str]:
    """A Gemini on loopback; its URL."""
    script = stand.state / "gemini.json"
    script.write_text(json.dumps({"latency": _LATENCY_SECONDS, "keys": [_KEY]}))
    words = ("-m", "tests.support.fake_gemini", "--script", str(script))
    running = await asyncio.create_subprocess_exec(
        sys.executable, *words, env=stand.environ(), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert running.stdout is not None  # noqa: S101 - asked for
        yield str(json.loads(await running.stdout.readline())["url"])
    finally:
        await end(running)


async def run(scene: Scene, warm_up: int = WARM_UP_JOBS, count: int = JOBS) -> Outcome:
    """The scene: a warm-up batch, a quote, and the run that it foretells.

    Raises:
        StandError: a program failed, or a job did.

    """
    async with standing() as stand, AsyncExitStack() as stack:
        more = dict(scene.environ)
        if scene.environ:
            more["GEMINI_BASE_URL"] = await stack.enter_async_context(_fake(stand))
        environ = stand.environ(METAL_CONCURRENCY="1", **more)
        flags = ("--backends", scene.backends)
        running = await stack.enter_async_context(watcher(stand, *flags, slots=1, room=2, **more))
        await present(stand, running)
        warm_up *= len(scene.warm_up)
        first = _file(stand, scene.warm_up, warm_up, "warm")
        second = _file(stand, (scene.row,), count, "main")
        await _done(stand, running, environ, first, warm_up)
        while sum(each.count for each in (await measures.read(stand.queue)).values()) < warm_up:
            await still_there(running, stand)
            await asyncio.sleep(LOOK_SECONDS)
        planned = await _told(environ, stand, "plan", str(second), "--budget", "3", "--json")
        row = row_of(planned, scene.way)
        took, cost = came_to(await _done(stand, running, environ, second, count))
        seconds = row["seconds"]
        return Outcome(scene.name, planned["estimates"], seconds["p50"], seconds["p90"], took, row["usd"]["p50"], cost)


def _file(stand: Stand, speakers: Sequence[str], count: int, name: str) -> Path:
    path = stand.state / f"{name}.yaml"
    path.write_text("".join(rows(speakers, count, name)))
    return path


async def _told(environ: dict[str, str], stand: Stand, *words: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(await said_by(str(BIN / "job-runner"), *words, environ=environ, cwd=stand.state))
    return told


async def _done(
    stand: Stand, running: Process, environ: dict[str, str], file: Path, count: int
) -> list[Mapping[str, Any]]:
    """Enqueue, wait for the end; the records."""
    await _told(environ, stand, "enqueue", str(file), "--json")
    while True:
        await still_there(running, stand)
        totals = (await _told(environ, stand, "status", "--json"))["totals"]
        if not totals["outstanding"]:
            break
        await asyncio.sleep(LOOK_SECONDS * 10)
    found = await _told(environ, stand, "report", str(file), "--json")
    if found["summary"] != {"done": count}:
        raise StandError(f"{file.name}: {found['summary']}")
    return [row["record"] for row in found["rows"]]


def main() -> int:
    """0 when every quote was near enough, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.quote", description=__doc__)
    parser.add_argument("--only", choices=[scene.name for scene in SCENES])
    parser.add_argument("--jobs", type=int, default=JOBS)
    options = parser.parse_args()
    worst = 0.0
    for scene in SCENES:
        if options.only in {None, scene.name}:
            outcome = asyncio.run(run(scene, count=options.jobs))
            print(outcome.line, flush=True)
            worst = max(worst, outcome.off)
    return int(worst > WITHIN)


if __name__ == "__main__":
    sys.exit(main())
