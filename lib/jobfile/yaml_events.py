"""Values from YAML events, with the line of everything and no surprises.

`yaml.load` and `yaml.compose` crash the interpreter at a nesting of 50 000, expand aliases without end and merge
duplicate keys in silence. So values are built here from the events of libyaml, never deeper than 64 levels and
never larger than one job may be. Whatever is refused is reported where it stands, and reading goes on, so that
one run names all mistakes; only what makes the rest unreadable ends it. It knows nothing of jobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from lib.jobfile.scalars import NumberTooLongError, resolve
from lib.jobqueue.json_values import MAX_DEPTH
from lib.jobqueue.problems import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from lib.jobfile.findings import Findings
    from lib.jobfile.source import BoundedStream

BROKEN: Final = object()
"""Stands for a value that was refused and reported."""

# What a value costs in memory and JSON besides its characters, at the least.
_NODE_BYTES: Final = 2
# A job that is a little too large is read past, to find the mistakes behind it. Beyond this many nodes, reading
# past it would take minutes, which is what such a file is for.
_MOST_NODES: Final = 500_000


class UnreadableError(Exception):
    """The rest of the file cannot be read; the reason was reported."""


def line_of(event: Event) -> int:
    """The 1-based line where it starts."""
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


class ValueReader:
    """Reads one value after another. `budget` bounds what one job may hold, in bytes."""

    def __init__(self, stream: BoundedStream, findings: Findings, budget: int) -> None:
        # It answers None only after the end of the stream, where nobody asks.
        self.next = cast("Callable[[], Event]", yaml.CSafeLoader(stream).get_event)
        self._findings = findings
        self._budget = budget
        self._left = budget
        self._nodes = 0
        self._most_nodes = max(budget, _MOST_NODES)

    def begin(self) -> None:
        """A new job starts: the budget is whole again."""
        self._left = self._budget
        self._nodes = 0

    @property
    def exhausted(self) -> bool:
        """Whether the values since `begin` are larger than the budget; they are no longer kept then."""
        return self._left < 0

    def key(self, event: Event, where: str, taken: dict[str, int]) -> str | None:
        """The key that `event` is, its line noted in `taken`; None when it was refused and reported."""
        line = line_of(event)
        self._spend(len(event.value) if isinstance(event, ScalarEvent) else 0, event)
        if not isinstance(event, ScalarEvent):
            if not self.refuse(event, where):
                self._findings.add(line, where, "a key must be text, not a list or mapping")
            self.skip(event)
            return None
        text: str = event.value
        if event.anchor is not None or event.tag is not None:
            self.refuse(event, where)
            return None
        if not event.style and not self._is_text(text):
            self._findings.add(line, where, f"the key {shown(text)} must be text; put it in quotes")
            return None
        if text == "<<" and not event.style:
            self._findings.add(line, where, "merge keys are not read; write shared fields under defaults")
            return None
        if text in taken:
            self._findings.add(
                line,
                joined(where, text),
                f"stands twice, first on line {taken[text]}; keep one of them",
            )
            return None
        if self._left >= 0:
            taken[text] = line
        return text

    def value(self, event: Event, where: str, depth: int, lines: dict[str, int] | None, path: str) -> Any:
        """The value that starts with `event`, or `BROKEN`.

        `where` is its place for people; with `lines`, the line of every value below is noted under its path.
        """
        if isinstance(event, ScalarEvent):
            text: str = event.value
            self._spend(len(text), event)
            if event.anchor is None and event.tag is None:
                if event.style:
                    return text
                try:
                    return resolve(text)
                except NumberTooLongError as exc:
                    self._findings.add(line_of(event), where, str(exc))
                    return BROKEN
            self.refuse(event, where)
            return BROKEN
        refused = self.refuse(event, where)
        if isinstance(event, AliasEvent):
            return BROKEN
        if depth > MAX_DEPTH:
            self._too_deep(event, where)
        self._spend(0, event)
        if isinstance(event, MappingStartEvent):
            value: Any = self._mapping(where, depth, lines, path)
        else:
            value = self._sequence(where, depth, lines, path)
        return BROKEN if refused else value

    def _mapping(self, where: str, depth: int, lines: dict[str, int] | None, path: str) -> Any:
        values: dict[str, Any] = {}
        taken: dict[str, int] = {}
        whole = True
        while type(event := self.next()) is not MappingEndEvent:
            key = self.key(event, where, taken)
            event = self.next()
            if key is None:
                self.skip(event)
                whole = False
                continue
            below = f"{path}.{key}" if lines is not None else ""
            value = self.value(event, joined(where, key), depth + 1, lines, below)
            if value is BROKEN:
                whole = False
            elif self._left >= 0:
                values[key] = value
                if lines is not None:
                    lines[below] = taken[key]
        return values if whole else BROKEN

    def _sequence(self, where: str, depth: int, lines: dict[str, int] | None, path: str) -> Any:
        values: list[Any] = []
        whole = True
        at = 0
        while type(event := self.next()) is not SequenceEndEvent:
            below = f"{path}[{at}]" if lines is not None else ""
            value = self.value(event, f"{where}[{at}]", depth + 1, lines, below)
            at += 1
            if value is BROKEN:
                whole = False
            elif self._left >= 0:
                values.append(value)
                if lines is not None:
                    lines[below] = line_of(event)
        return values if whole else BROKEN

    def refuse(self, event: Event, where: str) -> bool:
        """Report an anchor, alias or tag on `event`; whether there was one."""
        anchor = getattr(event, "anchor", None)
        if type(event) is AliasEvent:
            said = f"the alias *{shown(anchor)[1:-1]} is not read; write the value out"
        elif anchor is not None:
            said = f"the anchor &{shown(anchor)[1:-1]} is not read; remove it"
        elif (tag := getattr(event, "tag", None)) is not None:
            said = f"the tag {shown(tag)[1:-1]} is not read; remove it"
        else:
            return False
        self._findings.add(line_of(event), where, said)
        return True

    def skip(self, event: Event) -> None:
        """Read past the value that starts with `event`, keeping nothing."""
        depth = 0
        while True:
            self._spend(0, event)
            if isinstance(event, CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    self._too_deep(event, "")
            elif isinstance(event, CollectionEndEvent):
                depth -= 1
            if depth == 0:
                return
            event = self.next()

    def _spend(self, characters: int, event: Event) -> None:
        self._left -= characters + _NODE_BYTES
        self._nodes += 1
        if self._nodes > self._most_nodes:
            self._findings.add(
                line_of(event), "", "what stands around here is far too large for one job; reading stops"
            )
            raise UnreadableError

    def _too_deep(self, event: Event, where: str) -> None:
        # Reading on would cost libyaml quadratic time, which is what such a file is for.
        place = where if len(where) <= MAX_DEPTH else ""
        self._findings.add(line_of(event), place, f"is nested deeper than {MAX_DEPTH} levels; flatten it")
        raise UnreadableError

    @staticmethod
    def _is_text(plain: str) -> bool:
        try:
            return isinstance(resolve(plain), str)
        except NumberTooLongError:
            return False


def joined(where: str, key: str) -> str:
    """The place of `key` below `where`, on one line whatever the key holds."""
    name = key if len(key) <= MAX_DEPTH and key.isprintable() else shown(key)
    return f"{where}.{name}" if where else name
