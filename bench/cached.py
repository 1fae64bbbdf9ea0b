"""Fifty jobs, the same fifty under other names, and again with one changed word: how many are spoken, in how long.

Then one text of forty sentences, and the same with one changed word.

    python -m bench.cached [--jobs 50] [--sentences 40]

By the real programs: server, `enqueue`, `job-watcher --drain`, `report`. It ends with 1 unless the second round speaks
nothing and the third one job, and of the changed text one sentence is spoken. The seconds of a round are those of a
watcher from its first job to its last, by the records; those of a text are of its synthesis, without loading the model.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bench.stand import BIN, said_by, standing

if TYPE_CHECKING:
    from bench.stand import Stand

_WORDS = ("evening", "weather", "market", "harbour", "council", "railway", "theatre", "river", "garden", "library")


@dataclass(frozen=True, slots=True)
class Round:
    """What became of one file: done, spoken, and the seconds from the first job to the last."""

    done: int
    spoken: int
    seconds: float


def rows(name: str, count: int, changed: int | None = None) -> str:
    """A job file of `count` lines, one of them with another word."""
    lines = []
    for number in range(count):
        word = "morning" if number == changed else _WORDS[number % len(_WORDS)]
        text = f"Line {number} of tonight's news from the {word}, read without haste."
        lines.append(f'- {{output_name: {name}/{number:03d}, voice: newsroom, text: "{text}"}}\n')
    return "".join(lines)


def round_of(report: dict[str, Any]) -> Round:
    """By the records of a report."""
    records = [row["record"] for row in report["rows"] if row["status"] == "done"]
    spoken = [record for record in records if "cached" not in record["result"]]
    began = min(datetime.fromisoformat(record["started_at"]) for record in records)
    ended = max(datetime.fromisoformat(record["completed_at"]) for record in records)
    return Round(len(records), len(spoken), (ended - began).total_seconds())


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one text: how many sentences were spoken, of how many, and the seconds of that."""

    spoken: int
    of: int
    seconds: float


def story(name: str, count: int, changed: int | None = None) -> str:
    """A job file of one text of `count` sentences, one of them with another word."""
    said = [
        f"Sentence {number} of tonight's story is about the "
        f"{'morning' if number == changed else _WORDS[number % len(_WORDS)]}, and it is read without haste."
        for number in range(count)
    ]
    return f'- {{output_name: {name}/story, voice: newsroom, chunk: true, text: "{" ".join(said)}"}}\n'


def told_of(report: dict[str, Any]) -> Told:
    """By the one record of a report."""
    (row,) = report["rows"]
    result = row["record"]["result"]
    sentences = result["sentences"]
    return Told(sentences["of"] - sentences["at_hand"], sentences["of"], result["timings"]["synth_sec"])


async def played(stand: Stand, name: str, text: str) -> dict[str, Any]:
    """Queue a file, work it off and look; the report."""
    file = stand.state / f"{name}.yaml"
    file.write_text(text)
    environ = stand.environ()
    await said_by(str(BIN / "job-runner"), "enqueue", str(file), "--json", environ=environ, cwd=stand.state)
    await said_by(str(BIN / "job-watcher"), "--drain", "--quiet", environ=environ, cwd=stand.state)
    said = await said_by(str(BIN / "job-runner"), "report", str(file), "--json", environ=environ, cwd=stand.state)
    report: dict[str, Any] = json.loads(said)
    return report


async def main() -> int:
    """All three rounds, and both texts; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--sentences", type=int, default=40)
    given = parser.parse_args()
    count, sentences = given.jobs, given.sentences
    files = {
        "first": rows("first", count),
        "again": rows("again", count),
        "changed": rows("changed", count, count // 2),
    }
    wrong = False
    async with standing() as stand:
        for (name, text), wanted in zip(files.items(), (count, 0, 1), strict=True):
            seen = round_of(await played(stand, name, text))
            print(f"{name:<8} {seen.done} done, {seen.spoken} spoken, {seen.seconds:.2f} s")
            wrong |= (seen.done, seen.spoken) != (count, wanted)
        whole = told_of(await played(stand, "text", story("text", sentences)))
        edited = told_of(await played(stand, "edited", story("edited", sentences, sentences // 2)))
        for name, told in (("text", whole), ("edited", edited)):
            print(f"{name:<8} {told.spoken} of {told.of} sentences spoken, {told.seconds:.3f} s")
        print(f"ratio    {edited.seconds / whole.seconds:.3f} of the seconds of the whole text")
        wrong |= (whole.spoken, edited.spoken, edited.of) != (sentences, 1, sentences)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
