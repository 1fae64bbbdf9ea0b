"""A batch whose process is killed between two steps: nothing answered is asked again, nothing is lost or seen half."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from lib import failpoints
from lib.jobqueue import normalize_job_spec
from lib.tasks.annotate import Annotate
from tests.lib.corpus.corpora import Made, make
from tests.lib.tasks.contexts import RecordingContext
from tests.support.scripted_model import SCHEMA, ScriptedModel, noted, words

if TYPE_CHECKING:
    from pathlib import Path

    from lib.capabilities.text_model import TextRequest

RECORDS = [f"r{i}" for i in range(5)]
POISON = "Count: word word word"


def refuse_one(request: TextRequest) -> Any:
    """Sound answers, but for one record that the model blocks."""
    from lib.errors import BlockedError  # noqa: PLC0415 - this runs in a forked process, where it is loaded

    return BlockedError("no") if request.prompt == POISON else words(request)


async def attempt(made: Made, log: Path, request_id: str = "batch", records: list[str] | None = None) -> dict[str, Any]:
    """One attempt at the batch; the result of the job."""
    payload = made.payload(records or RECORDS, answer_schema=SCHEMA)
    row = {"request_id": request_id, "task": "annotate", "payload": payload, "queued_at": "2026-01-01T00:00:00Z"}
    model = ScriptedModel(refuse_one, log=log)
    context = RecordingContext(log.parent, request_id=request_id, model=model)
    done = await Annotate(made.places).run(normalize_job_spec(row), context)
    assert done.result is not None
    return done.result


def die_at(place: str, made: Made, log: Path) -> int:
    """Begin an attempt in a process that kills itself at this place; its exit code."""

    def body() -> None:
        failpoints.arm(place)
        asyncio.run(attempt(made, log))
        sys.exit(0)

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


PLACES = (
    "annotate.answered:1",
    "annotate.answered:4",
    "annotate.kept:1",
    "annotate.kept:3",
    "corpus.publish.annotated",
    "corpus.publish.cleared",
    "corpus.published",
    "annotate.published",
)


@pytest.mark.parametrize("place", PLACES)
async def test_killed_at_any_step(place: str, tmp_path: Path) -> None:
    """The next attempt ends the batch; only the answer that was in the hands of the dead process is asked again."""
    made, log = make("jsonl", tmp_path / "corpora", count=5), tmp_path / "log"
    assert die_at(place, made, log) == -signal.SIGKILL
    before = noted(log, "asked")
    in_hand = {noted(log, "answered")[-1]} if place.startswith("annotate.answered") else set()
    visible = made.annotated()
    assert len(visible) in {0, 4}, "half a batch can be seen"
    assert bool(visible) == (place in {"corpus.published", "annotate.published"})

    result = await attempt(made, log)
    assert (result["annotated"], [each["id"] for each in result["failed"]]) == (4, ["r2"])
    assert len(made.annotated()) == 4
    after = noted(log, "asked")[len(before) :]
    assert set(before) & set(after) == in_hand, "what was answered was asked again"
    assert len(noted(log, "asked")) == 5 + len(in_hand)
    assert made.rows("annotations_kept") == []
    assert [row["record_id"] for row in made.rows("annotations_failed")] == ["r2"]


async def test_killed_again_and_again(tmp_path: Path) -> None:
    """Each life answers one more record; in the end every record was answered once."""
    made, log = make("sqlite", tmp_path / "corpora", count=5), tmp_path / "log"
    for _ in range(3):
        assert die_at("annotate.kept", made, log) == -signal.SIGKILL
        assert made.annotated() == {}
    result = await attempt(made, log)
    assert (result["annotated"], len(result["failed"])) == (4, 1)
    assert sorted(noted(log, "answered")) == sorted(set(noted(log, "answered")))
    assert len(noted(log, "asked")) == 5


async def test_another_job_takes_over_what_a_dead_one_had_answered(tmp_path: Path) -> None:
    """A later plan has the same records in another batch: what was paid for is used."""
    made, log = make("jsonl", tmp_path / "corpora", count=5), tmp_path / "log"
    assert die_at("annotate.kept:2", made, log) == -signal.SIGKILL
    result = await attempt(made, log, "another", ["r1", "r0", "r3"])
    assert (result["annotated"], result["resumed"], result["asked"]) == (3, 2, 1)
    assert {row["job"] for row in made.rows()} == {"another"}


async def test_two_batches_at_once_with_records_in_common(tmp_path: Path) -> None:
    """Each record is annotated once; the two results add up to what was done."""
    made, log = make("jsonl", tmp_path / "corpora", count=5), tmp_path / "log"
    first, second = await asyncio.gather(
        attempt(made, log, "first", ["r0", "r1", "r3"]), attempt(made, log, "second", ["r3", "r1", "r4"])
    )
    assert set(made.annotated()) == {"r0", "r1", "r3", "r4"}
    assert first["annotated"] + second["annotated"] == 4
    assert first["annotated"] + first["skipped"] == second["annotated"] + second["skipped"] == 3
    assert made.rows("annotations_kept") == []


async def test_what_another_batch_answers_meanwhile_is_not_asked(tmp_path: Path) -> None:
    """Looked at before each question, not only when the batch begins."""
    made, log = make("jsonl", tmp_path / "corpora", count=5), tmp_path / "log"

    async def after_the_other() -> Any:
        assert (await attempt(made, log, "other", ["r0"]))["annotated"] == 1
        return {"words": 1}

    model = ScriptedModel(lambda _: after_the_other(), log=log)
    payload = made.payload(["r1", "r0"], answer_schema=SCHEMA)
    row = {"request_id": "batch", "task": "annotate", "payload": payload, "queued_at": "2026-01-01T00:00:00Z"}
    done = await Annotate(made.places).run(normalize_job_spec(row), RecordingContext(tmp_path, model=model))
    assert done.result is not None
    assert (done.result["annotated"], done.result["skipped"], done.result["asked"]) == (1, 1, 1)
    assert len(noted(log, "asked")) == 2


async def test_two_processes_at_once(tmp_path: Path) -> None:
    """The same batch in two processes, as when a watcher that was taken for dead goes on: still once each."""
    made, log = make("jsonl", tmp_path / "corpora", count=5), tmp_path / "log"
    context = multiprocessing.get_context("fork")

    def body(name: str) -> None:
        result = asyncio.run(attempt(made, log, name))
        (tmp_path / f"{name}.json").write_text(json.dumps(result))

    both = [context.Process(target=body, args=(name,)) for name in ("one", "two")]
    for process in both:
        process.start()
    for process in both:
        process.join(60)
    assert [process.exitcode for process in both] == [0, 0]
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two")]
    assert sum(result["annotated"] for result in results) == 4
    assert all(result["annotated"] + result["skipped"] == 4 for result in results)
    assert len(made.annotated()) == 4


async def test_cancelled_in_the_middle(tmp_path: Path) -> None:
    """A watcher that stops cancels the body: it ends at once, and what was answered stays."""
    made, log = make("jsonl", tmp_path / "corpora", count=5), tmp_path / "log"
    reached = asyncio.Event()

    async def hang() -> Any:
        reached.set()
        await asyncio.sleep(3600)

    model = ScriptedModel(lambda r: hang() if r.prompt.endswith("word word") else words(r), log=log)
    payload = made.payload(RECORDS, answer_schema=SCHEMA)
    row = {"request_id": "batch", "task": "annotate", "payload": payload, "queued_at": "2026-01-01T00:00:00Z"}
    body = Annotate(made.places).run(normalize_job_spec(row), RecordingContext(tmp_path, model=model))
    running = asyncio.create_task(body)
    await asyncio.wait_for(reached.wait(), 20)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 20)
    assert [row["record_id"] for row in made.rows("annotations_kept")] == ["r0"]
    result = await attempt(made, log)
    assert (result["annotated"], result["resumed"]) == (4, 1)
