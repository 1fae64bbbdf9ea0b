"""How a row and the file's defaults become one.

A row overrides; `callback_data` is merged deeply and `payload` key by key; an explicit null in a row removes a default.
Defaults that a row's task cannot have (speech fields for `sleep`, a payload for `speak`, a key of the payload that is
another task's) are not for that row: one file may mix tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lib.jobqueue.catalogue import DEFAULT_TASK
from lib.jobqueue.normalise import FIELD_NAMES
from lib.jobqueue.problems import nearest, shown
from lib.jobqueue.spec import SPEECH_FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from lib.jobfile.findings import Findings
    from lib.jobfile.rows import Row
    from lib.jobqueue.catalogue import Catalogue

_OWN: Final = frozenset({"request_id", "output_name", "content_hash"})
_KNOWN: Final = frozenset(FIELD_NAMES)


class Defaults:
    """The defaults of one file, ready to be put under its rows."""

    def __init__(self, row: Row | None, catalogue: Catalogue, findings: Findings) -> None:
        self._catalogue = catalogue
        self.values: dict[str, Any] = {}
        self.lines: dict[str, int] = {}
        self._payload_keys: frozenset[str] | None = None
        if row is None:
            return
        self.lines = row.field_lines
        for name, value in row.values.items():
            said = _refusal(name)
            if said is not None:
                findings.add(self.lines.get(name, row.line), f"defaults.{_plain(name)}", said)
            elif value is not None:
                self.values[name] = value
        callback_data = self.values.get("callback_data")
        self._callback_data = callback_data if isinstance(callback_data, dict) else None
        self._flat = {name: value for name, value in self.values.items() if name != "payload"}
        self._payload = {name: value for name, value in self.values.items() if name not in SPEECH_FIELDS}
        payload = self.values.get("payload")
        self._shared = payload if isinstance(payload, dict) else None

    def under(self, values: dict[str, Any]) -> dict[str, Any]:
        """The row with defaults filled in; `values` itself is not changed."""
        if not self.values:
            return values
        task = values.get("task") or self.values.get("task", DEFAULT_TASK)
        kind = self._catalogue.get(task) if isinstance(task, str) else None
        base = self._flat if kind is None or kind.payload is None else self._payload
        merged = {**base, **values}
        own = values.get("callback_data")
        if self._callback_data is not None and isinstance(own, dict):
            merged["callback_data"] = _merged(self._callback_data, own)
        if self._shared is not None and kind is not None and kind.payload is not None:
            own = values.get("payload", {})
            if isinstance(own, dict):
                merged["payload"] = _filled(self._meant_for(kind.payload), own)
        return merged

    def gave_key(self, place: str, row_lines: Mapping[str, int]) -> bool:
        """Whether what stands at `place` is a key of the payload that the row does not have and the defaults do."""
        name, _, below = place.partition(".")
        key = f"{name}.{below.partition('.')[0].partition('[')[0]}"
        return name == "payload" and key in self.lines and key not in row_lines

    def _meant_for(self, model: type[BaseModel]) -> dict[str, Any]:
        """The shared keys of a payload without those that only other tasks know; what none knows is to be refused."""
        assert self._shared is not None  # noqa: S101 - the caller has looked
        if model.model_config.get("extra") == "allow":
            return self._shared
        return {
            key: value for key, value in self._shared.items() if key in model.model_fields or not self._is_known(key)
        }

    def _is_known(self, key: str) -> bool:
        """Whether some task has a key of this name in its payload."""
        if self._payload_keys is None:
            kinds = (self._catalogue.get(name) for name in self._catalogue.names)
            models = [kind.payload for kind in kinds if kind is not None and kind.payload is not None]
            self._payload_keys = frozenset(name for model in models for name in model.model_fields)
        return key in self._payload_keys


def _filled(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Key by key, since a value of a payload is one whole. A null removes what the default has and stays otherwise."""
    merged = {**base, **over}
    for key in base:
        if merged[key] is None and key in over:
            del merged[key]
    return merged


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Deep; bounded by the depth that files may have. A null removes what the default has and stays otherwise."""
    merged = dict(base)
    for key, value in over.items():
        below = base.get(key)
        if value is None and key in base:
            del merged[key]
        elif isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merged(below, value)
        else:
            merged[key] = value
    return merged


def _refusal(name: str) -> str | None:
    if name in _OWN:
        return "is a job's own; move it into the job"
    if name not in _KNOWN:
        return f"is no known field{nearest(name, FIELD_NAMES) or '; remove it'}"
    return None


def _plain(name: str) -> str:
    return name if name.isprintable() else shown(name)
