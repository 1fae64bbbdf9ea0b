"""What a job of `annotate` may ask for, said where it is submitted; its prompts, its schemas, its receipt."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue import InvalidJobError, JobSpec, normalize_job_spec
from lib.jobqueue.annotating import MOST_RECORDS
from lib.jobqueue.prompts import fields_of, filled, missing_fields
from lib.jobqueue.receipts import annotated

SCHEMA = {"type": "object", "properties": {"mood": {"enum": ["sad", "calm"]}}, "required": ["mood"]}
PAYLOAD = {"records": ["a", "b"], "corpus": "c.jsonl", "version": "v1", "prompt": "{text}", "answer_schema": SCHEMA}


def job(**payload: Any) -> JobSpec:
    """A job with this payload over a sound one; None takes a field away."""
    given = {name: value for name, value in {**PAYLOAD, **payload}.items() if value is not None}
    return normalize_job_spec({"request_id": "x", "task": "annotate", "payload": given})


def test_a_batch_by_its_names() -> None:
    """The names of the requirement mean it too, with the ids first and the data second; defaults are left out."""
    spec = job()
    assert spec.payload == {**PAYLOAD, "records": ["a", "b"]}
    for alias in ("tasks.annotate_batch", "tasks.process_batch_task"):
        assert normalize_job_spec({"request_id": "x", "task": alias, "payload": PAYLOAD}).task == "annotate"
    assert job(seed=0, system="", max_output_tokens=1024).content_hash == spec.content_hash


def test_numbers_are_ids_too() -> None:
    """A corpus that counts its records; a truth value is no number."""
    assert job(records=[7, "b"]).payload["records"] == ["7", "b"]
    with pytest.raises(InvalidJobError, match=r"payload\.records\[0\]: must be text"):
        job(records=[True])


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ({"records": []}, r"payload\.records"),
        ({"records": ["a", "a"]}, "names the record 'a' twice"),
        ({"records": ["a", 1.5]}, r"payload\.records\[1\]: must be text"),
        ({"records": [" "]}, "the id is blank"),
        ({"records": [str(i) for i in range(MOST_RECORDS + 1)]}, r"payload\.records"),
        ({"records": ["x" * 257]}, "has 257 characters; at most 256"),
        ({"corpus": ""}, r"payload\.corpus"),
        ({"corpus": None}, r"payload\.corpus: is missing"),
        ({"version": "a b"}, "'a b' is no version"),
        ({"version": ""}, "'' is no version"),
        ({"prompt": "What is the mood?"}, "names no field of a record"),
        ({"prompt": "What is {0}, { x } or {a.b}?"}, "names no field of a record"),
        ({"answer_schema": {"type": "objekt"}}, "is no sound JSON schema: type: 'objekt' is not valid"),
        ({"answer_schema": None}, r"payload\.answer_schema: is missing"),
        ({"max_output_tokens": 0}, "must be at least 1"),
        ({"data": {"a": {"text": "x"}}}, "do not name the same records: 'b'"),
        ({"data": {"a": {"text": "x"}, "b": {}}}, "names {text}, which the record 'b' does not have"),
        ({"recods": ["a"]}, r"recods: is no known field; did you mean 'records'\?"),
    ],
)
def test_what_is_wrong_is_said_at_the_door(payload: dict[str, Any], said: str) -> None:
    """Before anything is queued, with the place and the mend."""
    with pytest.raises(InvalidJobError, match=said):
        job(**payload)


def test_a_prompt_takes_fields_and_nothing_else() -> None:
    """Braces around anything that is no name stay; doubled ones write a name; values are not read again."""
    record = {
        "title": "A {text} of {title}",
        "text": "b",
        "n": 3,
        "list": ["ü", None],
        "größe": 1,
        "a-b": 2,
        "no": None,
    }
    assert filled("{title}|{text}|{n}|{list}|{größe}|{a-b}|{no}", record) == (
        'A {text} of {title}|b|3|["ü", null]|1|2|null'
    )
    kept = '{"mood": "x"} {0} {} { text } {text.upper} {text!r} {text[0]} {n:>9} {__class__.x}'
    assert filled(kept, record) == kept
    assert filled("{{text}} {text} {{0}}", record) == "{text} b {{0}}"
    assert fields_of("{b} {a} {b} {{c}}") == ("b", "a")
    assert missing_fields("{no} {none}", record) == ("none",)
    with pytest.raises(KeyError):
        filled("{none}", record)


@given(st.text(), st.dictionaries(st.sampled_from(["a", "b", "c_d"]), st.text()))
def test_no_prompt_and_no_record_ends_in_an_odd_error(template: str, record: dict[str, str]) -> None:
    """Whatever they hold: either a field is missing, or a text comes out."""
    if missing_fields(template, record):
        with pytest.raises(KeyError):
            filled(template, record)
    else:
        assert isinstance(filled(template, record), str)


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"annotated": 2, "skipped": 0, "failed": []}, None),
        ({"annotated": 0, "skipped": 2, "failed": []}, None),
        (
            {"annotated": 1, "skipped": 0, "failed": [{"id": "b", "error_type": "blocked", "error": "no"}]},
            "1 of 2 records failed: 'b': 'no'",
        ),
        ({"annotated": 1, "skipped": 0, "failed": []}, "1 annotated and 0 skipped are not the 2 records of the batch"),
        ({"annotated": "2", "skipped": 0, "failed": []}, "'2' annotated and 0 skipped are not the 2 records"),
        ({"annotated": 2}, "failed is None, no list of records"),
        ({"failed": ["b"]}, "1 of 2 records failed: None: None"),
        (None, "failed is None, no list of records"),
    ],
)
def test_a_receipt_is_sound_when_every_record_has_its_annotation(result: Any, said: str | None) -> None:
    """A job is done with one bad record; `verify` still says so. No record, however changed, is an error."""
    found = annotated(job(), {"status": "done", "result": result})
    assert found == said or (found or "").startswith(said or "\0")


def test_a_schema_goes_through_a_job_file_unchanged() -> None:
    """What is stored is what was written, with its $defs and its order."""
    schema = {"type": "object", "$defs": {"m": {"enum": ["b", "a"]}}, "properties": {"m": {"$ref": "#/$defs/m"}}}
    spec = job(answer_schema=schema)
    assert json.loads(JobSpec.from_json(spec.to_json()).to_json())["payload"]["answer_schema"] == schema
