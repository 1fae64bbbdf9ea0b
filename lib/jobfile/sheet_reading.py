"""A beatsheet's parts out of YAML events: its root and its beats, with the line of everything.

It knows the shape of the file, but neither which files are beatsheets nor what a beat may hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from yaml.events import (
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from lib.jobfile.scalars import resolve
from lib.jobfile.syntax import mistakes_told
from lib.jobfile.yaml_events import BROKEN, ValueReader, line_of

if TYPE_CHECKING:
    from yaml.events import Event

    from lib.jobfile.findings import Findings
    from lib.jobfile.source import BoundedStream

# The root is level 1, the list of beats 2, a beat 3.
_BEAT_DEPTH: Final = 3
_TOO_LARGE: Final = "is larger than JOBS_MAX_JOB_BYTES allows; make it smaller"


@dataclass(slots=True)
class Part:
    """The root or one beat: `values` by key, `lines` by key and by path below it; `broken` keys were reported."""

    where: str
    line: int
    index: int = 0
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def line_of(self, path: str) -> int:
        """The line of `path`, or of the nearest thing above it."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.line


@dataclass(frozen=True, slots=True)
class Sheet:
    """A beatsheet as it stands in the file."""

    root: Part
    beats: list[Part]


def read_sheet(stream: BoundedStream, findings: Findings, max_beat_bytes: int) -> Sheet | None:
    """The sheet, None when there is nothing to read it from; what is wrong with it is in `findings`."""
    root, beats = Part("", 1), []
    whole = False
    reader = ValueReader(stream, findings, max_beat_bytes)
    with mistakes_told(stream, findings):
        reader.next()  # the start of the stream
        if type(reader.next()) is not DocumentStartEvent:
            findings.add(1, "", "is empty; a beatsheet has topicId and beats")
            return None
        start = reader.next()
        if reader.refuse(start, "") or not isinstance(start, MappingStartEvent):
            findings.add(line_of(start), "", "is no beatsheet: a mapping with topicId and beats in it")
            return None
        root.line = line_of(start)
        beats = _root(reader, root, findings)
        reader.next()  # the end of the document
        event = reader.next()
        if type(event) is not StreamEndEvent:
            findings.add(line_of(event), "", "a second document starts here; write one document a file")
        whole = True
    return Sheet(root, beats) if whole else None


def _root(reader: ValueReader, root: Part, findings: Findings) -> list[Part]:
    beats: list[Part] = []
    while type(event := reader.next()) is not MappingEndEvent:
        reader.begin()
        key = reader.key(event, "", root.lines)
        value = reader.next()
        if key == "beats":
            beats = _beats(reader, value, root, findings)
        elif key == "jobs":
            findings.add(line_of(event), "jobs", "belongs to a job file; queue that with `job-runner enqueue`")
            reader.skip(value)
            root.broken.add(key)
        elif key is None:
            reader.skip(value)
        else:
            _keep(reader, value, key, root, findings)
    return beats


def _keep(reader: ValueReader, event: Event, key: str, root: Part, findings: Findings) -> None:
    value = reader.value(event, key, 2, root.lines, key)
    if value is not BROKEN and not reader.exhausted:
        root.values[key] = value
        return
    root.broken.add(key)
    if reader.exhausted:
        findings.add(line_of(event), key, _TOO_LARGE)


def _beats(reader: ValueReader, start: Event, root: Part, findings: Findings) -> list[Part]:
    beats: list[Part] = []
    refused = reader.refuse(start, "beats")
    if not isinstance(start, SequenceStartEvent):
        reader.skip(start)
        root.broken.add("beats")
        if not refused:
            findings.add(line_of(start), "beats", "must be a list of beats")
        return beats
    while type(event := reader.next()) is not SequenceEndEvent:
        beats.append(_beat(reader, event, len(beats), findings))
    return beats


def _beat(reader: ValueReader, event: Event, index: int, findings: Findings) -> Part:
    beat = Part(f"beats[{index}]", line_of(event), index)
    reader.begin()
    found: dict[str, int] = {}
    value = reader.value(event, beat.where, _BEAT_DEPTH, found, "")
    beat.lines = {path.removeprefix("."): line for path, line in found.items()}
    if isinstance(value, dict) and not reader.exhausted:
        beat.values = value
        return beat
    # Nothing more is said about it.
    beat.broken |= {"id", "narration", "tts", "source_ref"}
    if reader.exhausted:
        findings.add(beat.line, beat.where, _TOO_LARGE)
    elif value is not BROKEN:
        empty = isinstance(event, ScalarEvent) and not event.style and resolve(event.value) is None
        findings.add(
            beat.line, beat.where, "is empty; remove it" if empty else "must be a mapping with id and narration"
        )
    return beat
