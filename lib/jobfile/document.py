"""A small YAML document as one value, for files that are no jobs: prices, what is to be simulated.

It reads as job files are read, by events: neither depth nor aliases nor an odd date end in a crash, a key that stands
twice is a mistake and not the last one's, and everything has its line. What the values mean is the caller's business.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from yaml.events import DocumentStartEvent, StreamEndEvent

from lib.errors import InvalidInputError, Problem
from lib.jobfile.escapes import JoinedEscapes
from lib.jobfile.findings import Findings, TooManyError
from lib.jobfile.source import BoundedStream
from lib.jobfile.syntax import mistakes_told
from lib.jobfile.yaml_events import ValueReader, line_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Document:
    """The value (None of an empty file), and the line of each thing in it by its path, as `jobs[3].seconds.metal`."""

    value: Any
    lines: Mapping[str, int]

    def line_of(self, path: str) -> int:
        """The line of `path`, or of the nearest thing above it."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return 1


def read_document(path: Path, max_bytes: int) -> Document | tuple[Problem, ...]:
    """The document of a file, or what is wrong with it as YAML; blocks on disk.

    Raises:
        InvalidInputError: the file cannot be read, or is larger than `max_bytes`.

    """
    raw = _bytes_of(path, max_bytes)
    findings = Findings(str(path))
    stream = BoundedStream(JoinedEscapes(io.BytesIO(raw)), str(path), max_bytes)
    lines: dict[str, int] = {}
    value = None
    try:
        with mistakes_told(stream, findings):
            reader = ValueReader(stream, findings, max_bytes)
            reader.next()  # the start of the stream
            if type(event := reader.next()) is DocumentStartEvent:
                value = reader.value(reader.next(), "", 1, lines, "")
                reader.next()  # the end of the document
                event = reader.next()
            if type(event) is not StreamEndEvent:
                findings.add(line_of(event), "", "a second document starts here; write one document a file")
            if reader.exhausted:
                findings.add(1, "", f"holds more than {max_bytes} bytes of values; make it smaller")
    except TooManyError:
        pass  # these are enough
    problems = tuple(findings.fresh())
    return problems or Document(value, {where.removeprefix("."): line for where, line in lines.items()})


def _bytes_of(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(max_bytes + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else str(exc)
        raise InvalidInputError(f"{path} cannot be read: {why}", hint="name a YAML file that can be read") from exc
    if len(raw) > max_bytes:
        raise InvalidInputError(f"{path} is larger than {max_bytes} bytes", hint="make it smaller")
    return raw
