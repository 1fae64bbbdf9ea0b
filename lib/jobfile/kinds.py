"""What a file is, by the first keys of its root, and what to say of one that was named where another is wanted.

A person who names the wrong file has one mistake, not one a line. Nothing is checked here: whoever reads a file as what
it is says what is wrong in it. Called by `reading`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import yaml
from yaml.events import (
    CollectionEndEvent,
    CollectionStartEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from lib.jobfile.manifest_lines import BadLineError, first_line, parsed
from lib.jobqueue.json_values import MAX_DEPTH
from lib.jobqueue.normalise import FIELD_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from yaml.events import Event

    from lib.jobfile.source import JobFile

Kind = Literal["beatsheet", "job", "job file", "list", "prices", "scenario"]

_TELLING: Final[Mapping[str, Kind]] = {
    **dict.fromkeys(FIELD_NAMES, "job"),
    **dict.fromkeys(("defaults", "jobs"), "job file"),
    **dict.fromkeys(("topicId", "totalBeats", "ttsDefaults", "beats"), "beatsheet"),
    "models": "prices",
    "watchers": "scenario",
}
"""The key of a root that only one kind of file has."""

# The first keys tell; a file that hides them behind more than this is read as a job file.
_MOST_EVENTS: Final = 10_000

_SAID: Final[Mapping[Kind, str]] = {
    "beatsheet": "is a beatsheet; `job-runner enqueue-beatsheet {file}` queues it",
    "job file": "is a job file; `job-runner enqueue {file}` queues it, `job-runner report {file}` tells of it",
    "prices": "is a file of prices; name it in PRICES_FILE",
    "scenario": "is what `job-watcher simulate {file}` plays",
}


def kind_of(file: JobFile) -> Kind | None:
    """What the root of this file begins as; None when that tells nothing. Blocks on disk, reads no more than it needs.

    Raises:
        InvalidInputError: the file is missing, unreadable, a directory or too large.

    """
    with file.opened() as stream:
        loader = yaml.CSafeLoader(stream)
        depth, at_key = 0, False
        try:
            for _ in range(_MOST_EVENTS):
                event = loader.get_event()
                if depth == 1 and at_key and isinstance(event, ScalarEvent) and event.value in _TELLING:
                    return _TELLING[event.value]
                depth, at_key = _followed(event, depth, at_key=at_key)
                if depth == 1 and isinstance(event, SequenceStartEvent):
                    return "list"
                if depth > MAX_DEPTH or event is None or isinstance(event, StreamEndEvent):
                    return None
        except yaml.YAMLError:
            return None  # whoever reads it as a job file says what is wrong
    return None


def no_manifest(file: JobFile, max_line_bytes: int) -> str | None:
    """What to say of a file that is another kind than a manifest; None of one that may be a manifest, mistakes and all.

    Raises:
        InvalidInputError: the file is missing, unreadable, a directory or too large.

    """
    with file.opened() as stream:
        line = first_line(stream, max_line_bytes)
    if line is None or line.startswith((b"\xff\xfe", b"\xfe\xff")) or (line[:1] in b"[{" and _may_be_an_entry(line)):
        return None
    kind = kind_of(file)
    if kind is None or (kind == "job" and line.startswith(b"{")):
        return None  # an entry over several lines begins as a single job does
    return _mend(file, "job file" if kind in {"job", "list"} else kind, "task manifest")


def no_jobs(file: JobFile, kind: Kind | None, wanted: str) -> str | None:
    """What to say of a file that holds no jobs at all but something else that we read; else None."""
    return _mend(file, kind, wanted) if kind in {"prices", "scenario"} else None


def _may_be_an_entry(line: bytes) -> bool:
    """Whether the first line is an entry, or one with a mistake; a bracket alone begins something else."""
    try:
        value = parsed(line)
    except BadLineError:
        return len(line) > 1
    return not isinstance(value, dict) or not value.keys() & {"jobs", "beats"}


def _mend(file: JobFile, kind: Kind | None, wanted: str) -> str:
    assert kind is not None  # noqa: S101 - the callers have looked
    said, _, mend = _SAID[kind].format(file=file.name).partition("; ")
    return f"{said}, no {wanted}{'; ' if mend else ''}{mend}"


def _followed(event: Event | None, depth: int, *, at_key: bool) -> tuple[int, bool]:
    """The depth after `event`, and whether a key of the root follows."""
    if isinstance(event, CollectionStartEvent):
        return depth + 1, depth == 0
    if isinstance(event, CollectionEndEvent):
        return depth - 1, depth - 1 == 1 and not at_key
    return depth, not at_key if depth == 1 else at_key
