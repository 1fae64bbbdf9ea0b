"""How to annotate a corpus, followed from top to bottom with a model that answers at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from lib.jobqueue.answer_schema import checker
from tests.support.checkout import HOUSE, fresh_checkout
from tests.support.documents import fences, follow
from tests.support.small_engine import Canned
from tests.support.small_model import SmallModel

if TYPE_CHECKING:
    from pathlib import Path

PAGE = HOUSE / "docs/how-to/annotate-a-corpus.md"
NOT_RUN = {"ollama pull smollm2:135m": "the model of the tests is here already"}
EXAMPLE = HOUSE / "examples/corpus"


@pytest.mark.timeout(240)  # a dozen commands, on a machine that does other things too
async def test_page_works_as_written(tmp_path: Path) -> None:
    """Every command; each fable is asked about once; every exported annotation is what the schema asks for."""
    async with fresh_checkout(tmp_path / "checkout") as checkout:
        with SmallModel(engine=Canned()) as model:
            checkout.environ["OLLAMA_HOST"] = model.url
            await follow(PAGE, checkout, not_run=NOT_RUN, answers={})
            asked = [each.body["messages"][-1]["content"] for each in model.asked if each.path == "/api/chat"]
        assert len(asked) == len(set(asked)) + 5 == 30 + 5 + 3
        rows = [json.loads(line) for line in (checkout.place / "annotations.jsonl").read_text().splitlines()]
    check = checker(json.loads((EXAMPLE / "schema.json").read_text()))
    assert [row["id"] for row in rows] == [f"fable-{number:02d}" for number in range(1, 31)]
    assert {check(row["annotation"]) for row in rows} == {None}


def test_the_result_that_it_shows_is_what_a_job_gives() -> None:
    """The fields, in their order."""
    [shown] = [fence.text for fence in fences(PAGE) if fence.language == "json"]
    assert list(json.loads(shown)) == [
        "version",
        "records",
        "annotated",
        "skipped",
        "failed",
        "asked",
        "resumed",
        "input_tokens",
        "output_tokens",
    ]


def test_the_example_corpus_is_sound() -> None:
    """Thirty records with ids, titles and texts of their own; nothing was left beside them."""
    rows = [json.loads(line) for line in (EXAMPLE / "fables.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len({row["title"] for row in rows}) == len(rows) == 30
    assert all(len(row["text"]) > 80 for row in rows)
