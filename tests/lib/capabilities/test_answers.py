"""Only complete JSON that the schema accepts is an answer."""

from __future__ import annotations

from typing import Any

import pytest

from lib.capabilities.answers import checked_json, shown
from lib.errors import AnswerError, PermanentError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"mood": {"enum": ["glad", "sad"]}, "words": {"type": "array", "items": {"type": "string"}}},
    "required": ["mood"],
    "additionalProperties": False,
}
ANYTHING: dict[str, Any] = {}


@pytest.mark.parametrize(
    "text",
    [
        '{"mood": "glad"}',
        ' \n{"mood": "glad"}\n',
        '```json\n{"mood": "glad"}\n```',
        '```\n{"mood":\n "glad"}\n```\n',
        '```JSON\n{"mood": "glad"}\n```',
    ],
)
def test_the_text_is_json_alone_or_the_one_block_of_code(text: str) -> None:
    """As models like to write it."""
    assert checked_json(text, SCHEMA) == {"mood": "glad"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the model's answer is empty"),
        (" \n", "the model's answer is empty"),
        ('{"mood": "gl', "no JSON (Unterminated string"),
        ('{"mood": "glad"} and more', "no JSON (Extra data"),
        ('Sure! {"mood": "glad"}', "no JSON (Expecting value"),
        ("```json\n```", "no JSON"),
        ('{"mood": "grumpy"}', "not what its schema asks for: mood: 'grumpy' is not one of ['glad', 'sad']"),
        ('{"mood": "sad", "words": ["a", 1]}', "not what its schema asks for: words[1]: 1 is not of type 'string'"),
        ("{}", "not what its schema asks for: 'mood' is a required property"),
        ("[]", "not what its schema asks for: [] is not of type 'object'"),
        ("null", "not what its schema asks for: None is not of type 'object'"),
        ('{"mood": "sad", "more": 1}', "not what its schema asks for: Additional properties"),
    ],
)
def test_anything_else_is_an_answer_error_that_says_what(text: str, message: str) -> None:
    """And begins no guessing."""
    with pytest.raises(AnswerError) as wrong:
        checked_json(text, SCHEMA)
    assert message in wrong.value.message


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "-Infinity",
        "1e999",
        '"\\ud800"',
        "[" * 100_000 + "]" * 100_000,
        "[" * 65 + "]" * 65,
        "1" * 5000,
        "[9007199254740992]",
        "{'a': 1}",
    ],
)
def test_what_json_cannot_hold_again_is_none(text: str) -> None:
    """It would break whoever writes it down."""
    with pytest.raises(AnswerError, match="is no JSON"):
        checked_json(text, ANYTHING)


def test_a_wrong_schema_is_the_jobs_own_mistake() -> None:
    """No other try would help."""
    with pytest.raises(PermanentError, match="the schema of the answer is no sound JSON schema") as wrong:
        checked_json("{}", {"type": "objekt"})
    assert wrong.value.hint == "mend the schema and submit again"


def test_a_message_shows_the_beginning_on_one_line() -> None:
    """However long the answer is."""
    assert shown("a\n b") == "a b"
    assert len(shown("x" * 10_000)) == 120
    with pytest.raises(AnswerError) as wrong:
        checked_json("no " * 10_000, SCHEMA)
    assert len(wrong.value.message) < 250
