"""The job as it travels."""

from __future__ import annotations

import gc
import json
import re
import sys
from datetime import UTC
from typing import Any

import pytest
from pydantic import ValidationError

from lib.errors import InvalidInputError
from lib.jobqueue import SPEECH_FIELDS, JobSpec, identity_of, normalize_job_spec

ROW = {"output_name": "a/b", "voice": "newsroom", "text": "Hello"}


def test_the_json_holds_what_differs_from_the_defaults() -> None:
    """A million waiting jobs are paid for by the byte."""
    assert set(json.loads(normalize_job_spec(ROW).to_json())) == {
        *ROW,
        "request_id",
        "max_attempts",
        "timeout_seconds",
        "queued_at",
        "content_hash",
    }


def test_a_job_that_was_read_leaves_nothing_behind() -> None:
    """A watcher reads jobs for weeks: none of their strings is kept for the next ones, which have others."""
    raws = [
        normalize_job_spec({"request_id": f"night:{i:06}", "task": "debug", "payload": {"message": f"m{i}"}}).to_json()
        for i in range(4000)
    ]
    for raw in raws[:1000]:
        JobSpec.from_json(raw)
    gc.collect()
    before = sys.getallocatedblocks()
    for raw in raws[1000:]:
        JobSpec.from_json(raw)
    gc.collect()
    assert sys.getallocatedblocks() - before < 300


def test_the_json_is_compact_utf8() -> None:
    """No spaces, no escapes where none are needed, whole seconds as whole numbers."""
    raw = normalize_job_spec({**ROW, "text": "Grüß 音"}).to_json()
    assert "Grüß 音".encode() in raw
    assert b'"timeout_seconds":600,' in raw
    assert b", " not in raw


def test_a_job_cannot_be_changed() -> None:
    """What changes while it runs is not in it."""
    spec = normalize_job_spec(ROW)
    with pytest.raises(ValidationError):
        spec.text = "other"  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b'{"request_id":"a"}',
        b'{"request_id":"\\ud800"}',
        b"[" * 100_000,
        b'{"request_id":"a","max_attempts":3,"timeout_seconds":1,"queued_at":"2026-01-01T00:00:00Z","future":1}',
    ],
)
def test_bytes_that_are_no_job_are_refused(raw: bytes) -> None:
    """One error of ours, never a crash, so that one bad entry stops nobody."""
    with pytest.raises(InvalidInputError, match="not the JSON of a job"):
        JobSpec.from_json(raw)


_HARD: dict[str, list[Any]] = {
    "request_id": ["a b", "a\n", "é", "\x00", " ", "", "a" * 513, "a" * 512],
    "output_name": ["a/b\n", "../b", "/a", "a//b", ".store/x", "grüß/beat", "a b/c.d", "a" * 256, "a" * 255, "a\\b"],
    "voice": ["Newsroom", "-a", "a-", "a" * 64, "a" * 65, "a\n", ""],
    "speaker": ["Ryan", " ", "a\tb"],
    "text": [" ", "\x1c\x1d", "\u2003", "音", "…", "\u200b", "a\n", "😀"],
    "priority": ["low", "lowest", 1, "HIGH"],
    "queued_at": [
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.123Z",
        "2026-01-01T00:00:00.123456Z",
        "2026-01-01T02:00:00.123+02:00",
        "2026-01-01T00:00:00.123",
        "2026-13-01T00:00:00.123Z",
        "2026-01-01T00:00:00.123Z\n",
        "2026-01-01",
        "0001-01-01T00:00:00.000Z",
        1767225600,
        "1767225600",
    ],
    "timeout_seconds": [1, 1.5, 0, "1", True, 1e300],
    "chunk": [True, "no", 1, None],
    "variants": [1, 2, 1.0, "2", 1001],
    "payload": [{}, {"a": [1, {"b": None}]}, [], None, "x"],
    "content_hash": ["", "sha256:v1:x", 1],
    "unknown": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in _HARD.items() for value in values])
def test_the_quick_way_to_read_a_job_reads_nothing_otherwise(name: str, value: Any) -> None:
    """A watcher reads strictly first, for speed: what passes there is what the full checks make of the same bytes."""
    raw = json.dumps({**json.loads(normalize_job_spec(ROW).to_json()), name: value}).encode()
    try:
        full = JobSpec.model_validate_json(raw)
    except ValidationError:
        with pytest.raises(InvalidInputError):
            JobSpec.from_json(raw)
        return
    quick = JobSpec.from_json(raw)
    assert quick == full
    assert quick.to_json() == full.to_json()
    assert quick.queued_at.tzinfo is UTC


def test_a_job_as_it_is_written_passes_the_quick_way() -> None:
    """Reading is what a watcher does for every job: the checks in Python are for what is rare."""
    raw = normalize_job_spec({**ROW, "deadline": "2030-01-01T00:00:00Z", "tone": "warm"}).to_json()
    assert JobSpec.__pydantic_validator__.validate_json(raw, strict=True) == JobSpec.from_json(raw)


def test_a_given_hash_is_believed_on_the_wire_and_checked_in_a_row() -> None:
    """A watcher does not hash again what was hashed at submit; a person's file is checked."""
    spec = normalize_job_spec(ROW)
    assert JobSpec.from_json(spec.to_json()).content_hash == spec.content_hash
    assert normalize_job_spec({**ROW, "content_hash": spec.content_hash}).content_hash == spec.content_hash


def test_every_field_is_content_or_named_as_not() -> None:
    """A new field must be thought about: it defines the output unless somebody says no."""
    content = set(JobSpec.model_fields) - JobSpec.not_content
    assert content == {"task", "payload", *SPEECH_FIELDS}
    assert JobSpec.not_content <= set(JobSpec.model_fields)


def test_the_identity_is_content_and_output_name() -> None:
    """The same id with another text or another place is a conflict; with another deadline it is a duplicate."""
    spec = normalize_job_spec({**ROW, "request_id": "r"})
    same = normalize_job_spec({**ROW, "request_id": "r", "deadline": "2030-01-01T00:00:00Z", "priority": "high"})
    assert identity_of(same) == identity_of(spec)
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", identity_of(spec))
    for change in ({"text": "Other"}, {"output_name": "a/c"}, {"output_name": None}):
        assert identity_of(normalize_job_spec({**ROW, "request_id": "r", **change})) != identity_of(spec)
