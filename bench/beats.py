"""Speaks a whole beatsheet on two engines through the queue, listens to every file, and prints what was understood.

    python -m bench.beats [--sheet tests/data/beatsheet_60.json] [--engines hibari,piper]

By the real programs: server, `enqueue-beatsheet`, `job-watcher --drain`, `report`. Each published file that a person
would open (best.wav where takes were ranked) is given to the recogniser of the extra [qa]; the word error rate of each
is printed as a spread, with the worst ones by name, and the rankings of the beats with several takes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jiwer

from bench.stand import BIN, HOUSE, said_by, standing
from lib.voice_synth.listening import WhisperListener, normalised

if TYPE_CHECKING:
    from bench.stand import Stand

MOST_WRONG_WORDS = 0.25
"""The word error rate up to which a person would say: I understood that."""


async def program(stand: Stand, environ: dict[str, str], *words: str) -> bytes:
    """The standard output of one of the programs.

    Raises:
        StandError: it failed.

    """
    return await said_by(str(BIN / words[0]), *words[1:], environ=environ, cwd=stand.state)


async def spoken(stand: Stand, environ: dict[str, str], sheet: Path, voice: str) -> dict[str, Any]:
    """The report of the sheet spoken by this voice; how many seconds the watcher took is printed."""
    said = await program(stand, environ, "job-runner", "enqueue-beatsheet", str(sheet), "--voice", voice, "--json")
    begun = time.perf_counter()
    await program(stand, environ, "job-watcher", "--drain", "--quiet")
    print(f"{voice}: {json.loads(said)['summary']}, drained in {time.perf_counter() - begun:.1f} s")
    report: dict[str, Any] = json.loads(await program(stand, environ, "job-runner", "report", str(sheet), "--json"))
    return report


def listened(report: dict[str, Any], output: Path, beats: dict[str, str]) -> None:
    """Print the word error rates and the rankings."""
    listener = WhisperListener()
    rates: dict[str, float] = {}
    audio = 0.0
    for row in report["rows"]:
        folder = output / row["output_name"]
        best = folder / "best.wav"
        heard = listener.hear(best if best.is_file() else folder / "take_01.wav")
        rates[row["request_id"]] = float(jiwer.wer(normalised(beats[row["request_id"]]), normalised(heard)))
        audio += sum(take["seconds"] for take in row["record"]["result"]["takes"])
        selection = json.loads((folder / "result.json").read_bytes())["selection"]
        if selection["enabled"]:
            takes = ", ".join(f"take {rank['take']} {rank['score']:.3f}" for rank in selection["ranking"])
            print(f"  {row['request_id']}  {takes}  by {selection['method']}")
    values = list(rates.values())
    worst = sorted(rates, key=lambda name: -rates[name])[:5]
    wrong = sum(value > MOST_WRONG_WORDS for value in values)
    print(
        f"  {len(values)} files, {audio:.0f} s of audio; word error rate mean {statistics.mean(values):.3f}, "
        f"median {statistics.median(values):.3f}, worst {max(values):.3f}; over {MOST_WRONG_WORDS}: {wrong}"
    )
    print("  worst: " + ", ".join(f"{name} {rates[name]:.2f}" for name in worst))


async def main() -> None:
    """Each engine in turn, on a queue of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, default=HOUSE / "tests/data/beatsheet_60.json")
    parser.add_argument("--engines", default="hibari,piper")
    options = parser.parse_args()
    path = options.sheet.resolve()
    sheet = json.loads(path.read_bytes())
    beats = {f"{sheet['topicId']}:beat-{beat['id']:03d}": beat["narration"] for beat in sheet["beats"]}
    async with standing() as stand:
        for engine in options.engines.split(","):
            output = stand.state / "output" / engine
            environ = stand.environ(JOBS_PREFIX=engine, WATCHER_OUTPUT_ROOT=str(output))
            name = {"hibari": "heart", "piper": "joe"}[engine]
            await program(stand, environ, "voice-synth", "register", engine, "--engine", engine, "--name", name)
            report = await spoken(stand, environ, path, engine)
            await asyncio.to_thread(listened, report, output, beats)


if __name__ == "__main__":
    asyncio.run(main())
