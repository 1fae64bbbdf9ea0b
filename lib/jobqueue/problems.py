"""What is wrong with one job, field by field, in words that name the value and the mend.

`normalise` collects these; `lib.jobfile` adds file and line to each. Pydantic's own messages are written for
programmers, so the ones that a job file can cause are said again here. Nothing here decides what is wrong.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lib.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

# Long enough to recognise the value, short enough that a message stays one line.
_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One mistake: `field` is the path inside the job (`payload.seconds`), or empty for the job as a whole.

    `beside` is the other field, when the two may not stand together.
    """

    field: str
    message: str
    beside: str = ""

    def __str__(self) -> str:
        return f"{self.field}: {self.message}" if self.field else self.message


class InvalidJobError(InvalidInputError):
    """All mistakes of one job."""

    code: ClassVar[str] = "invalid_job"

    def __init__(self, problems: Iterable[FieldProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


def shown(value: object) -> str:
    """The value as a message shows it: one line, ASCII where it cannot be printed, cut when long."""
    try:
        # Only the head of a long text is rendered: a message about a megabyte must not cost a megabyte.
        text = repr(value[: _SHOWN_CHARACTERS + 1]) if isinstance(value, str) else repr(value)
    except (ValueError, RecursionError):  # an int beyond the digits that Python prints; a bottomless nesting
        return f"a very large {type(value).__name__}"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def nearest(name: object, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` when a known name is near, else nothing."""
    # difflib is quadratic in the length of what it compares, and no name is near one this long.
    if not isinstance(name, str) or len(name) > _SHOWN_CHARACTERS:
        return ""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def from_validation(error: ValidationError, known: Iterable[str], prefix: str = "") -> list[FieldProblem]:
    """Pydantic's errors in our words; `known` are the fields of the model, `prefix` is put before each place."""
    names = tuple(known)
    found: list[FieldProblem] = []
    for detail in error.errors(include_url=False):
        place = _place(prefix, detail["loc"])
        found.append(FieldProblem(place, _said(detail, names)))
    return found


def _place(prefix: str, loc: tuple[int | str, ...]) -> str:
    place = prefix
    for step in loc:
        if isinstance(step, int):
            place += f"[{step}]"
        else:
            place += f".{step}" if place else step
    return place


def _whole_number(detail: ErrorDetails, _context: Mapping[str, Any]) -> str:
    such = "number of seconds such as 3600" if _in_seconds(detail) else "number such as 3"
    return f"must be a whole {such}, not {shown(detail['input'])}"


def _number(detail: ErrorDetails, _context: Mapping[str, Any]) -> str:
    such = "number of seconds such as 3600" if _in_seconds(detail) else "number such as 0.9"
    return f"must be a {such}, not {shown(detail['input'])}"


def _in_seconds(detail: ErrorDetails) -> bool:
    return bool(detail["loc"]) and str(detail["loc"][-1]).endswith("seconds")


def _boolean(detail: ErrorDetails, _context: Mapping[str, Any]) -> str:
    return f"must be true or false, not {shown(detail['input'])}"


def _text(detail: ErrorDetails, _context: Mapping[str, Any]) -> str:
    return f"must be text, not {shown(detail['input'])}; put it in quotes if it is meant as text"


def _mapping(detail: ErrorDetails, _context: Mapping[str, Any]) -> str:
    return f"must be a mapping (key: value), not {shown(detail['input'])}"


_SAID: Final[dict[str, Callable[[ErrorDetails, Mapping[str, Any]], str]]] = {
    "int_type": _whole_number,
    "int_parsing": _whole_number,
    "int_from_float": _whole_number,
    "float_type": _number,
    "float_parsing": _number,
    "finite_number": lambda detail, _: f"must be a finite number, not {shown(detail['input'])}",
    "bool_type": _boolean,
    "bool_parsing": _boolean,
    "string_type": _text,
    "string_unicode": lambda _, __: "holds a lone surrogate, which is no character; remove it",
    "string_too_long": lambda _, c: f"is too long; at most {c['max_length']} characters are allowed",
    "dict_type": _mapping,
    "model_type": _mapping,
    "missing": lambda _, __: "is missing; write it",
    "greater_than_equal": lambda d, c: f"must be at least {c['ge']}, not {shown(d['input'])}",
    "greater_than": lambda d, c: f"must be more than {c['gt']}, not {shown(d['input'])}",
    "less_than_equal": lambda d, c: f"must be at most {c['le']}, not {shown(d['input'])}",
    "literal_error": lambda d, c: f"must be {c['expected']}, not {shown(d['input'])}",
    "value_error": lambda _, c: str(c["error"]),
}


def _said(detail: ErrorDetails, known: tuple[str, ...]) -> str:
    if detail["type"] == "extra_forbidden":
        name = detail["loc"][-1] if detail["loc"] else ""
        return f"is no known field{nearest(name, known) or '; remove it'}"
    say = _SAID.get(detail["type"])
    if say is None:
        return f"{detail['msg']}, not {shown(detail['input'])}"
    return say(detail, detail.get("ctx", {}))
