"""The price table: what a call costs, that page and table say the same, and that a user's own prices win."""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loguru import logger

from lib.errors import SettingsError
from lib.routing.prices import (
    LONG_PROMPT_TOKENS,
    READ_ON,
    SPEECH_MODELS,
    TEXT_MODELS,
    Price,
    PriceTable,
    load_prices,
    meant_by,
)

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "prices.md"
_ROW = re.compile(r"^\| `([^`]+)` \| ([\d.]+) \| ([\d.]+) \| ([\d.]*) ?\| ([\d.]*) ?\|$", re.MULTILINE)
TOKENS = st.integers(0, 3_000_000)


def shown(section: str) -> dict[str, Price]:
    """The prices that stand in a section of the page."""
    text = PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    found = {}
    for name, sent, received, long_sent, long_received in _ROW.findall(text):
        long = (float(long_sent), float(long_received)) if long_sent else None
        found[name] = Price(float(sent), float(received), long)
    return found


def test_the_page_shows_the_table() -> None:
    """Model by model, and the day on which it was read."""
    assert shown("Text") == TEXT_MODELS
    assert shown("Speech") == SPEECH_MODELS
    assert f"as they stood on {READ_ON}" in PAGE.read_text()
    assert f"more than {LONG_PROMPT_TOKENS:,} tokens".replace(",", " ") in PAGE.read_text()


@pytest.mark.parametrize(
    ("model", "sent", "received", "micro"),
    [
        ("gemini-2.5-flash", 1_000_000, 1_000_000, 2_800_000),
        ("gemini-2.5-flash", 1000, 100, 550),
        ("gemini-2.5-flash", 1, 0, 1),
        ("gemini-2.5-flash-lite", 10, 0, 1),
        ("gemini-2.5-flash", 0, 0, 0),
        ("gemini-2.5-pro", 200_000, 0, 250_000),
        ("gemini-2.5-pro", 200_001, 1, 500_018),
        ("gemini-2.5-flash-preview-tts", 100, 2500, 25_050),
    ],
)
def test_what_a_call_costs(model: str, sent: int, received: int, micro: int) -> None:
    """In millionths of a dollar, a fraction of one counted whole."""
    assert PriceTable().price_of(model, sent, received) == micro


@given(st.sampled_from(sorted({**TEXT_MODELS, **SPEECH_MODELS})), TOKENS, TOKENS)
def test_a_price_is_never_less_than_its_tokens_are_worth(model: str, sent: int, received: int) -> None:
    """And never a whole millionth more: exact numbers, rounded up once."""
    price = {**TEXT_MODELS, **SPEECH_MODELS}[model]
    rates = price.long if price.long and sent > LONG_PROMPT_TOKENS else (price.input, price.output)
    exact = Fraction(str(rates[0])) * sent + Fraction(str(rates[1])) * received
    assert PriceTable().price_of(model, sent, received) == ceil(exact)


def test_an_unknown_model_is_counted_as_the_dearest_and_said_once() -> None:
    """A name that somebody mistyped must not pass the budget."""
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="WARNING")
    table = PriceTable({"own": Price(0.0, 33.0)})
    try:
        costs = [table.price_of("gemini-99", 1_000_000, 1_000_000) for _ in range(3)]
    finally:
        logger.remove(sink)
    assert costs == [4_000_000 + 33_000_000] * 3
    assert len(said) == 1
    assert "gemini-99" in said[0]


def test_prices_of_ones_own_win(tmp_path: Path) -> None:
    """Also a price of nothing, for a key that is free."""
    file = tmp_path / "prices.yaml"
    file.write_text("models:\n  gemini-2.5-flash: {input: 0, output: 0}\n  new: {input: 0.75, output: 3}\n")
    table = load_prices(file)
    assert table.price_of("gemini-2.5-flash", 10**6, 10**6) == 0
    assert table.price_of("new", 10**6, 10**6) == 3_750_000
    assert table.price_of("gemini-2.5-flash-lite", 10**6, 0) == 100_000
    assert load_prices(None).price_of("gemini-2.5-flash", 10**6, 0) == 300_000


def test_the_example_of_the_page_can_be_read(tmp_path: Path) -> None:
    """Copied from the page, it is a file of prices."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "own.yaml").write_text(block)
    assert load_prices(tmp_path / "own.yaml").of("gemini-9-flash") == Price(0.75, 3.0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it must be `models:`"),
        ("[1]", "it must be `models:`"),
        ("modles: {a: {input: 1, output: 2}}", "nothing else; 'modles' stands there for models"),
        ("models: {a: {input: 1, output: 2}}\nmore: 1", "nothing else"),
        ("models: [", "is no YAML: did not find expected node content"),
        ("models: {a: 3}", "models.a: it must have `input` and `output`"),
        ("models: {a: {input: 1}}", "models.a: it must have `input` and `output`"),
        ("models: {a: {input: 1, output: 2, cached: 3}}", "models.a: it must have"),
        ("models: {a: {input: -1, output: 2}}", "models.a.input: -1 is no price"),
        ("models: {a: {input: 1, output: .nan}}", "models.a.output: nan is no price"),
        ("models: {a: {input: yes, output: 2}}", "models.a.input: 'yes' is no price"),
        ("models: {a: {input: 1, output: '2'}}", "models.a.output: '2' is no price"),
        ("models:\n  a: {input: 2026-99-99, output: 2}", "line 2: models.a.input: '2026-99-99' is no price"),
        ("models: {a: {input: 1:30, output: 2}}", "models.a.input: '1:30' is no price"),
        ("models: {a: {input: !!timestamp x, output: 2}}", "models.a.input: the tag"),
        ("models: {a: &a {input: 1, output: 2}, b: *a}", "the anchor &a is not read"),
        ("[" * 50_000, "nested deeper than 64 levels"),
        ("models:\n  a: {input: 9, output: 9}\n  a: {input: 0, output: 0}", "line 3: models.a: stands twice, first on"),
        ("models: {a: {input: 9, output: 9, input: 0}}", "models.a.input: stands twice"),
        ("models: {a: {input: 1" + "0" * 5_000 + ", output: 2}}", "models.a.input: is a number of 5001 digits"),
        ("models: {}\n---\nmodels: {}", "line 2: a second document starts here"),
        ("\0", "line 1: holds the control character 0x00"),
        ("#" * 1_000_001, "is larger than 1000000 bytes"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, content: str, said: str) -> None:
    """Variable, file and place."""
    file = tmp_path / "prices.yaml"
    file.write_text(content)
    with pytest.raises(SettingsError) as caught:
        load_prices(file)
    assert caught.value.message.startswith(f"PRICES_FILE: {file}")
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("gemini-2.5-flahs", "gemini-2.5-flash"),
        ("gemini-2.5-flash-lit", "gemini-2.5-flash-lite"),
        ("gemni-2.5-pro", "gemini-2.5-pro"),
        ("gemini2.5-flash", "gemini-2.5-flash"),
        ("Gemini-2.5-flash", "gemini-2.5-flash"),
        ("gemini-2.5-flash", None),
        ("gemini-9-flash", None),
        ("gemini-2.6-flash", None),
        ("gemini-3.8-flash-lite", None),
        ("gemini-3.8-pro", None),
        ("llama3.2", None),
        ("new", None),
    ],
)
def test_a_model_that_is_nearly_a_known_one_is_a_slip(name: str, meant: str | None) -> None:
    """Another version, or another kind, is what such a file is for."""
    assert meant_by(name) == meant


def test_a_misspelt_model_is_told_with_its_line(tmp_path: Path) -> None:
    """Its price counts for the name as it stands, and for nothing else."""
    file = tmp_path / "prices.yaml"
    file.write_text("models:\n  new: {input: 1, output: 2}\n  gemini-2.5-flahs: {input: 0, output: 0}\n")
    said: list[str] = []
    sink = logger.add(said.append, format="{message}", level="WARNING")
    try:
        assert load_prices(file).price_of("gemini-2.5-flash", 10**6, 0) == 300_000
    finally:
        logger.remove(sink)
    known = "no model is known as 'gemini-2.5-flahs'; did you mean gemini-2.5-flash?"
    assert said == [f"PRICES_FILE: {file}: line 3: {known}\n"]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """It may go between the start and the first look."""
    with pytest.raises(SettingsError, match="No such file"):
        load_prices(tmp_path / "none.yaml")
