"""An instance of a JSON schema, the same for the same seed: what a fake model answers with.

Knows the words of schemas that models are given: objects, arrays, enumerations, numbers and texts with their bounds,
references, alternatives, and the capital type names of the Gemini API. It is no model: texts are the prompt's words.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATES = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05Z",
    "email": "somebody@example.org",
    "uri": "https://example.org/a",
    "uuid": "6f1c3b1e-8f0a-4c7e-9d2b-000000000001",
}
_GUESSES = ("a", "A", "1", "a1", "en", "en-US", "abc", "ABC", "2026-01-02", "001", "a-b", "a_b")
"""Texts that most patterns of such schemas accept one of."""


def example(schema: Mapping[str, Any], seed: str = "") -> Any:
    """One instance that the schema accepts."""
    return _Maker(schema, seed).make(schema, "$")


class _Maker:
    def __init__(self, root: Mapping[str, Any], seed: str) -> None:
        self._root = root
        self._seed = seed
        self._words = re.findall(r"\w+", seed) or ["text"]

    def make(self, given: Mapping[str, Any], at: str) -> Any:
        """An instance for the schema at this place."""
        if not isinstance(given, dict):
            return None  # true, which accepts anything
        schema = self._whole(given)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][self._draw(at, len(schema["enum"]))]
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if isinstance(kind, list):
            kind = next((each for each in kind if each != "null"), "null")
        maker = {
            "object": self._object,
            "array": self._array,
            "integer": self._integer,
            "number": self._number,
            "boolean": self._boolean,
            "null": self._nothing,
        }.get(str(kind).lower(), self._text)
        return maker(schema, at)

    def _whole(self, given: Mapping[str, Any]) -> dict[str, Any]:
        schema = dict(given)
        if "$ref" in schema:
            found: Any = self._root
            for step in str(schema.pop("$ref")).removeprefix("#").strip("/").split("/"):
                found = found[step] if step else found
            schema = {**self._whole(found), **schema}
        for name in ("anyOf", "oneOf"):
            for way in schema.pop(name, [])[:1]:
                schema = {**schema, **self._whole(way)}
        for part in schema.pop("allOf", []):
            whole = self._whole(part)
            whole["properties"] = {**schema.get("properties", {}), **whole.get("properties", {})}
            whole["required"] = [*schema.get("required", []), *whole.get("required", [])]
            schema = {**schema, **whole}
        return schema

    def _draw(self, at: str, choices: int) -> int:
        return int.from_bytes(hashlib.sha256(f"{self._seed}\n{at}".encode()).digest()[:4]) % max(1, choices)

    def _object(self, schema: Mapping[str, Any], at: str) -> dict[str, Any]:
        fields = schema.get("properties", {})
        names = [*fields, *(name for name in schema.get("required", []) if name not in fields)]
        return {name: self.make(fields.get(name, {"type": "string"}), f"{at}.{name}") for name in names}

    def _array(self, schema: Mapping[str, Any], at: str) -> list[Any]:
        first = [self.make(each, f"{at}[{n}]") for n, each in enumerate(schema.get("prefixItems", []))]
        least, most = int(schema.get("minItems", 1)), int(schema.get("maxItems", 3))
        count = max(least, min(most, 1 + self._draw(at, 3)), len(first))
        return first + [self.make(schema.get("items", {}), f"{at}[{n}]") for n in range(len(first), count)]

    def _integer(self, schema: Mapping[str, Any], at: str) -> int:
        step = int(schema.get("multipleOf", 1))
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1 if "maximum" not in schema else 0) + 1)
        high = schema.get("maximum", schema.get("exclusiveMaximum", low + 101) - 1)
        low, high = -(-int(low) // step), max(int(high) // step, -(-int(low) // step))
        return (low + self._draw(at, min(high - low + 1, 1000))) * step

    def _number(self, schema: Mapping[str, Any], at: str) -> float:
        low = float(schema.get("minimum", schema.get("exclusiveMinimum", 0.0)))
        high = float(schema.get("maximum", schema.get("exclusiveMaximum", low + 1.0)))
        return round(low + (high - low) * (1 + self._draw(at, 98)) / 100, 6)

    def _boolean(self, _schema: Mapping[str, Any], at: str) -> bool:
        return bool(self._draw(at, 2))

    def _nothing(self, _schema: Mapping[str, Any], _at: str) -> None:
        return None

    def _text(self, schema: Mapping[str, Any], at: str) -> str:
        if schema.get("format") in _DATES:
            return _DATES[schema["format"]]
        if "pattern" in schema:
            fits = [each for each in (*_GUESSES, *self._words) if re.search(schema["pattern"], each)]
            return fits[0] if fits else _GUESSES[0]
        start = self._draw(at, len(self._words))
        text = " ".join((self._words[start:] + self._words)[:3])
        while len(text) < int(schema.get("minLength", 0)):
            text += f" {self._words[0]}"
        return text[: int(schema.get("maxLength", 60))]
