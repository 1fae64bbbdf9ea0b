"""Where each record of a JSONL file stands: an SQLite file beside it that is made whole, renamed, and never changed.

It is made by whoever needs it and finds none of the file as it is now (size, time and inode). It can be deleted at any
moment. A process that is killed while it makes one leaves a temporary file, which a later one removes. `lib.corpus
.jsonl` is its only caller; it blocks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple
from urllib.parse import quote

from lib.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SUFFIX: Final = ".index.sqlite3"
_FORMAT: Final = "1"
_DOUBLES_SHOWN: Final = 20
# Longer than the largest corpus takes to be read.
_ABANDONED_SECONDS: Final = 6 * 3600.0
_IDS_A_QUERY: Final = 500


class Place(NamedTuple):
    """Where a record begins, in bytes, and its line from 1."""

    offset: int
    line: int


@dataclass(frozen=True, slots=True)
class Index:
    """An index that belongs to the file as it was when this was made."""

    path: Path

    def places(self, ids: Sequence[str]) -> dict[str, Place]:
        """Where these records stand; those that there are."""
        found: dict[str, Place] = {}
        with contextlib.closing(_opened(self.path)) as database:
            for begin in range(0, len(ids), _IDS_A_QUERY):
                some = ids[begin : begin + _IDS_A_QUERY]
                marks = ",".join("?" * len(some))
                rows = database.execute(f"SELECT id, offset, line FROM record WHERE id IN ({marks})", some)  # noqa: S608 - marks only
                found.update({name: Place(offset, line) for name, offset, line in rows})
        return found


def fresh_index(
    corpus: Path, opened: BinaryIO, id_field: str, places: Iterator[tuple[str, Place]], problems: list[Problem]
) -> Index | None:
    """The index of the corpus as it is now; None when it has problems, which stand in the list afterwards.

    `places` reads the file that is open, and is read only if there is no index yet.
    """
    path = corpus.with_name(corpus.name + SUFFIX)
    signature = _signature(opened, id_field)
    if _is_of(path, signature):
        return Index(path)
    try:
        _remove_abandoned(corpus)
        made = _made(corpus, signature, places, problems)
        if made is None:
            return None
        if _signature(opened, id_field) != signature:
            made.unlink()
            raise InvalidInputError(
                f"the corpus {corpus} changed while it was read", hint="write a new file and rename it to the old name"
            )
        made.replace(path)
    except PermissionError as exc:
        raise _unwritable(corpus, str(exc.strerror)) from exc
    return Index(path)


def _made(corpus: Path, signature: str, places: Iterator[tuple[str, Place]], problems: list[Problem]) -> Path | None:
    temporary = corpus.with_name(f"{_prefix(corpus)}{secrets.token_hex(8)}")
    whole = False
    try:
        with contextlib.closing(sqlite3.connect(temporary, isolation_level=None)) as database:
            # Nobody else knows this file, and a crash leaves it behind for good.
            database.execute("PRAGMA journal_mode = OFF")
            database.execute("PRAGMA synchronous = OFF")
            database.execute("BEGIN")
            database.execute("CREATE TABLE source (signature TEXT NOT NULL)")
            database.execute("CREATE TABLE record (id TEXT NOT NULL, offset INTEGER NOT NULL, line INTEGER NOT NULL)")
            database.executemany("INSERT INTO record VALUES (?, ?, ?)", ((name, *place) for name, place in places))
            database.execute("CREATE INDEX record_id ON record (id, line)")
            problems += _doubles(database, corpus)
            database.execute("INSERT INTO source VALUES (?)", (signature,))
            database.execute("COMMIT")
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        whole = not problems
    except sqlite3.Error as exc:
        if exc.sqlite_errorcode in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM}:
            raise _unwritable(corpus, str(exc)) from exc
        number = errno.ENOSPC if exc.sqlite_errorcode == sqlite3.SQLITE_FULL else errno.EIO
        raise OSError(number, str(exc), str(temporary)) from exc
    finally:
        if not whole:
            temporary.unlink(missing_ok=True)
    return temporary if whole else None


def _doubles(database: sqlite3.Connection, corpus: Path) -> list[Problem]:
    rows = database.execute(
        "SELECT id, min(line), max(line) FROM record GROUP BY id HAVING count(*) > 1 ORDER BY 2 LIMIT ?",
        (_DOUBLES_SHOWN,),
    )
    return [
        Problem(str(corpus), last, "", f"has the id {name!r} of line {first}; an id names one record")
        for name, first, last in rows
    ]


def _signature(opened: BinaryIO, id_field: str) -> str:
    about = os.fstat(opened.fileno())
    return f"{_FORMAT}:{about.st_size}:{about.st_mtime_ns}:{about.st_ino}:{id_field}"


def _is_of(path: Path, signature: str) -> bool:
    try:
        with contextlib.closing(_opened(path)) as database:
            return bool(database.execute("SELECT signature FROM source").fetchall() == [(signature,)])
    except sqlite3.Error:  # none there, or no index: then a new one takes its place
        return False


def _opened(path: Path) -> sqlite3.Connection:
    # It never changes, so no lock is needed and none is left.
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)


def _prefix(corpus: Path) -> str:
    return f".{corpus.name}{SUFFIX}.tmp-"


def _remove_abandoned(corpus: Path) -> None:
    for each in corpus.parent.glob(f"{_globbed(_prefix(corpus))}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - each.stat().st_mtime > _ABANDONED_SECONDS:
                each.unlink()


def _globbed(name: str) -> str:
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)


def _unwritable(corpus: Path, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"no index of {corpus} can be written beside it: {why}",
        hint="the directory of a corpus must be writable: its annotations are kept there too",
    )
