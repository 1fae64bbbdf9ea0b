"""Spaces into what no person writes as one word, so that an engine need not take it as one.

Pronunciation rules look at a word in all its parts, at a cost that grows with the cube of their number, and a word of
thousands of letters is dropped or cut off by them. Each function here is pure, leaves ordinary words, dates, numbers
and short addresses as they are, and takes time in proportion to the text. `hibari` and `piper` call them.
"""

from __future__ import annotations

import re
from typing import Final

MOST_PARTS: Final = 40
"""Parts that a word may have; an address of a page has some twenty."""

PIECE_PARTS: Final = 20
"""Parts of the pieces of a word that has more."""

MOST_LETTERS: Final = 100
"""Letters without anything between; the longest words of dictionaries have fewer."""

_PIECE_LETTERS: Final = 50
_WORD: Final = re.compile(r"\S+")
_CAPITAL: Final = "A-Z\u00c0-\u00d6\u00d8-\u00de"
_SMALL: Final = rf"[^\W\d_{_CAPITAL}]"
# Letters up to a capital, digits, hyphens, and every other sign alone: never fewer parts than the rules see.
_PART: Final = re.compile(rf"[{_CAPITAL}]?{_SMALL}+|[{_CAPITAL}]+(?!{_SMALL})|[{_CAPITAL}]|\d+|[-_]+|\S")
_SEPARATORS: Final = frozenset("/\\-_=&?#,;:|+~%@.")
_LETTERS: Final = re.compile(rf"[^\W\d_]{{{MOST_LETTERS + 1},}}")
_SOME_LETTERS: Final = re.compile(rf"[^\W\d_]{{1,{_PIECE_LETTERS}}}")
# A whole number has a name up to some thirty digits; a fraction is read digit by digit as it is, within limits.
_NUMBER: Final = re.compile(r"(?<![\d.])\d[\d,]{36,}|\d{200,}")
_NAMED_DIGITS: Final = 36


def cut_letters(text: str) -> str:
    """With spaces in runs of more than `MOST_LETTERS` letters."""
    return _LETTERS.sub(lambda run: " ".join(_SOME_LETTERS.findall(run[0])), text)


def cut_numbers(text: str) -> str:
    """With spaces between the digits of whole numbers that have no name, and behind their commas."""
    return _NUMBER.sub(lambda run: _digit_by_digit(run[0]), text)


def cut_parts(text: str) -> str:
    """With spaces in words of more than `MOST_PARTS` parts, behind separators where there are any."""
    return _WORD.sub(lambda word: _in_pieces(word[0]), text)


def parts_of(word: str) -> int:
    """As how many parts it counts."""
    return len(_PART.findall(word))


def _digit_by_digit(number: str) -> str:
    digits = re.findall(r"\d,*", number)
    return number if len(digits) <= _NAMED_DIGITS else " ".join(digits)


def _in_pieces(word: str) -> str:
    # Fewer characters than parts there cannot be: most words need no look.
    if len(word) <= MOST_PARTS:
        return word
    parts = _PART.findall(word)
    if len(parts) <= MOST_PARTS:
        return word
    pieces, at = [], 0
    while at < len(parts):
        end = min(at + PIECE_PARTS, len(parts))
        if end < len(parts):
            behind = [cut for cut in range(at + PIECE_PARTS // 2, end + 1) if _is_gap(parts, cut)]
            end = behind[-1] if behind else end
        pieces.append("".join(parts[at:end]))
        at = end
    return " ".join(pieces)


def _is_gap(parts: list[str], cut: int) -> bool:
    """Whether a separator ends there, and not one of several."""
    return parts[cut - 1][0] in _SEPARATORS and parts[cut][0] not in _SEPARATORS
