"""Annotations while the watcher dies: through the real programs, each record once, and only the poisoned one fails."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest

from tests.soak.annotations import Course, run
from tests.support.scripted_model import SCHEMA
from tests.support.small_engine import Canned
from tests.support.small_model import MODEL, SmallModel
from tests.support.watchers import RUNNER, WatcherProcess, environment_of, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.servers import RealServer

pytestmark = pytest.mark.chaos


async def test_killed_twice_and_one_poisoned_record(valkey: RealServer, prefix: str, tmp_path: Path) -> None:
    """What `python -m tests.soak.annotations` does with a real model and 300 records, with a quick one and 30."""
    report = await run(Course(30, 6, Canned()), valkey, tmp_path / "host", prefix)
    assert report.problems() == []
    assert len(report.annotations) == 29


async def test_a_batch_that_was_running_at_two_deaths(valkey: RealServer, prefix: str, tmp_path: Path) -> None:
    """The same job in hand both times: it is a suspect from then on, and ends well all the same."""
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"id": i, "text": "a"}) + "\n" for i in range(4)))
    payload = {"records": [0, 1, 2, 3], "corpus": "corpus.jsonl", "version": "v1", "prompt": "The record {id} says: {text}"}
    job = {"request_id": "batch", "task": "annotate", "payload": {**payload, "answer_schema": SCHEMA}}
    (tmp_path / "job.yaml").write_text(json.dumps(job))
    with SmallModel(engine=Canned()) as model:
        more = {"OLLAMA_HOST": model.url, "OLLAMA_MODEL": MODEL}
        environ = environment_of(valkey.url, prefix, tmp_path, more)
        assert (await run_program(RUNNER, "enqueue", "job.yaml", environ=environ, cwd=tmp_path))[0] == 0
        watcher = WatcherProcess("metal", valkey.url, prefix, tmp_path, more, ("--backends", "metal", "--drain"))
        try:
            for _ in range(2):
                watcher.start(failpoint="annotate.kept")
                assert await watcher.ended() == -signal.SIGKILL
            watcher.start()
            assert await watcher.ended() == 0
        finally:
            watcher.kill()
        _, out, _ = await run_program(RUNNER, "result", "batch", "--json", environ=environ, cwd=tmp_path)
        asked = [each for each in model.asked if each.path == "/api/chat"]
    record = json.loads(out)["record"]
    assert record["status"] == "done", record
    assert (record["result"]["annotated"], record["result"]["resumed"], len(asked)) == (4, 2, 4)
