"""Rows that a person may write, as Hypothesis strategies."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# Everything that UTF-8 can hold; lone surrogates have tests of their own.
texts = st.text(st.characters(codec="utf-8"), max_size=60)
spoken = texts.filter(lambda text: bool(text.strip()))
names = st.from_regex(r"[A-Za-z0-9_-]{1,12}(/[A-Za-z0-9_.-]{0,6}[A-Za-z0-9]){0,2}", fullmatch=True)
slugs = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
identifiers = st.text(string.ascii_letters + string.digits + " :/éß音", min_size=1, max_size=30).filter(
    lambda text: bool(text.strip())
)
moments = (
    st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat()).filter(lambda text: len(text) < 40)
)
booleans = st.sampled_from([True, False, 0, 1, "yes", "no", "on", "off", "true", "false", "0", "1"])
json_values: SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)

_routing: dict[str, SearchStrategy[Any]] = {
    "priority": st.sampled_from(["high", "normal", "low", *range(10)]),
    "backend": st.sampled_from(["metal", "cloud", "vast"]),
    "deadline": st.just("2030-05-06T07:08:09.123456+02:00"),
    "run_after": st.just("2031-05-06T07:08:09Z"),
    "max_attempts": st.integers(1, 1_000),
    "timeout_seconds": st.floats(0.001, 86_400) | st.integers(1, 86_400),
    "conflict_key": identifiers,
    "on_conflict": st.sampled_from(["refuse", "queue"]),
    "callback_data": json_objects,
    "ttl_seconds": st.integers(1, 10**8),
    "queued_at": st.just("2026-01-02T03:04:05.678901+05:30"),
    "attempt": st.integers(0, 10),
}
_speech: dict[str, SearchStrategy[Any]] = {
    "language": identifiers,
    "profile": st.sampled_from(["stable", "balanced", "expressive"]),
    "variants": st.integers(1, 1_000),
    "select_best": booleans,
    "chunk": booleans,
    "temperature": st.floats(0, 10) | st.integers(0, 3),
    "top_p": st.floats(0, 1, exclude_min=True),
    "repetition_penalty": st.floats(0, 5, exclude_min=True),
    "max_new_tokens": st.integers(1, 10**6),
    "instruct_style": identifiers,
}

speech_rows: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"text": spoken, "voice": slugs, "output_name": names},
    optional={**_routing, **_speech, "tone": spoken, "request_id": identifiers},
)
speaker_rows: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"text": spoken, "speaker": identifiers, "request_id": identifiers},
    optional={**_speech, "output_name": names},
)
sleep_rows: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "task": st.sampled_from(["sleep", "tasks.sleep_task"]),
        "request_id": identifiers,
        "payload": st.fixed_dictionaries({"seconds": st.floats(0, 1_000) | st.integers(0, 1_000)}),
    },
    optional={**_routing, "output_name": names},
)
debug_rows: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {"task": st.sampled_from(["debug", "tasks.debug_task"]), "request_id": identifiers},
    optional={"payload": st.fixed_dictionaries({}, optional={"message": texts}), "conflict_key": identifiers},
)
rows: SearchStrategy[dict[str, Any]] = speech_rows | speaker_rows | sleep_rows | debug_rows
"""Any valid row."""

routing_changes: SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {}, optional={**_routing, "request_id": identifiers, "output_name": names}
)
"""Fields that say who, when and where, but not what."""
