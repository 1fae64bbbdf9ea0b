"""What a worker on a host says, read with suspicion: whoever owns that machine may have written it.

The words are those of `lib.manifest.events`. Pure.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any, Final, Literal

MOST_TEXT: Final = 4_000
"""Characters of any text that is kept of an event."""

_MOST_SECONDS: Final = 1e9
"""Nobody worked on a job for thirty years."""

_MESSAGE_CHARACTERS: Final = 200
"""A line under a progress bar."""


class LieError(ValueError):
    """No worker of ours says so: the host is not to be believed."""


@dataclass(frozen=True, slots=True)
class Ready:
    """It listens."""


@dataclass(frozen=True, slots=True)
class Begun:
    """From here on a death of the worker is this job's doing."""

    job: str


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a job is, as a backend tells it."""

    job: str
    said: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """A job's end; `files` are as they came, to be looked at by `arrivals`, `seconds` what it says that it took."""

    job: str
    status: Literal["ok", "failed", "skipped"]
    error: str = ""
    hint: str | None = None
    permanent: bool = False
    files: tuple[Any, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Uploaded:
    """The files of a job that has ended are in the store, or why not."""

    job: str
    error: str | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A folder or an order that the worker cannot read."""

    error: str


@dataclass(frozen=True, slots=True)
class BatchDone:
    """Nothing of this folder follows."""

    batch: str


Event = Ready | Begun | Progressed | Ended | Uploaded | Refused | BatchDone


def event_of(line: str) -> Event:
    """The event in a line.

    Raises:
        LieError: it holds none.

    """
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        said = None
    event = _event(said) if isinstance(said, dict) else None
    if event is None:
        raise LieError(f"it says {line[:80]!r}, which is no event")
    return event


def _event(said: dict[str, Any]) -> Event | None:
    event: Event | None = None
    match said:
        case {"event": "ready"}:
            event = Ready()
        case {"event": "begun", "request_id": str() as job}:
            event = Begun(job)
        case {"event": "progress", "request_id": str() as job}:
            event = _progress(job, said)
        case {"event": "ended", "request_id": str() as job, "status": status}:
            event = _ended(job, status, said)
        case {"event": "uploaded", "request_id": str() as job}:
            event = Uploaded(job, _text(said.get("error")))
        case {"event": "refused", "error": str() as error}:
            event = Refused(error[:MOST_TEXT])
        case {"event": "batch_done", "batch": str() as batch}:
            event = BatchDone(batch)
    return event


def _ended(job: str, status: object, said: dict[str, Any]) -> Ended | None:
    seconds = _seconds(said.get("seconds"))
    match status, said:
        case "ok", {"files": list() as files}:
            return Ended(job, "ok", files=tuple(files), seconds=seconds)
        case "failed", {"error": str() as error}:
            permanent = said.get("permanent") is True
            return Ended(job, "failed", error[:MOST_TEXT], _text(said.get("hint")), permanent, seconds=seconds)
        case "skipped", _:
            return Ended(job, "skipped")
    return None


def _progress(job: str, said: dict[str, Any]) -> Progressed | None:
    percent, message = said.get("percent"), said.get("message")
    if isinstance(percent, bool) or not isinstance(percent, int | float) or not math.isfinite(percent):
        return None
    told: dict[str, Any] = {"percent": round(min(100.0, max(0.0, percent)), 2)}
    for name in ("step", "total"):
        value = said.get(name)
        told[name] = value if type(value) is int and 0 <= value < 1 << 31 else None
    told["message"] = message[:_MESSAGE_CHARACTERS] if isinstance(message, str) else ""
    return Progressed(job, told)


def _seconds(value: object) -> float | None:
    """None for what is no time."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _MOST_SECONDS:
        return None
    return float(value)


def _text(value: object) -> str | None:
    return value[:MOST_TEXT] if isinstance(value, str) else None
