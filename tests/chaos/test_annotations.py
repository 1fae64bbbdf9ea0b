"""Annotations while the watcher dies: each record once, and only the poisoned one fails.

With whole programs, a real model and hundreds of records: `python -m tests.soak.annotations`.
"""

from __future__ import annotations

import json
import signal
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.scripted_model import SCHEMA
from tests.support.small_engine import Canned
from tests.support.small_model import MODEL, SmallModel

if TYPE_CHECKING:
    from tests.chaos.yard import Yard

pytestmark = pytest.mark.chaos

POISON_WORDS = 6_000
PAYLOAD = {"corpus": "corpus.jsonl", "version": "v1", "prompt": "{id}: {text}", "answer_schema": SCHEMA}


def batch(name: str, *records: int) -> dict[str, Any]:
    """A job about these records."""
    return {"request_id": name, "task": "annotate", "payload": {**PAYLOAD, "records": list(records)}}


async def test_a_batch_that_was_running_at_two_deaths_and_one_poisoned_record(yard: Yard) -> None:
    """The same job in hand both times: it is a suspect from then on, and ends well all the same, as the next one does.

    The first death is between two records; at the second one answer is in the hands of the dead process, and it alone
    is asked again. The poisoned record is longer than what the model can see.
    """
    host = yard.home / "host"
    host.mkdir()
    texts = {number: "word " * (POISON_WORDS if number == 5 else 1) for number in range(7)}
    lines = [json.dumps({"id": number, "text": text}) for number, text in texts.items()]
    (host / "corpus.jsonl").write_text("\n".join(lines) + "\n")
    assert await yard.submit(batch("first", 0, 1, 2, 3)) == ["queued"]
    with SmallModel(engine=Canned()) as model:
        watcher = yard.watcher("metal", slots=1, OLLAMA_HOST=model.url, OLLAMA_MODEL=MODEL)
        watcher.flags = ("--backends", "metal", "--drain")
        for place in ("annotate.kept", "annotate.answered"):
            watcher.start(failpoint=place)
            assert await watcher.ended() == -signal.SIGKILL, watcher.log[-2000:]
        await yard.submit(batch("second", 4, 5, 6))
        watcher.start()
        assert await watcher.ended() == 0, watcher.log[-2000:]
        asked = [str(each.body["messages"][-1]["content"])[0] for each in model.asked if each.path == "/api/chat"]
    done = await yard.all_done("first", "second")
    told = {name: record["result"] for name, record in done.items()}
    assert (told["first"]["annotated"], told["first"]["resumed"], told["first"]["failed"]) == (4, 1, [])
    assert (told["second"]["annotated"], [each["id"] for each in told["second"]["failed"]]) == (2, ["5"])
    assert sorted(asked) == ["0", "1", "1", "2", "3", "4", "5", "6"]
    with closing(sqlite3.connect(host / "corpus.jsonl.annotations.sqlite3")) as store:
        rows = store.execute("SELECT record_id FROM annotations ORDER BY record_id").fetchall()
        failed = store.execute("SELECT record_id, error_type FROM annotations_failed").fetchall()
        assert store.execute("SELECT count(*) FROM annotations_kept").fetchone() == (0,)
    assert [name for (name,) in rows] == ["0", "1", "2", "3", "4", "6"]
    assert [name for name, _ in failed] == ["5"]
