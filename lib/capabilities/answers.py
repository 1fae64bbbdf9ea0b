"""The JSON in a model's answer: only what the schema accepts is an answer, everything else is an `AnswerError`.

It repairs nothing: a comma that is missing may be half a record that is missing. Called by each text model.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from lib.errors import AnswerError, PermanentError
from lib.jobqueue.answer_schema import checker
from lib.jobqueue.json_values import json_problems

if TYPE_CHECKING:
    from collections.abc import Mapping

_FENCED: Final = re.compile(r"\A```(?:json)?\s*\n(.*)\n\s*```\Z", re.DOTALL | re.IGNORECASE)
_SHOWN_CHARACTERS: Final = 120


def checked_json(text: str, schema: Mapping[str, Any]) -> Any:
    """The value that the text is, alone or as the one block of code of it.

    Raises:
        AnswerError: the text is empty, no JSON, or not what the schema asks for; it says where and what.
        PermanentError: the schema itself is wrong.

    """
    try:
        against = checker(schema)
    except ValueError as exc:
        raise PermanentError(f"the schema of the answer {exc}", hint="mend the schema and submit again") from exc
    stripped = text.strip()
    if not stripped:
        raise AnswerError("the model's answer is empty")
    fenced = _FENCED.match(stripped)
    try:
        value = json.loads(fenced[1] if fenced else stripped)
    except (ValueError, RecursionError) as exc:
        raise AnswerError(f"the model's answer is no JSON ({_reason(exc)}): {shown(stripped)}") from exc
    # What would not come back the same: half a surrogate pair, a number beyond every bound, NaN.
    odd = next(json_problems(value, "the answer"), None)
    if odd is not None:
        raise AnswerError(f"the model's answer is no JSON that can be kept: {shown(str(odd))}")
    problem = against(value)
    if problem is not None:
        said = f"the model's answer is not what its schema asks for: {problem}"
        raise AnswerError(said, hint="make the schema simpler, or take a larger model")
    return value


def shown(text: str) -> str:
    """The beginning of a text, on one line, for a message."""
    line = " ".join(text[: 2 * _SHOWN_CHARACTERS].split())
    return line if len(line) <= _SHOWN_CHARACTERS else f"{line[: _SHOWN_CHARACTERS - 1]}…"


def _reason(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else shown(str(error))
