"""JSON schemas of answers: whether one is sound, and whether a value is what it asks for.

A schema is checked where a job is submitted, so that a mistake in it costs a message and not a night of answers. It
never leaves this machine: a `$ref` leads only to a place inside the schema itself. Answers are checked in the watcher's
own loop, so a check must be short whatever the schema and the answer are: patterns are refused, since nothing can stop
one that has begun, and every other keyword is counted.
"""

from __future__ import annotations

import json
import threading
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

# Every job of a plan carries the same one.
_SCHEMAS_KEPT: Final = 16
_SHOWN_CHARACTERS: Final = 160

LARGEST_SCHEMA: Final = 100_000
"""Characters of its JSON."""

MOST_STEPS: Final = 100_000
"""Of one check, a second at the most; a step is a keyword at one value, or one of the things that it looks through."""

_REFERENCES: Final = ("$ref", "$dynamicRef", "$recursiveRef")
_PATTERNS: Final = {"pattern": str, "patternProperties": dict}
_MEND: Final = "say it with enum, const, maxLength or properties instead"
# Below these stand names and not keywords; below those stand values, in which nothing is a keyword.
_NAMES: Final = frozenset(
    {"properties", "$defs", "definitions", "dependentSchemas", "dependentRequired", "dependencies"}
)
_VALUES: Final = frozenset({"enum", "const", "default", "example", "examples"})


class _Steps(threading.local):
    left: int = 0

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise _TooLongError


class _TooLongError(Exception):
    """A check was given up."""


_STEPS: Final = _Steps()


def schema_problem(schema: Mapping[str, Any]) -> str | None:
    """What is wrong with a schema and how to mend it, or None."""
    return _compiled(json.dumps(schema, sort_keys=True))[1]


def checker(schema: Mapping[str, Any]) -> Callable[[Any], str | None]:
    """A function that says of a value what the schema has against it, or None; it is never long about it.

    Raises:
        ValueError: there is something wrong with the schema; see `schema_problem`.

    """
    validator, problem = _compiled(json.dumps(schema, sort_keys=True))
    if problem is not None:
        raise ValueError(problem)

    def check(value: Any) -> str | None:
        from jsonschema.exceptions import best_match  # noqa: PLC0415 - loaded by now; see _compiled
        from referencing.exceptions import Unresolvable  # noqa: PLC0415

        _STEPS.left = MOST_STEPS
        try:
            found = best_match(validator.iter_errors(value))
        except RecursionError:
            return "the schema goes round in circles"
        except _TooLongError:
            return f"to check it takes more than {MOST_STEPS} steps; the schema or the answer is too large"
        except Unresolvable as exc:
            return f"the schema has a reference that leads nowhere: {_cut(str(exc))}"
        except OverflowError:
            return "it holds a number that is too large to check"
        return None if found is None else f"{_place(found.absolute_path)}{_cut(found.message)}"

    return check


@lru_cache(maxsize=_SCHEMAS_KEPT)
def _compiled(text: str) -> tuple[Any, str | None]:
    # A tenth of a second that only those pay who have a schema.
    from jsonschema import Draft202012Validator  # noqa: PLC0415
    from jsonschema.validators import extend, validator_for  # noqa: PLC0415
    from referencing import Registry  # noqa: PLC0415

    if len(text) > LARGEST_SCHEMA:
        return None, f"has {len(text)} characters; at most {LARGEST_SCHEMA} are allowed"
    schema = json.loads(text)
    kind = validator_for(schema, default=Draft202012Validator)
    try:
        problem = next(_problems(kind, schema), None)
    except RecursionError:
        problem = "is nested too deeply"
    if problem is not None:
        return None, problem
    rules = {name: _counted(name, keyword) for name, keyword in kind.VALIDATORS.items()}
    counted = extend(kind, rules)  # type: ignore[no-untyped-call]  # the library has no types for it
    # An empty registry: nothing is fetched from anywhere.
    return counted(schema, registry=Registry()), None


def _problems(kind: Any, schema: Any) -> Iterator[str]:
    """What is wrong with it, the patterns first: even to look whether one is sound can take long.

    The rules for schemas let pass what a validator stumbles over: references that lead nowhere, or to what is none.
    """
    from jsonschema import SchemaError  # noqa: PLC0415 - see _compiled
    from referencing import Registry  # noqa: PLC0415
    from referencing.exceptions import Unresolvable  # noqa: PLC0415
    from referencing.jsonschema import DRAFT202012, specification_with  # noqa: PLC0415

    rules = specification_with(kind.META_SCHEMA["$schema"], default=DRAFT202012)
    resolver = Registry().with_resource("", rules.create_resource(schema)).resolver()
    targets = [(schema, resolver)]
    seen: set[int] = set()
    # What a reference leads to may stand where the rules do not look.
    checked = {id(schema)}
    left = 2 * LARGEST_SCHEMA
    while targets:
        whole, resolver = targets.pop()
        left -= len(json.dumps(whole))
        if left < 0:
            yield "has too many references to large parts of itself; name smaller ones in $defs"
            return
        inside = list(_subschemas(whole, resolver, rules, seen))
        yield from (said for node, _ in inside for said in _patterns(node))
        try:
            kind.check_schema(whole)
        except SchemaError as exc:
            yield f"is no sound JSON schema: {_place(exc.absolute_path)}{_cut(exc.message)}"
            return
        for node, base in inside:
            # Another dialect further down would be checked uncounted.
            node.pop("$schema", None)
            for name in _REFERENCES:
                target = node.get(name)
                if isinstance(target, str):
                    try:
                        found = base.lookup(target)
                    except (Unresolvable, ValueError):
                        yield f"has a {name} to {_cut(target)}; only places inside the schema itself can be meant"
                        continue
                    if not isinstance(found.contents, dict | bool):
                        yield f"has a {name} to {_cut(target)}, where no schema stands"
                    elif id(found.contents) not in checked:
                        checked.add(id(found.contents))
                        targets.append((found.contents, found.resolver))


def _subschemas(whole: Any, resolver: Any, rules: Any, seen: set[int]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Everything in it that may be read as a schema, with what its references start from; each once."""
    rest = [(whole, resolver)]
    while rest:
        node, base = rest.pop()
        if isinstance(node, list):
            rest += [(each, base) for each in node]
        if not isinstance(node, dict) or id(node) in seen:
            continue
        seen.add(id(node))
        if node is not whole and isinstance(node.get("$id"), str):
            base = base.in_subresource(rules.create_resource(node))
        yield node, base
        for name, value in node.items():
            if name in _NAMES and isinstance(value, dict):
                rest += [(each, base) for each in value.values()]
            elif name not in _VALUES:
                rest.append((value, base))


def _patterns(node: dict[str, Any]) -> Iterator[str]:
    for name, kind in _PATTERNS.items():
        if isinstance(node.get(name), kind):
            yield f"has a {name}, which could hold up the watcher for ever and is not allowed; {_MEND}"


def _counted(name: str, keyword: Callable[..., Any]) -> Callable[..., Iterator[Any]]:
    """The rule for a keyword, which gives up when the check has taken too long."""

    @wraps(keyword)
    def check(validator: Any, told: Any, value: Any, schema: Any) -> Iterator[Any]:
        _STEPS.spend(1 + _size(told) + _size(value))
        if name == "uniqueItems" and told and isinstance(value, list) and not _sortable(value):
            # Each is compared with each.
            _STEPS.spend(len(value) ** 2 // 8)
        for error in keyword(validator, told, value, schema) or ():
            _STEPS.spend(1)
            yield error

    return check


def _size(value: Any) -> int:
    return len(value) if isinstance(value, dict | list) else 0


def _sortable(values: list[Any]) -> bool:
    kinds = {type(value) for value in values}
    return kinds <= {str} or kinds <= {int, float}


def _place(path: Any) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
    return f"{where}: " if where else ""


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…"
