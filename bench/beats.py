"""Speaks a whole beatsheet on two engines through the queue, listens to every file, and prints what was understood.

    python bench/beats.py [--sheet tests/data/beatsheet_60.json] [--engines hibari,piper]

By the real programs: server, `enqueue-beatsheet`, `job-watcher --drain`, `report`. Each published file that a person
would open (best.wav where takes were ranked) is given to the recogniser of the extra [qa]; the word error rate of each
is printed as a spread, with the worst ones by name, and the rankings of the beats with several takes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jiwer

from lib.voice_synth.listening import WhisperListener, normalised

HOUSE = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
MOST_WRONG_WORDS = 0.25
"""The word error rate up to which a person would say: I understood that."""


def program(environ: dict[str, str], *words: str) -> str:
    """The standard output of one of the programs, which must succeed."""
    done = subprocess.run([BIN / words[0], *words[1:]], env=environ, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def spoken(environ: dict[str, str], sheet: Path, voice: str) -> tuple[dict[str, Any], float]:
    """The report of the sheet spoken by this voice, and how many seconds the watcher took."""
    rows = json.loads(program(environ, "job-runner", "enqueue-beatsheet", str(sheet), "--voice", voice, "--json"))
    begun = time.perf_counter()
    program(environ, "job-watcher", "--drain", "--quiet")
    seconds = time.perf_counter() - begun
    print(f"{voice}: {rows['summary']}, drained in {seconds:.1f} s")
    report: dict[str, Any] = json.loads(program(environ, "job-runner", "report", str(sheet), "--json"))
    return report, seconds


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


def main() -> None:
    """Each engine in turn, on a queue of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=Path, default=HOUSE / "tests/data/beatsheet_60.json")
    parser.add_argument("--engines", default="hibari,piper")
    options = parser.parse_args()
    sheet = json.loads(options.sheet.read_bytes())
    beats = {f"{sheet['topicId']}:beat-{beat['id']:03d}": beat["narration"] for beat in sheet["beats"]}
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "JOBS_STATE_DIR": folder}
        environ.pop("REDIS_URL", None)
        program(environ, "job-runner", "server", "start", "--private")
        try:
            for engine in options.engines.split(","):
                output = Path(folder) / "output" / engine
                own = {**environ, "JOBS_PREFIX": engine, "WATCHER_OUTPUT_ROOT": str(output)}
                name = {"hibari": "heart", "piper": "joe"}[engine]
                program(own, "voice-synth", "register", engine, "--engine", engine, "--name", name)
                report, _ = spoken(own, options.sheet, engine)
                listened(report, output, beats)
        finally:
            program(environ, "job-runner", "server", "stop")


if __name__ == "__main__":
    main()
