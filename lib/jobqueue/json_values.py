"""Whether a value that a user gave can travel as JSON and come back the same.

`payload` and `callback_data` are the user's own; they are stored, hashed and handed back by programs in several
languages, so what one of them would change or choke on is refused at the door, with its place.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.problems import FieldProblem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_DEPTH: Final = 64
"""Levels of mappings and lists; parsers elsewhere crash or refuse not far above."""

SAFE_INTEGER: Final = 2**53 - 1
"""Beyond it a JavaScript or Lua reader loses digits without a word, and RFC 8785 has no form for it."""


def text_problem(text: str) -> str | None:
    """What is wrong with a text, or None."""
    if text.isascii():
        return None
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        return f"holds a lone surrogate (U+{ord(text[exc.start]):04X}), which is no character; remove it"
    return None


def json_problems(value: Any, place: str) -> Iterator[FieldProblem]:
    """Everything in `value` that JSON cannot carry faithfully; walks without recursion."""
    stack: list[tuple[Any, str, int]] = [(value, place, 1)]
    while stack:
        node, where, depth = stack.pop()
        if isinstance(node, (dict, list, tuple)):
            if depth > MAX_DEPTH:
                yield FieldProblem(where, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
            elif isinstance(node, dict):
                for key, item in node.items():
                    said = _key_problem(key)
                    if said is None:
                        stack.append((item, f"{where}.{key}", depth + 1))
                    else:
                        yield FieldProblem(where, said)
            else:
                stack.extend((item, f"{where}[{at}]", depth + 1) for at, item in enumerate(node))
            continue
        said = _scalar_problem(node)
        if said is not None:
            yield FieldProblem(where, said)


def _key_problem(key: object) -> str | None:
    if not isinstance(key, str):
        return f"has the key {shown(key)}, which is no text; put it in quotes"
    said = text_problem(key)
    return None if said is None else f"has a key that {said}"


def _scalar_problem(node: object) -> str | None:
    if node is None or isinstance(node, bool):
        return None
    if isinstance(node, str):
        return text_problem(node)
    if isinstance(node, int):
        if abs(node) > SAFE_INTEGER:
            return f"{shown(node)} is beyond 2**53, where JSON readers lose digits; put it in quotes"
        return None
    if isinstance(node, float):
        return None if math.isfinite(node) else f"{node} is no number in JSON; remove it or put it in quotes"
    return f"{shown(node)} is not JSON; use text, numbers, true, false, null, lists and mappings"
