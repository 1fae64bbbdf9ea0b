"""How big a job is: the unit in which its time and cost grow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.job_sizes import LEAST_SLEEP_SECONDS, size_bucket, size_of
from lib.jobqueue.spec import JobSpec


def job(**fields: Any) -> JobSpec:
    """A job with these fields."""
    return JobSpec.model_validate(
        {
            "request_id": "a",
            "max_attempts": 3,
            "timeout_seconds": 60,
            "queued_at": "2026-03-01T00:00:00.000Z",
            **fields,
        }
    )


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"text": "four", "voice": "v"}, 4),
        ({"text": "four", "voice": "v", "variants": 3}, 12),
        ({"task": "sleep", "payload": {"seconds": 90}}, 90),
        ({"task": "sleep", "payload": {"seconds": 0}}, LEAST_SLEEP_SECONDS),
        ({"task": "sleep", "payload": {}}, LEAST_SLEEP_SECONDS),
        ({"task": "sleep_crud", "payload": {"seconds": 2.5}}, 2.5),
        ({"task": "annotate", "payload": {"records": [{}, {}, {}]}}, 3),
        ({"task": "annotate", "payload": {"records": []}}, 1),
        ({"task": "annotate", "payload": {}}, 1),
        ({"task": "debug", "payload": {"seconds": 7}}, 1),
        ({"task": "somebody.elses", "payload": {"records": [1, 2]}}, 1),
    ],
)
def test_the_size_of_a_job(fields: dict[str, Any], size: float) -> None:
    """Characters, seconds or records; one where nothing grows; never nothing."""
    assert size_of(job(**fields)) == size


@given(st.floats(min_value=0.01, max_value=1e12))
def test_sizes_of_one_bucket_differ_by_less_than_two(size: float) -> None:
    """A power of two begins each."""
    bucket = size_bucket(size)
    assert 2.0**bucket <= size < 2.0 ** (bucket + 1)


def test_what_is_beyond_every_bucket_is_counted_with_the_last() -> None:
    """Also what is no size at all."""
    assert size_bucket(0) == size_bucket(-1) == size_bucket(float("nan")) == size_bucket(1e-9) == -7
    assert size_bucket(1e30) == 40
