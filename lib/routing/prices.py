"""What the calls of paid models cost: a table of list prices, and the user's own from PRICES_FILE.

Prices change without notice, so the table says when it was read and docs/reference/prices.md how to override it; a test
keeps table and page equal. What a model that nobody knows costs is taken from the dearest known one: a budget must not
be passed by a name. All money is in whole millionths of a dollar, rounded up.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, field
from fractions import Fraction
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from loguru import logger

from lib.errors import InvalidInputError, SettingsError
from lib.jobfile.document import read_document
from lib.jobqueue.problems import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from lib.jobfile.document import Document

READ_ON: Final = "2026-10-07"
"""When the prices below were read."""

LONG_PROMPT_TOKENS: Final = 200_000
"""Some models cost more where the prompt is longer than this."""

_PRICE_MAX: Final = 1_000_000.0
"""Dollars for a million tokens; more is a slip of the keyboard."""

_SLIP: Final = 0.8
_SLIP_OF_PART: Final = 0.6
"""How much of a model's name, and of each part of it between hyphens, is right in a slip."""

_MOST_BYTES: Final = 1_000_000
_MOST_SAID: Final = 3


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens; `long` are those of a long prompt, where it costs more."""

    input: float
    output: float
    long: tuple[float, float] | None = None

    @property
    def rates(self) -> tuple[tuple[float, float], ...]:
        """Every pair of input and output that it may come to."""
        usual = ((self.input, self.output),)
        return usual if self.long is None else (*usual, self.long)

    def of(self, input_tokens: int, output_tokens: int) -> int:
        """What a call costs, in millionths of a dollar: dollars for a million tokens are millionths for one."""
        rates = self.rates[-1] if input_tokens > LONG_PROMPT_TOKENS else self.rates[0]
        # As the decimal numbers that they are: a float's last digit would round a whole number up.
        sent, received = (Fraction(str(rate)) for rate in rates)
        return math.ceil(sent * input_tokens + received * output_tokens)


TEXT_MODELS: Final[Mapping[str, Price]] = MappingProxyType(
    {
        "gemini-2.5-flash": Price(0.30, 2.50),
        "gemini-2.5-flash-lite": Price(0.10, 0.40),
        "gemini-2.5-pro": Price(1.25, 10.00, long=(2.50, 15.00)),
        "gemini-3-flash-preview": Price(0.50, 3.00),
        "gemini-3.1-flash-lite": Price(0.25, 1.50),
        "gemini-3.1-pro-preview": Price(2.00, 12.00, long=(4.00, 18.00)),
        "gemini-3.5-flash": Price(1.50, 9.00),
        "gemini-3.5-flash-lite": Price(0.30, 2.50),
        "gemini-3.8-flash": Price(1.50, 7.50),
    }
)
"""Text in, text out; thinking counts as output."""

SPEECH_MODELS: Final[Mapping[str, Price]] = MappingProxyType(
    {
        "gemini-2.5-flash-preview-tts": Price(0.50, 10.00),
        "gemini-2.5-pro-preview-tts": Price(1.00, 20.00),
        "gemini-3.1-flash-tts-preview": Price(1.00, 20.00),
        "gemini-3.8-flash-lite-tts": Price(1.00, 12.00),
        "gemini-3.8-flash-tts": Price(1.00, 18.00),
    }
)
"""Text in, sound out."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """The prices that hold here: the built-in ones, and before them the user's `own`.

    A model of this machine costs nothing; that it is one, its backend says, not its name: nobody asks for its price.
    """

    own: Mapping[str, Price] = field(default_factory=dict)
    _warned: set[str] = field(default_factory=set)

    def of(self, model: str) -> Price:
        """The price of a model; of one that is unknown the dearest there is, and a warning, once."""
        known = self.own.get(model) or TEXT_MODELS.get(model) or SPEECH_MODELS.get(model)
        if known is not None:
            return known
        if model not in self._warned:
            self._warned.add(model)
            logger.warning("no price is known for {}: it is counted as the dearest model; set PRICES_FILE", model)
        prices = (*TEXT_MODELS.values(), *SPEECH_MODELS.values(), *self.own.values())
        rates = [rate for price in prices for rate in price.rates]
        return Price(max(sent for sent, _ in rates), max(received for _, received in rates))

    def price_of(self, model: str, input_tokens: int, output_tokens: int) -> int:
        """What a call costs, in millionths of a dollar."""
        return self.of(model).of(input_tokens, output_tokens)


def load_prices(file: Path | None) -> PriceTable:
    """The table with the user's own prices, `{models: {NAME: {input: 0.30, output: 2.50}}}`, where there is a file.

    Raises:
        SettingsError: the file cannot be read, or is not what it must be; it says where.

    """
    if file is None:
        return PriceTable()
    try:
        found = read_document(file, _MOST_BYTES)
    except InvalidInputError as exc:
        raise SettingsError(f"PRICES_FILE: {exc.message}", hint=exc.hint) from exc
    if isinstance(found, tuple):
        raise _bad(file, *((each.line, f"{each.where}: {each.message}".removeprefix(": ")) for each in found))
    content = found.value
    if not isinstance(content, dict) or set(content) != {"models"} or not isinstance(content["models"], dict):
        raise _bad(file, (1, "it must be `models:` with a price for each name, and nothing else" + _slip_of(content)))
    for name in content["models"]:
        if (meant := meant_by(name)) is not None:
            logger.warning(
                "PRICES_FILE: {}: line {}: no model is known as {}; did you mean {}?",
                *(file, found.line_of(f"models.{name}"), shown(name), meant),
            )
    return PriceTable({name: _own(file, found, name, price) for name, price in content["models"].items()})


def meant_by(name: str) -> str | None:
    """The known model that a name is nearly, mostly by a slip; None of a known one, and of one that may be new.

    Names that differ in digits alone are those of other versions, which is what a file of prices is for.
    """
    known = {**TEXT_MODELS, **SPEECH_MODELS}
    if name in known:
        return None
    letters = _without_digits(name)
    near = difflib.get_close_matches(name, known, n=3, cutoff=_SLIP)
    # A version or a part that was added is a name of its own: only what has the digits of the other is a slip of it.
    return next(
        (
            each
            for each in near
            if _digits(each) == _digits(name) and _without_digits(each) != letters and _one_off(each, name)
        ),
        None,
    )


def _slip_of(content: Any) -> str:
    names = [name for name in content if name != "models"] if isinstance(content, dict) else []
    near = next((name for name in names if difflib.get_close_matches(name, ["models"], cutoff=0.7)), None)
    return "" if near is None else f"; {shown(near)} stands there for models"


def _digits(name: str) -> str:
    return "".join(each for each in name if each.isdigit())


def _without_digits(name: str) -> str:
    return "".join(each for each in name if not each.isdigit())


def _one_off(one: str, other: str) -> bool:
    """Whether they have the same parts between hyphens, but for slips in some of them."""
    pairs = list(zip(one.split("-"), other.split("-"), strict=False))
    if one.count("-") != other.count("-"):
        return one.replace("-", "") == other.replace("-", "")
    return all(
        left == right or difflib.SequenceMatcher(None, left, right).ratio() >= _SLIP_OF_PART for left, right in pairs
    )


def _own(file: Path, document: Document, name: str, price: Any) -> Price:
    place = f"models.{name}"
    if not isinstance(price, dict) or set(price) != {"input", "output"}:
        said = f"{place}: it must have `input` and `output`, and nothing else"
        raise _bad(file, (document.line_of(place), said))
    for kind, value in price.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 <= value <= _PRICE_MAX:
            said = f"{place}.{kind}: {shown(value)} is no price in dollars for a million tokens"
            raise _bad(file, (document.line_of(f"{place}.{kind}"), said))
    return Price(float(price["input"]), float(price["output"]))


def _bad(file: Path, *problems: tuple[int, str]) -> SettingsError:
    said = "; ".join(f"line {line}: {what}" for line, what in problems[:_MOST_SAID])
    return SettingsError(f"PRICES_FILE: {file}: {said}", hint="docs/reference/prices.md shows one")
