"""JSON schemas of answers: whether one is sound, and whether a value is what it asks for.

A schema is checked where a job is submitted, so that a mistake in it costs a message and not a night of answers. It
never leaves this machine: a `$ref` leads only to a place inside the schema itself.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Every job of a plan carries the same one.
_SCHEMAS_KEPT: Final = 16
_SHOWN_CHARACTERS: Final = 160


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema and how to mend it, or None."""
    return _compiled(json.dumps(schema, sort_keys=True))[1]


def checker(schema: Mapping[str, Any]) -> Callable[[Any], str | None]:
    """A function that says of a value what the schema has against it, or None.

    Raises:
        ValueError: there is something wrong with the schema; see `schema_problem`.

    """
    validator, problem = _compiled(json.dumps(schema, sort_keys=True))
    if problem is not None:
        raise ValueError(problem)

    def check(value: Any) -> str | None:
        from jsonschema.exceptions import best_match  # noqa: PLC0415 - loaded by now; see _compiled

        try:
            found = best_match(validator.iter_errors(value))
        except RecursionError:
            return "the schema goes round in circles"
        return None if found is None else f"{_place(found.absolute_path)}{_cut(found.message)}"

    return check


@lru_cache(maxsize=_SCHEMAS_KEPT)
def _compiled(text: str) -> tuple[Any, str | None]:
    # A tenth of a second that only those pay who have a schema.
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415
    from jsonschema.validators import validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as exc:
        return None, f"is no sound JSON schema: {_place(exc.absolute_path)}{_cut(exc.message)}"
    problem = next(_lost_references(schema), None)
    # An empty registry: nothing is fetched from anywhere.
    return (kind(schema, registry=Registry()), None) if problem is None else (None, problem)


def _lost_references(schema: Any) -> Iterator[str]:
    """What the rules for schemas let pass and a validator stumbles over: references that lead nowhere."""
    from referencing import Registry, Resource  # noqa: PLC0415 - see _compiled
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012  # noqa: PLC0415

    whole = Resource.from_contents(schema, default_specification=DRAFT202012)
    resolver = Registry().with_resource("", whole).resolver()
    rest = [schema]
    while rest:
        node = rest.pop()
        if isinstance(node, dict):
            rest += node.values()
            target = node.get("$ref")
            if isinstance(target, str):
                try:
                    resolver.lookup(target)
                except (Unresolvable, ValueError):
                    yield f"has a $ref to {_cut(target)}; only places inside the schema itself can be meant"
        elif isinstance(node, list):
            rest += node


def _place(path: Any) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return f"{where}: " if where else ""


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
