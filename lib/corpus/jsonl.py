"""Records in a JSONL file: one JSON object a line, each with an id.

The file is only read. Where each record stands is kept in an index beside it (`lib.corpus.jsonl_index`), so that a
batch of twenty out of a million reads twenty lines.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from lib.corpus.jsonl_index import Index, Place, fresh_index
from lib.corpus.records import Record
from lib.errors import InvalidInputError, InvalidJobsError, NotFoundError, Problem, TemporaryError
from lib.jobqueue.annotating import id_problem, record_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of one record: a line is in memory as a whole."""

_BOM: Final = b"\xef\xbb\xbf"
# Nobody mends more at one go.
_MOST_PROBLEMS: Final = 50


class _BadLineError(Exception):
    """What is wrong with a line, in words."""


@dataclass(frozen=True, slots=True)
class JsonlRecords:
    """The records of `path`; `id_field` names each."""

    path: Path
    id_field: str = "id"

    def check(self) -> None:
        """As `Records` says: reads the file once, unless it is the one that was read before."""
        self._index()

    def chunks(self, size: int) -> Iterator[list[Record]]:
        """In the order of the file."""
        chunk: list[Record] = []
        with self._opened() as opened:
            for _, _, record in self._lines(opened, []):
                chunk.append(record)
                if len(chunk) >= size:
                    yield chunk
                    chunk = []
        if chunk:
            yield chunk

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """By the index, a seek a record."""
        found: dict[str, Record] = {}
        index = self._index()
        with self._opened() as opened:
            for name, place in sorted(index.places(ids).items(), key=lambda item: item[1].offset):
                opened.seek(place.offset)
                try:
                    record = self._record(opened.readline(LONGEST_LINE + 1))
                except _BadLineError as exc:
                    raise self._changed() from exc
                if record is None or record.id != name:
                    raise self._changed()
                found[name] = record
        return found

    def _opened(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except FileNotFoundError:
            raise NotFoundError(f"no corpus is at {self.path}") from None
        except OSError as exc:
            raise InvalidInputError(f"the corpus {self.path} cannot be read: {exc.strerror}") from exc

    def _index(self) -> Index:
        with self._opened() as opened:
            problems: list[Problem] = []
            places = ((record.id, place) for _, place, record in self._lines(opened, problems))
            index = fresh_index(self.path, opened, self.id_field, places, problems)
        if index is None:
            raise InvalidJobsError(tuple(problems), undone=None)
        return index

    def _lines(self, opened: BinaryIO, problems: list[Problem]) -> Iterator[tuple[int, Place, Record]]:
        """Each record with its place; bad lines become problems, and too many of them end it."""
        offset = number = 0
        while line := opened.readline(LONGEST_LINE + 1):
            number += 1
            place = Place(offset + (len(_BOM) if number == 1 and line.startswith(_BOM) else 0), number)
            offset += len(line)
            try:
                record = self._record(line.removeprefix(_BOM) if number == 1 else line)
            except _BadLineError as exc:
                problems.append(Problem(str(self.path), number, "", str(exc)))
                if len(problems) >= _MOST_PROBLEMS or len(line) > LONGEST_LINE:
                    return
                continue
            if record is not None:
                yield number, place, record

    def _record(self, line: bytes) -> Record | None:
        """The record of a line; None for an empty one."""
        if len(line) > LONGEST_LINE:
            raise _BadLineError(f"is longer than {LONGEST_LINE} bytes; is there a line for each record?")
        if not line.strip():
            return None
        try:
            fields: Any = json.loads(line.rstrip().decode(), parse_constant=_no_number)
        except UnicodeDecodeError as exc:
            raise _BadLineError(f"is not UTF-8: byte {exc.start + 1}") from None
        except json.JSONDecodeError as exc:
            raise _BadLineError(f"is no JSON: {exc.msg} at column {exc.colno}") from None
        except (RecursionError, ValueError) as exc:
            raise _BadLineError(f"is no JSON that can be read: {exc}") from None
        if not isinstance(fields, dict):
            raise _BadLineError('is no JSON object; write {"id": …, …}')
        if self.id_field not in fields:
            raise _BadLineError(f"has no field {self.id_field!r}, which names a record")
        problem = id_problem(fields[self.id_field])
        if problem is not None:
            raise _BadLineError(f"{self.id_field} {problem}")
        return Record(str(record_id(fields[self.id_field])), fields)

    def _changed(self) -> TemporaryError:
        return TemporaryError(
            f"the corpus {self.path} changed while it was read", hint="write a new file and rename it to the old name"
        )


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no number in JSON")
