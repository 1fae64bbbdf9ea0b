"""What of a user's own data can travel."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from lib.jobqueue.json_values import MAX_DEPTH, SAFE_INTEGER, json_problems, text_problem
from tests.lib.jobqueue.strategies import json_values


def nested(levels: int) -> Any:
    """A list in a list, so many deep."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@given(json_values)
def test_json_passes_and_comes_back(value: Any) -> None:
    """What is JSON has no problems and survives the wire."""
    assert list(json_problems(value, "v")) == []
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, float("nan")]}, "v.a[1]"),
        ({"a": float("-inf")}, "v.a"),
        ([SAFE_INTEGER + 1], "v[0]"),
        ([-SAFE_INTEGER - 1], "v[0]"),
        ({"a": 10**5000}, "v.a"),
        ({"a": {1: "x"}}, "v.a"),
        ({"a": {True: "x"}}, "v.a"),
        ({"a\ud800": 1}, "v"),
        ({"a": "\udfff"}, "v.a"),
        ([b"bytes"], "v[0]"),
        ([{1, 2}], "v[0]"),
        ([object()], "v[0]"),
    ],
)
def test_what_is_no_json_is_named_with_its_place(value: Any, place: str) -> None:
    """One problem, at the value itself, in words that can be printed."""
    (problem,) = json_problems(value, "v")
    assert problem.field == place
    str(problem).encode()
    assert len(problem.message) < 200


def test_every_problem_is_found() -> None:
    """Not only the first."""
    assert len(list(json_problems({"a": float("nan"), "b": [float("inf"), {2: 3}]}, "v"))) == 3


def test_depth_is_bounded_without_recursion() -> None:
    """64 levels pass, 65 do not, and 100 000 do not crash the interpreter."""
    assert list(json_problems(nested(MAX_DEPTH), "v")) == []
    for levels in (MAX_DEPTH + 1, 100_000):
        (problem,) = json_problems(nested(levels), "v")
        assert "deeper than 64" in problem.message


def test_a_text_without_surrogates_is_fine() -> None:
    """Astral characters are no surrogates."""
    assert text_problem("\U0001f600 ünï") is None
    assert "U+DC00" in str(text_problem("a\udc00"))
