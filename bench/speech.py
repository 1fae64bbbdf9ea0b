"""Measures speech through the whole queue against the bare engine in one process, and prints the ratio.

    python -m bench.speech [--jobs 100] [--rounds 3] [--slots 1]

Bare: hibari loaded in this process, every text synthesised to samples, nothing written. Ours: the same texts as jobs,
from the first start of a body to the last record, by one `job-watcher` with one slot, its engine warm: leased, spoken
in a child, written as WAV, checked, stored, committed. Both in turn, so that a noisy machine disturbs both; the rate
is seconds of audio for each second of wall time. Everything runs on loopback, with a bundled server of its own.
`bench.speaking` takes it into the report.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lib import embedded
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing, reader
from lib.redisqueue.connection import connect
from lib.redisqueue.queue import Queue
from lib.redisqueue.submissions import submission_of
from lib.voice_synth.engines.base import DEFAULT_LANGUAGE, EngineVoice, SynthesisSettings
from lib.voice_synth.engines.hibari import HibariEngine

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

HOUSE = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
BEATS = HOUSE / "tests/data/beatsheet_60.json"


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of audio a second, ours and bare; and of ours the audio and the wall time, seconds."""

    ours: float
    bare: float
    audio: float
    wall: float


def texts_of(count: int) -> list[str]:
    """Narrations of the beatsheet, over and over."""
    beats = [beat["narration"] for beat in json.loads(BEATS.read_bytes())["beats"]]
    return [beats[number % len(beats)] for number in range(count)]


def bare_rate(engine: HibariEngine, texts: Sequence[str]) -> tuple[float, float]:
    """Seconds of audio, and of wall time, of the engine alone."""
    settings = SynthesisSettings(voice=EngineVoice("heart"), language=DEFAULT_LANGUAGE, seed=0)
    samples = 0
    begun = time.perf_counter()
    for text in texts:
        samples += sum(len(piece) for piece in engine.synthesise(text, settings))
    return samples / engine.sample_rate_of(settings.voice), time.perf_counter() - begun


def started_watcher(url: str, folder: str, slots: int) -> subprocess.Popen[bytes]:
    """A watcher with so many slots."""
    environ = {**os.environ, "REDIS_URL": url, "JOBS_STATE_DIR": folder, "METAL_CONCURRENCY": str(slots)}
    return subprocess.Popen([BIN / "job-watcher", "--quiet"], env=environ)


async def submit(queue: Queue, name: str, texts: Sequence[str]) -> list[str]:
    """Queue the texts; their ids."""
    specs = [
        normalize_job_spec({"output_name": f"{name}/{number:04d}", "voice": "newsroom", "text": text})
        for number, text in enumerate(texts)
    ]
    await producing.submit(queue, [submission_of(spec, BUILT_IN) for spec in specs])
    return [spec.request_id for spec in specs]


async def records(queue: Queue, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The records of all of them, once they are done; looks rarely, so as not to disturb."""
    while True:
        found = await reader.results(queue, ids)
        failed = [each.request_id for each in found if each.status in {"failed", "cancelled"}]
        if failed:
            raise SystemExit(f"failed: {', '.join(failed)}")
        if all(each.status == "done" for each in found):
            return [each.record or {} for each in found]
        await asyncio.sleep(0.25)


def queue_rate(found: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """Seconds of audio, and of wall time from the first body's start to the last record."""
    audio = sum(take["seconds"] for record in found for take in record["result"]["takes"])
    starts = [datetime.fromisoformat(record["started_at"]).timestamp() for record in found]
    ends = [int(str(record["history"]).partition("-")[0]) / 1000 for record in found]
    return audio, max(ends) - min(starts)


async def rounds(jobs: int, count: int, slots: int) -> AsyncGenerator[Round, None]:
    """So many rounds of both in turn, on a server of their own."""
    texts = texts_of(jobs)
    engine = HibariEngine()
    engine.load()
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder)
        server = await embedded.start(state, port=None)
        watcher = started_watcher(server.url, folder, slots)
        queue = Queue.over(connect(server.url), server.url)
        try:
            await records(queue, await submit(queue, "warm", texts[:1]))
            await asyncio.to_thread(bare_rate, engine, texts[:1])
            for number in range(count):
                audio, wall = await asyncio.to_thread(bare_rate, engine, texts)
                bare = audio / wall
                audio, wall = queue_rate(await records(queue, await submit(queue, f"round-{number}", texts)))
                yield Round(audio / wall, bare, audio, wall)
        finally:
            watcher.terminate()
            await asyncio.to_thread(watcher.wait, 60)
            await queue.client.aclose()
            await embedded.stop(state)


async def main() -> None:
    """Rounds of both in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slots", type=int, default=1, help="METAL_CONCURRENCY of the watcher")
    options = parser.parse_args()
    ratios = []
    async with aclosing(rounds(options.jobs, options.rounds, options.slots)) as found:
        async for each in found:
            ratios.append(each.ours / each.bare)
            print(
                f"speech   ours {each.ours:6.1f}   bare {each.bare:6.1f} seconds of audio a second   "
                f"ratio {ratios[-1]:.3f}   ({options.jobs} jobs, {each.audio:.0f} s of audio in {each.wall:.1f} s)"
            )
    print(f"speech   median ratio {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    asyncio.run(main())
