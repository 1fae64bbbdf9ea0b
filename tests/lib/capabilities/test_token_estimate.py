"""The estimate of tokens is never far for usual text; the most is never too low for any."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.capabilities.text_model import TextRequest
from lib.capabilities.token_estimate import estimated_tokens, least_tokens, most_tokens

ENGLISH = "The lamp had burned all night, and in the morning nobody remembered who had lit it. " * 40


def of(text: str) -> int:
    """What the text alone adds."""
    return estimated_tokens(TextRequest(text)) - estimated_tokens(TextRequest(""))


@pytest.mark.parametrize(
    "text",
    [
        ENGLISH,
        "a b c d e f g h",
        "x" * 400,
        "1234567890" * 20,
        '{"a": [1, 2, 3], "b": {"c": null}}' * 10,
        "das ist schön und größer, für ältere Männer" * 10,
        "\n\n\n    indented = code(1)\n" * 20,
        "夜が明けるまで灯りは消えなかった" * 10,
        "🎈🎉" * 30,
    ],
    ids=["english", "letters", "one word", "digits", "json", "german", "code", "japanese", "emoji"],
)
def test_it_is_at_least_a_token_for_four_characters_and_at_most_one_for_each(text: str) -> None:
    """Between what the vendors say of English and what the worst text takes."""
    assert len(text) / 4.5 <= of(text) <= 2 * len(text)


def test_english_is_met_closely() -> None:
    """What a context is made for would otherwise be too large for a machine."""
    words = len(ENGLISH.split())
    assert words <= of(ENGLISH) <= 1.8 * words


def test_system_text_and_schema_count_too() -> None:
    """They are sent with every request."""
    plain = estimated_tokens(TextRequest("hello"))
    assert estimated_tokens(TextRequest("hello", system="Be brief, and answer in English.")) > plain + 5
    assert estimated_tokens(TextRequest("hello", schema={"type": "object", "required": ["mood"]})) > plain + 5


def test_the_least_is_the_number_of_words() -> None:
    """Below it nothing can have been seen whole."""
    assert least_tokens(TextRequest("one two  three\nfour", system="five six")) == 6
    assert least_tokens(TextRequest(ENGLISH)) <= estimated_tokens(TextRequest(ENGLISH))


@given(st.text(), st.text(), st.dictionaries(st.text(), st.text(), max_size=3))
def test_the_most_is_no_less_than_the_bytes(prompt: str, system: str, schema: dict[str, str]) -> None:
    """Of any text: a tokeniser that knows no word falls back to bytes."""
    sent = (prompt + system + "".join(f"{key}{value}" for key, value in schema.items())).encode()
    request = TextRequest(prompt, system=system, schema=schema)
    assert most_tokens(request) > len(sent)
    assert most_tokens(request) >= least_tokens(request)


def test_half_a_pair_of_surrogates_is_bytes_too() -> None:
    """What a service makes of it is its business; here it is no error."""
    assert most_tokens(TextRequest("\ud800")) == most_tokens(TextRequest("")) + 3
