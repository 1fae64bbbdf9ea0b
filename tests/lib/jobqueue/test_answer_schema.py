"""Schemas of answers: what is refused where a job is submitted, and that no check of an answer is ever long."""

from __future__ import annotations

from typing import Any

import pytest

from lib.jobqueue.answer_schema import LARGEST_SCHEMA, checker, schema_problem
from tests.support.scripted_model import SCHEMA

OLD = "https://json-schema.org/draft/2019-09/schema"
ENDLESS = "^(a+)+$"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": 7}, "type: 7 is not valid"),
        ({"$ref": "http://127.0.0.1:1/schema.json"}, "a $ref to http://127.0.0.1:1/schema.json"),
        ({"$ref": "file:///etc/passwd"}, "a $ref to file:///etc/passwd"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "a $ref to #/$defs/none; only places inside"),
        ({"$dynamicRef": "#none"}, "a $dynamicRef to #none; only places inside"),
        ({"$schema": OLD, "items": {"$recursiveRef": "#none"}}, "a $recursiveRef to #none; only places inside"),
        ({"required": ["a"], "$ref": "#/required"}, "a $ref to #/required, where no schema stands"),
        ({"mine": {"multipleOf": 0}, "$ref": "#/mine"}, "is no sound JSON schema: multipleOf: 0"),
        ({"enum": ["x" * LARGEST_SCHEMA]}, "characters; at most"),
    ],
)
def test_a_schema_that_would_stumble_later_is_refused_now(schema: dict[str, Any], said: str) -> None:
    """And none of them reads a file or asks a server."""
    problem = schema_problem(schema)
    assert problem is not None
    assert said in problem
    with pytest.raises(ValueError, match=r"is no sound JSON schema|has a \$|has \d+ characters"):
        checker(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": ENDLESS},
        {"pattern": "("},
        {"properties": {"a": {"anyOf": [{"type": "null"}, {"pattern": "x"}]}}},
        {"properties": {"pattern": {"pattern": "x"}}},
        {"propertyNames": {"pattern": ENDLESS}},
        {"patternProperties": {ENDLESS: {}}},
        {"$defs": {"a": {"patternProperties": {"[": {}}}}},
        {"mine": {"pattern": ENDLESS}, "$ref": "#/mine"},
        {"const": {"pattern": ENDLESS}, "properties": {"a": {"$ref": "#/const"}}},
    ],
)
def test_a_pattern_is_refused(schema: dict[str, Any]) -> None:
    """Wherever a check could come upon it: one that doubles its work with each letter cannot be stopped."""
    problem = schema_problem(schema)
    assert problem is not None
    assert "is not allowed; say it with enum" in problem


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"pattern": {"type": "string"}, "patternProperties": {"type": "object"}}},
        {"$defs": {"pattern": {"type": "string"}}, "$ref": "#/$defs/pattern"},
        {"enum": [{"pattern": "x"}], "examples": [{"pattern": "x", "$ref": "#/nowhere"}]},
        {"type": "string", "format": "regex"},
        {"$defs": {"n": {"$dynamicAnchor": "n", "type": "string"}}, "$dynamicRef": "#n"},
        {"$id": "a.json", "$defs": {"b": {"$id": "b.json", "$defs": {"c": {}}, "$ref": "#/$defs/c"}}},
    ],
)
def test_what_only_looks_like_one_is_none(schema: dict[str, Any]) -> None:
    """A property may be called pattern, a value may hold one, and no format is checked."""
    assert schema_problem(schema) is None


def test_a_schema_that_takes_long_to_look_through_is_refused() -> None:
    """Each of its references leads to most of it: unmended, half a minute in the watcher's loop."""
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(60):
        schema = {"$defs": {"a": schema, **{f"p{number}": {"minimum": 1} for number in range(60)}}}
    references = [{"$ref": "#" + "/$defs/a" * depth} for depth in range(1, 60)]
    assert "too many references" in (schema_problem({"anyOf": references, **schema}) or "")


def doubling(levels: int) -> dict[str, Any]:
    """A schema whose check doubles with each level."""
    defs: dict[str, Any] = {f"a{level}": {"allOf": [{"$ref": f"#/$defs/a{level + 1}"}] * 2} for level in range(levels)}
    return {"$defs": {**defs, f"a{levels}": {"type": "object"}}, "$ref": "#/$defs/a0"}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (doubling(40), {}),
        ({"$schema": OLD, **doubling(40)}, {}),
        ({"uniqueItems": True}, [{"n": number} for number in range(50_000)]),
        ({"items": {"required": [str(number) for number in range(2_000)]}}, [{}] * 2_000),
    ],
)
def test_a_check_that_would_take_for_ever_is_given_up(schema: dict[str, Any], value: Any) -> None:
    """It runs in the loop that keeps the watcher's jobs alive. Unmended, each takes minutes or years."""
    assert "more than 100000 steps" in (checker(schema)(value) or "")


def test_another_dialect_inside_is_counted_too() -> None:
    """A `$schema` below the top would bring a checker of its own."""
    schema = {"properties": {"a": {"$schema": OLD, "$id": "a.json", **doubling(40)}}}
    assert "more than 100000 steps" in (checker(schema)({"a": {}}) or "")


def test_large_answers_are_checked_all_the_same() -> None:
    """Two thousand rows, and after one check that was given up the next has all its steps."""
    row = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    check = checker({"type": "array", "items": row, "uniqueItems": False})
    assert check([{"n": 1}] * 2_000) is None
    assert "steps" in (check([{"n": 1}] * 50_000) or "")
    assert check([{"n": 1}] * 2_000) is None
    assert checker({"uniqueItems": True})(list(range(20_000))) is None


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"mood": "sad"}, None),
        ({"mood": "odd"}, "mood: 'odd' is not one of ['sad', 'calm']"),
        ({}, "'mood' is a required property"),
        ([], "[] is not of type 'object'"),
    ],
)
def test_a_value_is_checked_with_the_place_of_what_is_wrong(value: Any, said: str | None) -> None:
    """In one line."""
    schema = {"type": "object", "properties": {"mood": {"enum": ["sad", "calm"]}}, "required": ["mood"]}
    assert checker(schema)(value) == said


def test_a_number_beyond_every_bound_is_told() -> None:
    """And no error of arithmetic."""
    assert checker({"multipleOf": 0.1})(10**400) == "it holds a number that is too large to check"


def test_a_schema_may_refer_to_itself() -> None:
    """A tree is fine; a circle is told, and no crash."""
    tree = {"type": "object", "properties": {"next": {"$ref": "#"}}}
    assert checker(tree)({"next": {"next": {}}}) is None
    assert checker(tree)({"next": 1}) == "next: 1 is not of type 'object'"
    assert checker({"$ref": "#"})({}) == "the schema goes round in circles"
    assert len(checker({"enum": ["x" * 1000]})("y") or "") < 200
    assert schema_problem(SCHEMA) is None
