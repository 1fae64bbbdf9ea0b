"""What is kept of a job when it is over."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given

from lib.errors import InvalidInputError, PermanentError
from lib.jobqueue import normalize_job_spec
from lib.jobqueue.records import (
    MAX_ERROR_CHARACTERS,
    Failure,
    RecordedOutput,
    Run,
    done_tail,
    failed_tail,
    recorded_outputs,
)
from tests.lib.jobqueue.strategies import json_objects

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
RUN = Run("metal", "run-1", NOW, NOW + timedelta(seconds=1.5))
FAILURE = Failure("permanent", "execute", "no such voice: é\ud800", NOW, "run-1")
SPEC = normalize_job_spec(
    {"output_name": "a/b", "voice": "v", "text": "Grüße", "callback_data": {"x": [], "é": 1}}, now=NOW
)
# What the queue's scripts write in front of a tail.
HEAD = b'{"schema_version":1,"generation":7,"fence":8,"attempt":1,"identity":"i","history":"1-1","status":"done",'
HASH = "0" * 64
OUTPUTS = (
    RecordedOutput("take_01.wav", "take", "file:///s/take_01.wav", 10, HASH),
    RecordedOutput("best.wav", "best", "file:///s/best.wav", 10, HASH),
    RecordedOutput("takes.meta.json", "meta", "file:///s/takes.meta.json", 2, HASH),
    RecordedOutput("take_02.wav", "take", "file:///s/take_02.wav", 11, HASH),
    RecordedOutput("text.txt", "meta", "file:///s/text.txt", 3, HASH),
)


def whole(tail: bytes) -> dict[str, Any]:
    """The record as it stands in Redis."""
    assert tail.isascii()
    assert tail.endswith(b"}")
    record: dict[str, Any] = json.loads(HEAD + tail)
    return record


def test_a_done_record_has_every_field_of_the_contract() -> None:
    """Head and tail together are one JSON object with no field twice."""
    record = whole(done_tail(SPEC, RUN, outputs=OUTPUTS, result={"rtf": 0.1}, cost={"usd": 0.0}))
    assert record == {
        "schema_version": 1,
        "generation": 7,
        "fence": 8,
        "attempt": 1,
        "identity": "i",
        "history": "1-1",
        "status": "done",
        "request_id": "a:b",
        "content_hash": SPEC.content_hash,
        "task": "speak",
        "backend": "metal",
        "run_id": "run-1",
        "queued_at": "2026-01-02T03:04:05.000Z",
        "started_at": "2026-01-02T03:04:05.000Z",
        "completed_at": "2026-01-02T03:04:06.500Z",
        "duration_sec": 1.5,
        "output_name": "a/b",
        "outputs": record["outputs"],
        "result": {"rtf": 0.1},
        "cost": {"usd": 0.0},
        "callback_data": {"x": [], "é": 1},
    }
    assert record["outputs"]["best"] == {
        "name": "best.wav",
        "uri": "file:///s/best.wav",
        "bytes": 10,
        "sha256": HASH,
    }
    assert [take["name"] for take in record["outputs"]["takes"]] == ["take_01.wav", "take_02.wav"]


def test_what_there_is_not_is_left_out() -> None:
    """A task without files has no outputs, and says so by silence."""
    spec = normalize_job_spec({"request_id": "d", "task": "debug"}, now=NOW)
    record = whole(done_tail(spec, RUN))
    assert not {"outputs", "output_name", "result", "cost"} & set(record)
    assert record["callback_data"] == {}
    assert recorded_outputs(record) == ()


def test_outputs_can_be_read_back_for_publishing() -> None:
    """Any watcher can publish from the record alone."""
    back = recorded_outputs(whole(done_tail(SPEC, RUN, outputs=OUTPUTS)))
    assert set(back) == set(OUTPUTS)
    assert [output.kind for output in back] == ["best", "take", "take", "meta", "meta"]


@pytest.mark.parametrize("outputs", [{"best": {}}, {"takes": [1]}, {"takes": [{"name": "a"}]}, [1]])
def test_outputs_that_were_changed_by_hand_are_refused(outputs: Any) -> None:
    """Not guessed at."""
    with pytest.raises(InvalidInputError, match="r1"):
        recorded_outputs({"request_id": "r1", "outputs": outputs})


def test_a_failed_record_holds_the_job_to_run_it_again() -> None:
    """`retry` needs nothing but the record."""
    record = whole(failed_tail(SPEC, FAILURE))
    assert (record["error_type"], record["stage"]) == ("permanent", "execute")
    assert record["error"] == "no such voice: é\\ud800"
    assert record["failed_at"] == "2026-01-02T03:04:05.000Z"
    assert record["run_id"] == "run-1"
    assert record["job"] == json.loads(SPEC.to_json())
    assert record["callback_data"] == SPEC.callback_data
    again = normalize_job_spec(record["job"])
    assert again == SPEC


def test_a_backlog_is_kept_unless_it_is_the_default() -> None:
    """So that a retry finds its way back, and ordinary records stay as small as they were."""
    for tail in (
        done_tail(SPEC, RUN, backlog="night"),
        failed_tail(SPEC, FAILURE, backlog="night"),
        failed_tail(None, FAILURE, request_id="r", backlog="night"),
    ):
        assert whole(tail)["backlog"] == "night"
    for tail in (done_tail(SPEC, RUN), failed_tail(SPEC, FAILURE, backlog="default")):
        assert "backlog" not in whole(tail)


@pytest.mark.parametrize("tail", [done_tail(SPEC, RUN), failed_tail(SPEC, FAILURE)])
def test_a_tail_leaves_the_fields_of_the_head_alone(tail: bytes) -> None:
    """A field that stood twice would mean one thing to the scripts and another to a reader."""
    head = json.loads(HEAD[:-1] + b"}")
    assert not head.keys() & json.loads(b"{" + tail).keys()


def test_unreadable_bytes_are_kept_and_lost_ones_are_said_to_be() -> None:
    """Whatever somebody put into the stream can be had again from the record."""
    bad = b'{"broken\xff'
    kept = whole(failed_tail(bad, FAILURE, request_id="foreign:s:1-1"))
    assert (kept["request_id"], kept["job"], kept["job_bytes"]) == ("foreign:s:1-1", None, "eyJicm9rZW7/")
    lost = whole(failed_tail(None, FAILURE, request_id="r"))
    assert lost["job"] is None
    assert "job_bytes" not in lost
    with pytest.raises(ValueError, match="request_id"):
        failed_tail(None, FAILURE)


def test_a_long_error_is_cut() -> None:
    """A record stays in memory for as long as its id."""
    record = whole(failed_tail(SPEC, Failure("permanent", "execute", "x" * 100_000, NOW)))
    assert len(record["error"]) < MAX_ERROR_CHARACTERS + 50
    assert record["error"].endswith(f"({100_000 - MAX_ERROR_CHARACTERS} more characters)")
    assert record["run_id"] == ""


@pytest.mark.parametrize("result", [{"a": float("nan")}, {"a": object()}, {"a": {1, 2}}, {"a": b"x"}])
def test_a_result_that_is_no_json_is_the_tasks_fault(result: dict[str, Any]) -> None:
    """It will be the same next time, so it is permanent, and names the task."""
    with pytest.raises(PermanentError, match="task speak"):
        done_tail(SPEC, RUN, result=result)


def test_a_result_that_holds_itself_is_the_tasks_fault_too() -> None:
    """No endless loop, no crash."""
    result: dict[str, Any] = {}
    result["me"] = result
    with pytest.raises(PermanentError):
        done_tail(SPEC, RUN, result=result)


@given(json_objects, json_objects)
def test_users_data_comes_back_from_a_record_untouched(data: dict[str, Any], result: dict[str, Any]) -> None:
    """Empty lists stay lists, whatever a script language would make of them."""
    spec = normalize_job_spec({"output_name": "a", "voice": "v", "text": "t", "callback_data": data})
    record = whole(done_tail(spec, RUN, result=result))
    assert record["callback_data"] == data
    assert record["result"] == result


def test_a_record_says_where_its_outputs_can_be_opened() -> None:
    """A person opens the published name; the stored one is what the record vouches for."""
    record = whole(done_tail(SPEC, RUN, outputs=OUTPUTS, published=lambda name: f"file:///out/a/b/{name}"))
    assert record["outputs"]["best"]["published"] == "file:///out/a/b/best.wav"
    assert record["outputs"]["takes"][1]["published"] == "file:///out/a/b/take_02.wav"
    assert recorded_outputs(record)[0].uri == "file:///s/best.wav"
