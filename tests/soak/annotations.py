"""Annotations over a small model while metal is killed: every record annotated once, the poisoned one alone fails.

    python -m tests.soak.annotations [--records 300] [--batch 20] [--canned] [--json]

It plans, dispatches and verifies with the real programs, on a server and a model server of its own, and counts what
the model was asked. One watcher works; its first life ends by a SIGKILL between an answer and its keeping, its second
by one in the middle of a call. The poisoned record is longer than what the model can see. Exit code 0: as promised.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from lib.jobqueue.answer_schema import checker
from tests.support.servers import RealServer, ValkeyServer
from tests.support.small_engine import Canned, Engine, Smol
from tests.support.small_model import MODEL, SmallModel
from tests.support.wait import wait_until
from tests.support.watchers import RUNNER, WatcherProcess, environment_of, run_program

EXAMPLE: Final = Path(__file__).parents[2] / "examples/corpus"
PROMPT: Final = "Record {id}: {text}\nAnswer as JSON with mood, place and animals."
POISON_WORDS: Final = 6_000
DEADLINE_SECONDS: Final = 3_600.0
MANIFEST: Final = "manifests/gap_fill_v1.jsonl"
KILLS: Final = 2


@dataclass(frozen=True)
class Course:
    """How many records, in batches of how many, and who answers."""

    records: int = 300
    batch: int = 20
    engine: Engine = field(default_factory=Smol)

    @property
    def poisoned(self) -> str:
        """The id of the record that cannot be annotated; one in the middle of a batch."""
        return f"rec-{self.records // 2 + self.batch // 2:04d}"


@dataclass(frozen=True)
class Report:
    """What became of it. `asked` counts the questions of each record, `verified` is what `verify` said."""

    course: Course
    annotations: dict[str, Any]
    rows: int
    failed: dict[str, str]
    kept: int
    asked: Counter[str]
    verified: dict[str, Any]
    verify_code: int
    left_to_plan: int
    seconds: float

    def problems(self) -> list[str]:
        """What is not as promised; empty when all is."""
        wanted = {f"rec-{number:04d}" for number in range(self.course.records)}
        sound = wanted - {self.course.poisoned}
        check = checker(json.loads((EXAMPLE / "schema.json").read_text()))
        odd = sorted(name for name, value in self.annotations.items() if check(value) is not None)
        again = {name: count for name, count in self.asked.items() if count > 1}
        unsound = [row["problem"] for row in self.verified["rows"] if not row["sound"]]
        told = [
            (set(self.annotations) != sound, f"not annotated: {sorted(sound - set(self.annotations))[:5]}"),
            (self.rows != len(self.annotations), "a record has two annotations"),
            (bool(odd), f"annotations that the schema refuses: {odd[:5]}"),
            (set(self.failed) != {self.course.poisoned}, f"failed: {self.failed}"),
            (set(self.asked) != wanted, f"never asked: {sorted(wanted - set(self.asked))[:5]}"),
            # At a kill one answer is in the hands of the dead process.
            (sum(again.values()) - len(again) > KILLS, f"asked again: {again}"),
            (self.kept > 0, f"{self.kept} answers are kept and not seen"),
            (self.verify_code != 1 or len(unsound) != 1, f"verify: {unsound}"),
            (not any(self.course.poisoned in each for each in unsound), f"verify names another: {unsound}"),
            (self.left_to_plan != 0, f"{self.left_to_plan} are left to plan"),
        ]
        return [said for wrong, said in told if wrong]

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        again = {name: count for name, count in self.asked.items() if count > 1}
        return {
            "records": self.course.records,
            "annotated": len(self.annotations),
            "failed": self.failed,
            "asked": sum(self.asked.values()),
            "asked_again": again,
            "kills": KILLS,
            "verify": {name: self.verified[name] for name in ("job_count", "sound", "summary")},
            "seconds": round(self.seconds, 1),
            "problems": self.problems(),
        }


async def run(course: Course, server: RealServer, place: Path, prefix: str = "annotations") -> Report:
    """Do it on this server, with everything below `place`."""
    began = time.monotonic()
    place.mkdir(parents=True, exist_ok=True)
    _write_corpus(course, place)
    with SmallModel(engine=course.engine) as model:
        more = {"OLLAMA_HOST": model.url, "OLLAMA_MODEL": MODEL}
        environ = environment_of(server.url, prefix, place, more)
        planned = await _job_runner(environ, place, *_plan(course), "--json")
        assert planned[0] == 0, planned
        assert (await _job_runner(environ, place, "dispatch", MANIFEST, "--target", "backlog:gap_fill"))[0] == 0
        watcher = WatcherProcess("metal", server.url, prefix, place, more, ("--backends", "metal", "--drain"))
        try:
            await _live_and_die(course, model, watcher)
        finally:
            watcher.kill()
        code, out, err = await _job_runner(environ, place, "verify", MANIFEST, "--json")
        assert code in {0, 1}, err
        again = json.loads((await _job_runner(environ, place, *_plan(course), "--force", "--json"))[1])
        asked = Counter(_record_of(each.body) for each in model.asked if each.path == "/api/chat")
    rows, failed, kept = _stored(place)
    return Report(
        course,
        {name: json.loads(value) for name, value in rows},
        len(rows),
        dict(failed),
        kept,
        asked,
        json.loads(out),
        code,
        again["planned"],
        time.monotonic() - began,
    )


async def _live_and_die(course: Course, model: SmallModel, watcher: WatcherProcess) -> None:
    third = course.records // 3
    watcher.start(failpoint=f"annotate.answered:{third}")
    assert await watcher.ended(DEADLINE_SECONDS) == -signal.SIGKILL, watcher.log[-2000:]
    watcher.start()
    await wait_until(
        lambda: sum(each.path == "/api/chat" for each in model.asked) >= 2 * third,
        DEADLINE_SECONDS,
        what="two thirds of the questions",
    )
    watcher.kill()
    watcher.start()
    assert await watcher.ended(DEADLINE_SECONDS) == 0, watcher.log[-2000:]


def _write_corpus(course: Course, place: Path) -> None:
    fables = [json.loads(line) for line in (EXAMPLE / "fables.jsonl").read_text().splitlines()]
    with (place / "corpus.jsonl").open("w") as file:
        for number in range(course.records):
            name = f"rec-{number:04d}"
            text = "word " * POISON_WORDS if name == course.poisoned else fables[number % len(fables)]["text"]
            file.write(json.dumps({"id": name, "text": text}) + "\n")
    (place / "schema.json").write_text((EXAMPLE / "schema.json").read_text())
    (place / "prompt.txt").write_text(PROMPT)


def _plan(course: Course) -> tuple[str, ...]:
    what = ("--corpus", "corpus.jsonl", "--schema", "schema.json", "--prompt", "prompt.txt", "--version", "v1")
    return ("workflow", "gap-fill", "plan", *what, "--batch", str(course.batch), "--max-output-tokens", "200")


async def _job_runner(environ: dict[str, str], place: Path, *words: str) -> tuple[int, str, str]:
    return await run_program(RUNNER, *words, environ=environ, cwd=place)


def _record_of(body: dict[str, Any]) -> str:
    found = re.match(r"Record (rec-\d+):", body["messages"][-1]["content"])
    return found[1] if found else "?"


def _stored(place: Path) -> tuple[list[tuple[str, str]], list[tuple[str, str]], int]:
    with closing(sqlite3.connect(place / "corpus.jsonl.annotations.sqlite3")) as store:
        rows = store.execute("SELECT record_id, annotation FROM annotations").fetchall()
        failed = store.execute("SELECT record_id, error_type FROM annotations_failed").fetchall()
        kept = store.execute("SELECT count(*) FROM annotations_kept").fetchone()[0]
    return rows, failed, kept


def main() -> int:
    """Run it and print what came of it."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.annotations",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--records", type=int, default=300)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--canned", action="store_true", help="no model: an example of the schema at once")
    parser.add_argument("--json", action="store_true", help="one document")
    options = parser.parse_args()
    course = Course(options.records, options.batch, Canned() if options.canned else Smol())
    with tempfile.TemporaryDirectory(prefix="annotations-") as folder:
        server = ValkeyServer(Path(folder) / "valkey").start()
        try:
            report = asyncio.run(run(course, server, Path(folder) / "host"))
        finally:
            server.kill()
    document = report.document()
    text = json.dumps(document, indent=2) if options.json else "\n".join(f"{k}: {v}" for k, v in document.items())
    sys.stdout.write(text + "\n")
    return 1 if report.problems() else 0


if __name__ == "__main__":
    # Ended from outside, it must not leave its watcher behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
