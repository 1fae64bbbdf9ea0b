"""The plan of a gap-fill: every gap in one batch, in order, under names that depend on nothing but what is asked."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_runner.workflows.gap_fill import Found, GapFill
from lib.corpus.corpus import Seen
from lib.corpus.records import Record
from lib.jobqueue import normalize_job_spec
from tests.support.scripted_model import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAN = GapFill(corpus="c.jsonl", version="v1", prompt="{text}", answer_schema=SCHEMA, batch=3)

coverages = st.sampled_from(["gap", "annotated", "failed"])


def seen(name: str, coverage: Any = "gap", **fields: Any) -> Seen:
    """A record with a text, unless it is said otherwise."""
    return Seen(Record(name, fields or {"text": "x"}), coverage, 1 if coverage == "failed" else 0)


def planned(plan: GapFill, *records: Seen) -> tuple[list[list[str]], Found]:
    """The records of each batch, and what was counted; the records came in two pages."""
    found = Found()
    pages = [list(records[:2]), list(records[2:])]
    return [entry.kwargs["records"] for entry in plan.entries(pages, found)], found


@given(st.lists(coverages, max_size=30), st.integers(1, 7), st.booleans(), st.one_of(st.none(), st.integers(1, 9)))
def test_every_gap_is_in_one_batch(kinds: list[Any], batch: int, retry: bool, limit: int | None) -> None:  # noqa: FBT001 - drawn
    """In the order of the corpus, batches full but for the last; and the counts add up."""
    records = [seen(f"r{number}", kind) for number, kind in enumerate(kinds)]
    plan = replace(PLAN, batch=batch, retry_failed=retry, limit=limit)
    batches, found = planned(plan, *records)
    wanted = [each.record.id for each in records if each.coverage == "gap" or (retry and each.coverage == "failed")]
    assert [name for each in batches for name in each] == wanted[:limit]
    assert all(len(each) == batch for each in batches[:-1])
    assert found.records == len(records)
    assert found.annotated + found.failed_before + found.planned + found.beyond_limit + found.unusable == found.records


def test_each_batch_is_a_job_that_is_accepted() -> None:
    """By the rules of the queue, with nothing but defaults left out."""
    plan = replace(PLAN, table="t", id_field="n", system="Be brief.", seed=4, max_output_tokens=9)
    [entry] = plan.entries([[seen("r1"), seen("r2", "failed")]], Found())
    job = normalize_job_spec({"request_id": "x", "task": entry.task, "payload": dict(entry.kwargs)})
    assert job.payload == {
        "records": ["r1"],
        "corpus": "c.jsonl",
        "table": "t",
        "id_field": "n",
        "version": "v1",
        "prompt": "{text}",
        "system": "Be brief.",
        "answer_schema": SCHEMA,
        "max_output_tokens": 9,
        "seed": 4,
    }


@pytest.mark.parametrize(
    "other",
    [
        {"corpus": "d.jsonl"},
        {"table": "t"},
        {"version": "v2"},
        {"prompt": "{text}!"},
        {"system": "Be brief."},
        {"answer_schema": {}},
        {"max_output_tokens": 5},
        {"seed": 1},
    ],
)
def test_another_question_is_another_plan(other: dict[str, Any]) -> None:
    """So that its jobs are not taken for those of the first."""
    assert replace(PLAN, **other).plan != PLAN.plan


@pytest.mark.parametrize("other", [{"batch": 5}, {"limit": 2}, {"retry_failed": True}])
def test_how_it_is_cut_is_the_same_plan(other: dict[str, Any]) -> None:
    """A batch of the same records is the same job, whatever plan it came from."""
    assert replace(PLAN, **other).plan == PLAN.plan


def test_a_batch_is_named_after_its_records() -> None:
    """Not after its place: what is left after a run keeps its names."""
    records = [seen(f"r{number}") for number in range(6)]
    first, second = PLAN.entries([records], Found())
    [left] = PLAN.entries([records[3:]], Found())
    assert left == second
    assert first.entry_id != second.entry_id
    assert first.entry_id.startswith("v1-")


def test_a_record_that_failed_again_gives_its_batch_another_name() -> None:
    """Otherwise the queue would say that it is done already."""
    plan = replace(PLAN, retry_failed=True)
    names = set()
    for batches in (0, 1, 2):
        [entry] = plan.entries([[Seen(Record("r", {"text": "x"}), "failed" if batches else "gap", batches)]], Found())
        assert entry.kwargs.get("again", 0) == batches
        names.add(entry.entry_id)
    assert len(names) == 3


def test_what_lacks_a_field_is_counted_and_the_first_are_named() -> None:
    """It could not be asked; null is a value."""
    bad = [seen(f"r{number}", title="x") for number in range(8)]
    batches, found = planned(PLAN, *bad, seen("fine"), seen("null", text=None))
    assert batches == [["fine", "null"]]
    assert (found.unusable, len(found.unusable_first)) == (8, 5)
    assert found.unusable_first[0] == "r0: no field 'text'"
    assert found.document()["unusable"] == 8


def test_a_corpus_is_not_held_in_memory() -> None:
    """Batches come while it is read."""
    read = 0

    def pages() -> Iterator[list[Seen]]:
        nonlocal read
        while True:
            read += 1
            yield [seen(f"r{read}")]

    assert len(list(islice(PLAN.entries(pages(), Found()), 4))) == 4
    assert read == 12


def test_a_description_says_which() -> None:
    """For whoever reads the manifest."""
    several, one = PLAN.entries([[seen(f"r{number}") for number in range(4)]], Found())
    assert several.description == "3 of c.jsonl: r0 to r2"
    assert one.description == "1 of c.jsonl: r3"
