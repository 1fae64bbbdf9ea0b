"""Measures speech through the whole queue against the bare engine in one process, and prints the ratio.

    python -m bench.speech [--jobs 100] [--rounds 3] [--slots 1]

Bare: hibari loaded in this process, every text synthesised to samples, nothing written. Ours: the same texts as jobs,
from the first start of a body to the last record, by one `job-watcher` with one slot, its engine warm: leased, spoken
in a child, written as WAV, checked, stored, committed. Both by turns, so that a noisy machine disturbs both; the rate
is seconds of audio for each second of wall time. `bench.speaking` takes it into the report.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bench.stand import HOUSE, StandError, standing, still_there, watcher
from bench.turns import by_turns
from lib.jobqueue import BUILT_IN, normalize_job_spec
from lib.redisqueue import producing, reader
from lib.redisqueue.submissions import submission_of
from lib.voice_synth.engines.base import DEFAULT_LANGUAGE, EngineVoice, SynthesisSettings
from lib.voice_synth.engines.hibari import HibariEngine

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncGenerator, Sequence

    from bench.stand import Stand

BEATS: Final = HOUSE / "tests/data/beatsheet_60.json"
ROOM: Final = 2
"""METAL_QUEUE_MAX as users have it: one job is spoken, one is ready."""
START_SECONDS: Final = 60.0
JOB_SECONDS: Final = 5.0
"""A narration takes less than one on a quiet machine."""
_LOOK_SECONDS: Final = 0.25


@dataclass(frozen=True, slots=True)
class Round:
    """Seconds of audio a second, ours and bare; and of ours the audio and the wall time, seconds."""

    ours: float
    bare: float
    audio: float
    wall: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """Seconds of audio, and of wall time."""

    audio: float
    wall: float

    @property
    def rate(self) -> float:
        """Of audio a second."""
        return self.audio / self.wall


def texts_of(count: int) -> list[str]:
    """Narrations of the beatsheet, over and over."""
    beats = [beat["narration"] for beat in json.loads(BEATS.read_bytes())["beats"]]
    return [beats[number % len(beats)] for number in range(count)]


def spoken_bare(engine: HibariEngine, texts: Sequence[str]) -> Spoken:
    """By the engine alone."""
    settings = SynthesisSettings(voice=EngineVoice("heart"), language=DEFAULT_LANGUAGE, seed=0)
    samples = 0
    begun = time.perf_counter()
    for text in texts:
        samples += sum(len(piece) for piece in engine.synthesise(text, settings))
    return Spoken(samples / engine.sample_rate_of(settings.voice), time.perf_counter() - begun)


async def spoken_queued(stand: Stand, running: Process, name: str, texts: Sequence[str]) -> Spoken:
    """Through the queue, from the first body's start to the last record.

    Raises:
        StandError: a job failed, the watcher ended, or not all was spoken in time.

    """
    specs = [
        normalize_job_spec({"output_name": f"{name}/{number:04d}", "voice": "newsroom", "text": text, "cache": False})
        for number, text in enumerate(texts)
    ]
    await producing.submit(stand.queue, [submission_of(spec, BUILT_IN) for spec in specs])
    found = await records(stand, running, [spec.request_id for spec in specs])
    audio = sum(take["seconds"] for record in found for take in record["result"]["takes"])
    starts = [datetime.fromisoformat(record["started_at"]).timestamp() for record in found]
    ends = [int(str(record["history"]).partition("-")[0]) / 1000 for record in found]
    return Spoken(audio, max(ends) - min(starts))


async def records(stand: Stand, running: Process, ids: Sequence[str]) -> list[dict[str, Any]]:
    """The records of all of them, once they are done; looks rarely, so as not to disturb.

    Raises:
        StandError: a job failed, the watcher ended, or not all were done in time.

    """
    seconds = START_SECONDS + JOB_SECONDS * len(ids)
    found = await reader.results(stand.queue, ids)
    try:
        async with asyncio.timeout(seconds):
            while not all(each.status == "done" for each in found):
                failed = [each.request_id for each in found if each.status in {"failed", "cancelled"}]
                if failed:
                    raise StandError(f"not done: {', '.join(failed)}")
                await still_there(running, stand)
                await asyncio.sleep(_LOOK_SECONDS)
                found = await reader.results(stand.queue, ids)
    except TimeoutError:
        done = sum(1 for each in found if each.status == "done")
        raise StandError(f"{done} of {len(ids)} jobs were done within {seconds:.0f} s") from None
    return [each.record or {} for each in found]


async def rounds(jobs: int, count: int, slots: int) -> AsyncGenerator[Round, None]:
    """So many rounds of both, first by turns, on a server of their own."""
    texts = texts_of(jobs)
    engine = HibariEngine()
    engine.load()
    async with standing() as stand, watcher(stand, slots=slots, room=ROOM) as running:
        await spoken_queued(stand, running, "warm", texts[:1])
        await asyncio.to_thread(spoken_bare, engine, texts[:1])
        for number in range(count):
            ours, bare = await by_turns(
                number,
                partial(spoken_queued, stand, running, f"round-{number}", texts),
                partial(asyncio.to_thread, spoken_bare, engine, texts),
            )
            yield Round(ours.rate, bare.rate, ours.audio, ours.wall)


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
