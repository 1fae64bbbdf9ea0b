"""The words for mistakes."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator

from lib.jobqueue.normalise import normalize_job_spec
from lib.jobqueue.problems import FieldProblem, InvalidJobError, from_validation, nearest, shown


def test_a_value_is_shown_on_one_short_printable_line() -> None:
    """Whatever it is: a message never costs more than the mistake."""
    for value in ("a\nb\x1b[31m", "\ud800", "x" * 10**6, 10**5000, [10**5000], {"a": "\u202e"}, b"\xff" * 100):
        text = shown(value)
        assert len(text) <= 60
        assert text.isprintable()
        text.encode()


def test_a_bottomless_value_is_shown_too() -> None:
    """Without a crash."""
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    assert shown(value)
    # Take it apart by hand: the interpreter's own way down is deep.
    while value:
        value = value.pop()  # type: ignore[assignment]  # a list until the innermost


def test_near_names_are_suggested_and_far_ones_are_not() -> None:
    """A wrong suggestion is worse than none."""
    assert nearest("voise", ["voice", "speaker"]) == "; did you mean 'voice'?"
    assert nearest("qqqq", ["voice", "speaker"]) == ""
    assert nearest(7, ["voice"]) == ""
    assert nearest("v" * 10**6, ["voice"]) == ""


def test_an_error_says_all_its_problems() -> None:
    """As one message for logs, as a list for tables."""
    error = InvalidJobError([FieldProblem("a", "is bad"), FieldProblem("", "is too large")])
    assert str(error) == "a: is bad; is too large"
    assert error.code == "invalid_job"
    assert error.exit_code == 2


class _Foreign(BaseModel):
    """A payload model that somebody else wrote, with rules that we have no words for."""

    code: str = Field("", pattern="^[a-z]+$")
    items: list[int] = Field(default_factory=list, max_length=2)
    even: int = 0

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("must be even")
        return value


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"code": "A1"}, "payload.code", "pattern"),
        ({"items": [1, "x"]}, "payload.items[1]", "whole number"),
        ({"items": [1, 2, 3]}, "payload.items", "at most 2 items"),
        ({"even": 3}, "payload.even", "must be even"),
    ],
)
def test_rules_of_foreign_models_are_passed_on_with_their_place(
    given: dict[str, object], place: str, words: str
) -> None:
    """Pydantic's own words where we have none."""
    with pytest.raises(ValidationError) as caught:
        _Foreign.model_validate(given)
    (problem,) = from_validation(caught.value, _Foreign.model_fields, "payload")
    assert problem.field == place
    assert words in problem.message


@pytest.mark.parametrize(("field", "whole"), [("timeout_seconds", ""), ("ttl_seconds", "whole ")])
def test_a_length_of_time_is_a_number_of_seconds(field: str, whole: str) -> None:
    """`1h` is a natural thing to write; what to write for it is said."""
    with pytest.raises(InvalidJobError) as caught:
        normalize_job_spec({"request_id": "a", "task": "debug", field: "1h"})
    (problem,) = caught.value.problems
    assert str(problem) == f"{field}: must be a {whole}number of seconds such as 3600, not '1h'"
