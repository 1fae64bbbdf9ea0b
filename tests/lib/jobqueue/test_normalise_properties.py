"""What normalising, encoding and hashing promise for every row that anybody may write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue import InvalidJobError, JobSpec, identity_of, normalize_job_spec
from lib.jobqueue.content_hash import canonical, content_hash_of
from tests.lib.jobqueue.strategies import json_objects, routing_changes, rows, speech_rows, texts

NOW = datetime(2026, 3, 4, 5, 6, 7, 890_000, tzinfo=UTC)


class JobSpecOfNextYear(JobSpec):
    """A later version with one more field that defines the output."""

    breathing: bool = False


@given(rows)
def test_normalising_what_was_normalised_changes_nothing(row: dict[str, Any]) -> None:
    """A job that passed once passes again and is the same job, byte for byte."""
    once = normalize_job_spec(row, now=NOW)
    twice = normalize_job_spec(json.loads(once.to_json()))
    assert twice == once
    assert twice.to_json() == once.to_json()


@given(rows)
def test_a_job_survives_its_journey_through_the_queue(row: dict[str, Any]) -> None:
    """What a watcher reads back is what was accepted."""
    spec = normalize_job_spec(row, now=NOW)
    back = JobSpec.from_json(spec.to_json())
    assert back == spec
    assert back.to_json() == spec.to_json()
    assert identity_of(back) == identity_of(spec)


@given(speech_rows, routing_changes)
def test_the_hash_ignores_who_when_and_where(row: dict[str, Any], changes: dict[str, Any]) -> None:
    """Identity, time, routing and callback fields change no hash: the audio would be the same."""
    before = normalize_job_spec(row, now=NOW)
    after = normalize_job_spec({**row, **changes}, now=datetime.now(UTC))
    assert after.content_hash == before.content_hash


@given(speech_rows, texts.filter(lambda text: bool(text.strip())))
def test_the_hash_follows_the_text(row: dict[str, Any], text: str) -> None:
    """Two texts are two outputs, and one text is one, whatever else is said."""
    before = normalize_job_spec(row, now=NOW)
    after = normalize_job_spec({**row, "text": text}, now=NOW)
    assert (after.content_hash == before.content_hash) == (text == row["text"])


@given(rows)
def test_a_new_field_with_a_default_changes_no_old_hash(row: dict[str, Any]) -> None:
    """A later version that adds a field finds yesterday's outputs and refuses yesterday's duplicates."""
    old = normalize_job_spec(row, now=NOW)
    values = json.loads(old.to_json())
    del values["content_hash"]
    assert JobSpecOfNextYear.model_validate(values).content_hash == old.content_hash
    assert JobSpecOfNextYear.model_validate({**values, "breathing": True}).content_hash != old.content_hash


@given(speech_rows)
def test_writing_a_default_out_changes_no_hash(row: dict[str, Any]) -> None:
    """`variants: 1` and no variants at all are the same request."""
    bare = {name: value for name, value in row.items() if name not in {"variants", "chunk", "language"}}
    full = {**bare, "variants": 1, "chunk": "no", "language": "English", "task": "speak"}
    assert normalize_job_spec(full, now=NOW).content_hash == normalize_job_spec(bare, now=NOW).content_hash


@given(json_objects)
def test_the_quick_encoder_writes_the_canonical_form(content: dict[str, Any]) -> None:
    """Both ways to canonical JSON give the bytes of RFC 8785 for every content with names as ours."""
    named = {f"field_{at}": value for at, value in enumerate(content.values())}
    assert canonical(named) == rfc8785.dumps(named)


@pytest.mark.parametrize(
    "number", [0.0, -0.0, 1.0, -2.0, 0.5, 0.001, 0.0011, 1e-7, 123456.789, 1e6, 1e6 + 0.5, 1e21, 2**53 - 1]
)
def test_every_kind_of_number_is_written_canonically(number: float) -> None:
    """Whole ones without a point, the others as JavaScript would."""
    assert canonical({"top_p": number}) == rfc8785.dumps({"top_p": number})


def test_names_are_ordered_as_utf_16_orders_them() -> None:
    """Which is not the order of code points beyond the basic plane."""
    content = {"payload": {"\U00010000": 1, "\ue000": 2, "a": 3}}
    assert canonical(content) == rfc8785.dumps(content)


@given(st.permutations(["text", "voice", "output_name", "variants", "profile"]))
def test_the_order_of_fields_changes_nothing(order: list[str]) -> None:
    """People sort their files."""
    values = {"text": "a", "voice": "b", "output_name": "c", "variants": 2, "profile": "stable"}
    shuffled = normalize_job_spec({name: values[name] for name in order}, now=NOW)
    assert shuffled.to_json() == normalize_job_spec(values, now=NOW).to_json()


@given(st.dictionaries(texts, st.none() | texts | st.integers() | st.lists(st.integers(), max_size=2), max_size=6))
def test_any_other_row_is_refused_with_reasons_and_never_crashes(row: dict[str, Any]) -> None:
    """Whatever stands in a row, the answer is a list of fields and mends."""
    with pytest.raises(InvalidJobError) as caught:
        normalize_job_spec(row)
    assert caught.value.problems
    for problem in caught.value.problems:
        assert problem.message
        str(problem).encode()


_FIELDS = st.sampled_from(sorted(JobSpec.model_fields))
_ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=5)
    | st.integers(10**3000, 10**3001)
    | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(speech_rows, st.dictionaries(_FIELDS, _ANYTHING, max_size=4))
def test_known_fields_with_wild_values_are_refused_or_read_never_worse(
    row: dict[str, Any], wild: dict[str, Any]
) -> None:
    """No value of a known field raises anything but `InvalidJobError`, and what passes travels."""
    try:
        spec = normalize_job_spec({**row, **wild})
    except InvalidJobError as error:
        for problem in error.problems:
            str(problem).encode()
        return
    assert JobSpec.from_json(spec.to_json()) == spec


@given(speech_rows, st.dictionaries(_FIELDS, _ANYTHING, max_size=2))
def test_the_short_way_of_usual_rows_is_the_whole_way(row: dict[str, Any], wild: dict[str, Any]) -> None:
    """A row that names its task takes the whole way; without it, the same job comes out, or the same mistakes."""
    given_row = {name: value for name, value in {**row, **wild}.items() if name != "task"}
    assert _outcome(given_row) == _outcome({**given_row, "task": "speak"})


@pytest.mark.parametrize(
    "change",
    [
        {"voice": None},
        {"voice": None, "speaker": "Ryan"},
        {"speaker": "Ryan"},
        {"tone": "warm", "instruct": "slowly"},
        {"text": None},
        {"text": "\ud800"},
        {"text": "x" * 300_000},
        {"output_name": None},
        {"output_name": " "},
        {"output_name": 1},
        {"unknown": 1},
        {"variants": "2"},
        {"chunk": "yes"},
        {"priority": 0},
        {"content_hash": "sha256:v1:x"},
        {"callback_data": {"a": float("nan")}},
        {"callback_url": "https://example.org/"},
        {"payload": {}},
        {"deadline": "2030-01-01T00:00:00"},
        {"deadline": "2030-01-01T00:00:00.123456+01:00"},
    ],
)
def test_what_is_no_usual_row_takes_the_whole_way(change: dict[str, Any]) -> None:
    """Every rule between fields, every limit and every conversion holds on both."""
    row = {"output_name": "a/b", "voice": "newsroom", "text": "Hello", **change}
    assert _outcome(row) == _outcome({**row, "task": "speak"})


def _outcome(row: dict[str, Any]) -> object:
    try:
        spec = normalize_job_spec(row, now=NOW)
    except InvalidJobError as error:
        return [str(problem) for problem in error.problems]
    return spec, spec.to_json(), identity_of(spec)


def test_the_hash_of_a_known_job_is_pinned() -> None:
    """An accidental change of the form would make every old output unfindable."""
    spec = normalize_job_spec({"output_name": "a", "voice": "newsroom", "text": "Grüß Gott", "temperature": 0.5})
    expected = '{"temperature":0.5,"text":"Grüß Gott","voice":"newsroom"}'
    assert canonical(spec.content()).decode() == expected
    assert spec.content_hash == "sha256:v1:5a64f0e16a02fe845899ef417b7cf2a2275fafc7b75c96e0946d7e8b59aa4ae3"
    assert spec.content_hash == content_hash_of(json.loads(expected))
