"""How many tokens a prompt will be, before anybody counts: about, at most, and at least.

Each vendor cuts words in another way; what they have in common is that a word is at least one token, that digits,
signs and characters outside ASCII are about one each, and that no token is less than a byte. Quota and money are
reserved by the most; the estimate is for usual text, and too low for what is none: random letters, names, capitals.
Called by each text model.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lib.capabilities.text_model import TextRequest

_WORD: Final = re.compile(r"[A-Za-z]+")
_ALONE: Final = re.compile(r"[^\sA-Za-z]")
_SPACE: Final = re.compile(r"\s{2,}|\n")
_LETTERS_A_TOKEN: Final = 4
_BYTES_A_TOKEN: Final = 2
_AROUND_A_MESSAGE: Final = 16
"""The marks that a chat template puts around system text and prompt, and begins an answer with; some bring a standing
system text of their own, which is longer, and is asked for no money."""

_MOST_AROUND: Final = 64
"""The same, with the names of the roles and fields that carry what is sent."""


def estimated_tokens(request: TextRequest) -> int:
    """Of system text, prompt and schema, as usual text has them."""
    return sum(map(_of, _texts(request))) + 2 * _AROUND_A_MESSAGE


def most_tokens(request: TextRequest) -> int:
    """A number that no tokeniser goes above: a byte of what is sent is one token at most."""
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in _texts(request)) + _MOST_AROUND


def least_tokens(request: TextRequest) -> int:
    """A number that no tokeniser goes below for what the model must have seen: one for each word.

    Only for texts of some length: what is short may be a single token with what stands beside it.
    """
    return len(request.system.split()) + len(request.prompt.split())


def _texts(request: TextRequest) -> tuple[str, str, str]:
    schema = json.dumps(request.schema, ensure_ascii=False) if request.schema else ""
    return request.system, request.prompt, schema


def _of(text: str) -> int:
    words = sum(_by_length(match, _LETTERS_A_TOKEN) for match in _WORD.finditer(text))
    spaces = sum(_by_length(match, _LETTERS_A_TOKEN) for match in _SPACE.finditer(text))
    others: list[str] = _ALONE.findall(text)
    signs = sum(each.isascii() for each in others)
    beyond = len("".join(others).encode("utf-8", "replace")) - signs
    return words + spaces + signs + -(-beyond // _BYTES_A_TOKEN)


def _by_length(match: re.Match[str], characters: int) -> int:
    start, end = match.span()
    return -(-(end - start) // characters)
