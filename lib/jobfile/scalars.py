"""What a plain YAML scalar means: the core schema of YAML 1.2.

PyYAML's own resolver follows YAML 1.1, where `no` is false, `12:30` is 750 and 010 is 8; whoever writes a line of
speech means none of these. Quoted scalars never come here: they are text. Dates and times stay text.
"""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final[dict[str, bool | float | None]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    **{f"{sign}.{word}": float("inf") for sign in ("", "+") for word in ("inf", "Inf", "INF")},
    **{f"-.{word}": float("-inf") for word in ("inf", "Inf", "INF")},
    **{f".{word}": float("nan") for word in ("nan", "NaN", "NAN")},
}
_INTEGERS: Final = (
    (re.compile(r"[-+]?[0-9]+"), 10),
    (re.compile(r"0o[0-7]+"), 8),
    (re.compile(r"0x[0-9a-fA-F]+"), 16),
)
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")

MAX_DIGITS: Final = 4_000
"""Python refuses to read or print longer integers, because that takes quadratic time."""


class NumberTooLongError(ValueError):
    """An integer of more than `MAX_DIGITS` digits."""


def resolve(text: str) -> str | bool | float | None:
    """The value of a plain scalar.

    Raises:
        NumberTooLongError: it is an integer that nobody can have meant.
    """
    # The first character tells almost all text from numbers.
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "0123456789+-.":
        return text
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text):
            return int(_checked(text), base)
    return float(text) if _FLOAT.fullmatch(text) else text


def _checked(digits: str) -> str:
    if len(digits) > MAX_DIGITS:
        raise NumberTooLongError(f"is a number of {len(digits)} digits; put it in quotes")
    return digits
