"""A prompt with places for a record's fields: `{title}` becomes what the record has there, and nothing else happens.

It is no format string: nothing is called, no attribute is reached, what a record says is never read again for places.
Braces around anything that is no plain name stay as they are, so a prompt may show JSON; `{{title}}` writes `{title}`.
The payload of `annotate`, the task and the plan of a workflow read prompts through it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACE: Final = re.compile(r"\{\{(?P<literal>[^\W\d][\w-]*)\}\}|\{(?P<field>[^\W\d][\w-]*)\}")


def fields_of(template: str) -> tuple[str, ...]:
    """The fields that it names, each once, in their order."""
    return tuple(dict.fromkeys(found["field"] for found in _PLACE.finditer(template) if found["field"]))


def missing_fields(template: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields that it names and the record lacks; one that is null is there."""
    return tuple(name for name in fields_of(template) if name not in record)


def filled(template: str, record: Mapping[str, Any]) -> str:
    """The prompt for this record: text as it is, anything else as JSON.

    Raises:
        KeyError: the record has no such field.

    """

    def put(found: re.Match[str]) -> str:
        if found["literal"]:
            return f"{{{found['literal']}}}"
        value = record[found["field"]]
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _PLACE.sub(put, template)
