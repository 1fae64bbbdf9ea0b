"""What plain scalars mean: YAML 1.2, not 1.1."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lib.jobfile.scalars import MAX_DIGITS, NumberTooLongError, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0xfF", 255),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1e3", -1000.0),
        ("1E-2", 0.01),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("9" * 400, int("9" * 400)),
        ("1e999", math.inf),
    ],
)
def test_words_and_numbers(text: str, value: Any) -> None:
    """Typed as everybody expects."""
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "no", "on", "off", "y", "n", "nULL", "tRUE", "nullify", "nan", "inf", "news", "Tom", "False start"),
        *("2026-01-01", "2026-01-01T00:00:00Z", "12:30", "1:2:3", "1_000", "0b1", "0x", "0o8", "1.2.3", "1e", "-"),
        *(".", "+", "...", "--1", "1 000", "٣", "½", "=", "<<", "topic/beat-001", "1,5", "1\n2"),
    ],
)
def test_everything_else_is_text(text: str) -> None:
    """Above all what YAML 1.1 makes of yes, no, times and dates."""
    assert resolve(text) == text


def test_not_a_number_is_read_as_such() -> None:
    """To be refused with a better message than "no number"."""
    found = resolve(".NaN")
    assert isinstance(found, float)
    assert math.isnan(found)


@pytest.mark.parametrize("text", ["9" * (MAX_DIGITS + 1), "-" + "1" * 10**6, "0x" + "f" * 10**6])
def test_a_monstrous_integer_is_refused_at_once(text: str) -> None:
    """Reading it would take quadratic time, or fail without a line."""
    with pytest.raises(NumberTooLongError, match="put it in quotes"):
        resolve(text)


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.none())
def test_a_json_scalar_means_the_same(value: Any) -> None:
    """JSON is YAML."""
    assert resolve(json.dumps(value)) == value


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1))
def test_text_is_never_changed(text: str) -> None:
    """Either it is a number or a word of the schema, or it comes back as it was."""
    try:
        found = resolve(text)
    except NumberTooLongError:
        return
    assert not isinstance(found, str) or found == text


@given(st.integers(0, 10**9) | st.floats(allow_nan=False) | st.dates() | st.just(datetime(2026, 1, 1, tzinfo=UTC)))
def test_what_pyyaml_writes_plain_is_read_as_it_was(value: Any) -> None:
    """Files that programs dump; dates stay the text that was written."""
    written = yaml.safe_dump(value).removesuffix("\n...\n").strip()
    found = resolve(written)
    assert found == (value if isinstance(value, int | float) else written)
