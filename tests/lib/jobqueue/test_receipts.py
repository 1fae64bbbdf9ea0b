"""Receipts: what each kind of task must have given back, and that no record, however odd, makes a check stumble."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.jobqueue import BUILT_IN, JobSpec, normalize_job_spec
from lib.jobqueue.receipts import LIFECYCLE

SPEECH = {"voice": "v", "text": "t", "variants": 2}
TAKES = [{"name": "take_01.wav", "bytes": 10}, {"name": "take_02.wav", "bytes": 10}]


def job(task: str, payload: dict[str, Any]) -> JobSpec:
    """A normalised job; speech fields stand flat."""
    fields = payload if task == "speak" else {"payload": payload}
    return normalize_job_spec({"request_id": "r", "task": task, **fields})


def judged(task: str, payload: dict[str, Any], record: dict[str, Any]) -> str | None:
    """What the check of the task says."""
    kind = BUILT_IN.get(task)
    assert kind is not None
    assert kind.receipt is not None
    return kind.receipt(job(task, payload), record)


def round_of(*steps: str, **more: Any) -> dict[str, Any]:
    """A record of a round with these steps."""
    return {"result": {"lifecycle": list(steps), **more}}


def test_every_kind_that_comes_along_has_a_check() -> None:
    """None is believed without a look."""
    assert [kind.name for kind in BUILT_IN.kinds if kind.receipt is None] == []


@pytest.mark.parametrize(
    ("task", "payload", "record"),
    [
        ("debug", {"message": "hi"}, {"result": {"message": "hi", "attempt": 3}}),
        ("debug", {}, {"result": {"message": ""}}),
        ("sleep", {"seconds": 2.0}, {"result": {"slept_seconds": 2.0}}),
        ("sleep", {"seconds": 2.0}, {"result": {"slept_seconds": 1.999}}),
        ("sleep", {"seconds": 2.0}, {"result": {"slept_seconds": 9}}),
        ("sleep", {"seconds": 0}, {"result": {"slept_seconds": 0.0}}),
        ("fast_crud", {"data": 1}, round_of(*LIFECYCLE, left_over=2)),
        ("sleep_crud", {"seconds": 1.0}, round_of(*LIFECYCLE, slept_seconds=1.1)),
        ("speak", SPEECH, {"outputs": {"takes": TAKES, "best": None}}),
    ],
)
def test_sound_receipts(task: str, payload: dict[str, Any], record: dict[str, Any]) -> None:
    """What was asked for was given back, and more does no harm."""
    assert judged(task, payload, record) is None


@pytest.mark.parametrize(
    ("task", "payload", "record", "said"),
    [
        ("debug", {"message": "hi"}, {"result": {"message": "ho"}}, "message is 'ho', not 'hi'"),
        ("debug", {"message": "hi"}, {}, "message is None, not 'hi'"),
        ("sleep", {"seconds": 2.0}, {"result": {"slept_seconds": 1.9}}, "slept 1.9 s, not 2"),
        ("sleep", {"seconds": 0}, {"result": {}}, "slept_seconds is None, no number"),
        ("sleep", {"seconds": 1}, {"result": {"slept_seconds": True}}, "slept_seconds is True, no number"),
        ("fast_crud", {}, round_of(*LIFECYCLE[:-1]), "lifecycle lacks confirmed_gone"),
        ("fast_crud", {}, round_of("created", "deleted"), "lifecycle lacks read, updated, verified, confirmed_gone"),
        ("fast_crud", {}, round_of(*reversed(LIFECYCLE)), "lifecycle is out of order: ['confirmed_gone', 'deleted', "),
        ("fast_crud", {}, round_of(*LIFECYCLE, "created"), "lifecycle is out of order: "),
        ("fast_crud", {}, {"result": {"lifecycle": "created"}}, "lifecycle is 'created', no list of steps"),
        ("sleep_crud", {"seconds": 1.0}, round_of(*LIFECYCLE, slept_seconds=0.5), "slept 0.5 s, not 1"),
        ("sleep_crud", {"seconds": 1.0}, round_of(slept_seconds=1.5), "lifecycle lacks created, "),
        ("speak", SPEECH, {"outputs": {"takes": TAKES[:1]}}, "1 of 2 takes are in the record"),
        ("speak", SPEECH, {}, "0 of 2 takes are in the record"),
        ("speak", SPEECH, {"outputs": {"takes": [*TAKES[:1], {"bytes": 0}]}}, "1 of 2 takes are empty"),
    ],
)
def test_what_is_wrong_is_said(task: str, payload: dict[str, Any], record: dict[str, Any], said: str) -> None:
    """The value, and what it should be."""
    found = judged(task, payload, record)
    assert found is not None
    assert found.startswith(said)


PAYLOADS: dict[str, dict[str, Any]] = {
    "debug": {"message": "hi"},
    "sleep": {"seconds": 1},
    "fast_crud": {},
    "sleep_crud": {"seconds": 1},
    "speak": SPEECH,
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ("result", "outputs", "message", "slept_seconds", "lifecycle", "takes", "bytes")
RECORDS = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), JSON),
    lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner | st.lists(inner, max_size=2)),
    max_leaves=5,
)


@given(st.sampled_from(sorted(PAYLOADS)), RECORDS)
def test_no_record_makes_a_check_stumble(task: str, record: dict[str, Any]) -> None:
    """A record may have been changed by hand to anything: the answer is words, or none."""
    found = judged(task, PAYLOADS[task], record)
    assert found is None or isinstance(found, str)
