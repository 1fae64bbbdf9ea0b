"""The annotations of a corpus, in three tables: what everybody sees, what is kept for now, and what failed.

An answer is kept the moment it comes, in a transaction of its own, because it was paid for. When all records of a batch
have been asked, one other transaction makes the batch visible. So a process may be killed at any moment: what was
answered is not asked again, and nobody ever sees half a batch. Writing is idempotent: the first annotation of a record
in a version stands, whoever comes later.

The tables are made at the first writing. For a JSONL file they are in an SQLite file beside it, for an SQL table beside
that table. All methods block; `lib.corpus.corpus` calls them in a thread.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    MetaData,
    Table,
    Text,
    delete,
    inspect,
    or_,
    select,
    tuple_,
)

from lib import failpoints
from lib.corpus.answers import Annotation, Answer, Asker, Failure, Known, Published

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from lib.corpus.databases import Database

_LONGEST_ERROR: Final = 500
_ROWS_A_READ: Final = 500


@dataclass(slots=True)
class Annotations:
    """The annotations in one database; `prefix` begins the names of their tables, `schema` says where these are."""

    database: Database
    prefix: str = ""
    schema: str | None = None
    _tables: _Tables = field(init=False)
    _seen_there: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self._tables = _Tables.named(self.prefix, self.schema)

    def known(self, ids: Sequence[str], version: str, asker: Asker) -> dict[str, Known]:
        """What is known of these records; nothing of those that must be asked."""
        if not self._are_there():
            return {}
        seen, kept, failed = self._tables.seen, self._tables.kept, self._tables.failed
        with self.database.reading() as connection:
            notes, drafts, done = (_rows(connection, _of(table, ids, version)) for table in (failed, kept, seen))
        found = {row["record_id"]: _noted(row, asker) for row in notes}
        found |= {row["record_id"]: _drafted(row, asker) for row in drafts}
        return found | {row["record_id"]: _seen(row, asker) for row in done}

    def failures(self, ids: Sequence[str], version: str) -> tuple[frozenset[str], Mapping[str, int]]:
        """Which of these are annotated, and of the others those that failed, with how many batches they failed in."""
        if not self._are_there():
            return frozenset(), {}
        with self.database.reading() as connection:
            done = frozenset(row["record_id"] for row in _rows(connection, _of(self._tables.seen, ids, version)))
            notes = _rows(connection, _of(self._tables.failed, ids, version))
        return done, {row["record_id"]: row["batches"] for row in notes if row["record_id"] not in done}

    def keep(self, answer: Answer, version: str, asker: Asker) -> None:
        """Keep an answer for its batch, for good; the first to the same question stands, unless it was a failure."""
        self._make()
        kept = self._tables.kept
        row = {**_row_of(answer, version, asker), **_told(answer.outcome)}
        new = self.database.insert(kept).values(row)
        stale = or_(kept.c.question != new.excluded.question, kept.c.annotation.is_(None))
        with self.database.writing() as connection:
            connection.execute(
                new.on_conflict_do_update(index_elements=["record_id", "version"], set_=dict(row), where=stale)
            )

    def publish(
        self, answered: Mapping[str, str], failures: Mapping[str, Failure], version: str, asker: Asker, at: str
    ) -> Published:
        """Make a batch visible in one transaction: its kept answers, given by record and question, and its failures.

        Repeating it changes nothing. `at` is the time of it, ISO-8601.
        """
        self._make()
        ids = sorted({*answered, *failures})
        with self.database.writing() as connection:
            drafts = self._locked_drafts(connection, ids, version)
            rows = [
                {**{name: draft[name] for name in _COPIED}, "job": asker.job, "queued_at": asker.queued_at, "at": at}
                for draft in drafts
                if draft["annotation"] is not None and answered.get(draft["record_id"]) == draft["question"]
            ]
            if rows:
                connection.execute(self.database.insert(self._tables.seen).on_conflict_do_nothing(), rows)
            failpoints.reach("corpus.publish.annotated")
            done = _rows(connection, _of(self._tables.seen, ids, version))
            theirs = {row["record_id"] for row in done}
            self._note(connection, {k: v for k, v in failures.items() if k not in theirs}, version, asker, at)
            self._clear(connection, ids, theirs, version)
            failpoints.reach("corpus.publish.cleared")
        failpoints.reach("corpus.published")
        mine = frozenset(row["record_id"] for row in done if _is_mine(row, asker))
        failed = frozenset(failures) - theirs
        return Published(mine, frozenset(theirs) - mine, failed, frozenset(answered) - theirs - failed)

    def rows(self, version: str) -> Iterator[Annotation]:
        """All annotations of a version, by their records; some hundred at a time in memory."""
        if not self._are_there():
            return
        seen = self._tables.seen
        query = select(seen).where(seen.c.version == version).order_by(seen.c.record_id).limit(_ROWS_A_READ)
        last: str | None = None
        while True:
            with self.database.reading() as connection:
                page = query if last is None else query.where(seen.c.record_id > last)
                rows = _rows(connection, page)
            if not rows:
                return
            last = rows[-1]["record_id"]
            for row in rows:
                told = json.loads(row["annotation"])
                yield Annotation(row["record_id"], version, told, row["model"], row["job"], row["at"])

    def _locked_drafts(self, connection: Connection, ids: Sequence[str], version: str) -> list[dict[str, Any]]:
        # Locked in one order, so that two batches which share records wait for each other and never in a circle.
        query = _of(self._tables.kept, ids, version).order_by(self._tables.kept.c.record_id).with_for_update()
        return _rows(connection, query)

    def _note(
        self, connection: Connection, failures: Mapping[str, Failure], version: str, asker: Asker, at: str
    ) -> None:
        failed = self._tables.failed
        for name, failure in sorted(failures.items()):
            row = {"record_id": name, "version": version, "job": asker.job, "queued_at": asker.queued_at, "at": at}
            told = {"error_type": failure.error_type, "error": _cleaned(failure.error)}
            new = self.database.insert(failed).values({**row, **told, "batches": 1})
            by_another = tuple_(failed.c.job, failed.c.queued_at) != tuple_(new.excluded.job, new.excluded.queued_at)
            change = {**row, **told, "batches": failed.c.batches + 1}
            connection.execute(
                new.on_conflict_do_update(index_elements=["record_id", "version"], set_=change, where=by_another)
            )

    def _clear(self, connection: Connection, ids: Sequence[str], done: Collection[str], version: str) -> None:
        # What another job keeps as the answer to another question stays.
        kept, failed = self._tables.kept, self._tables.failed
        connection.execute(_within(delete(kept), kept, ids, version).where(kept.c.annotation.is_(None)))
        if done:
            for table in (kept, failed):
                connection.execute(_within(delete(table), table, sorted(done), version))

    def _are_there(self) -> bool:
        if not self._seen_there:
            with self.database.reading() as connection:
                self._seen_there = inspect(connection).has_table(self._tables.failed.name, schema=self.schema)
        return self._seen_there

    def _make(self) -> None:
        if self._are_there():
            return
        try:
            self._tables.made_in(self.database)
        except Exception:
            # Two that make them at once: one of them is told that they are there already.
            if not self._are_there():
                raise


@dataclass(frozen=True, slots=True)
class _Tables:
    seen: Table
    kept: Table
    failed: Table

    @classmethod
    def named(cls, prefix: str, schema: str | None) -> _Tables:
        metadata = MetaData(schema=schema)
        seen = Table(f"{prefix}annotations", metadata, *_key(), *_answer(nullable=False), *_origin(), _text("at"))
        kept = Table(
            f"{prefix}annotations_kept",
            metadata,
            *_key(),
            *_answer(nullable=True),
            *_origin(),
            _text("error_type"),
            _text("error"),
        )
        # Made last, so that where it is, the others are too.
        failed = Table(
            f"{prefix}annotations_failed",
            metadata,
            *_key(),
            *_origin(),
            _text("error_type"),
            _text("error"),
            Column("batches", BigInteger, nullable=False),
            _text("at"),
        )
        return cls(seen, kept, failed)

    def made_in(self, database: Database) -> None:
        with database.writing() as connection:
            for table in (self.seen, self.kept, self.failed):
                table.create(connection, checkfirst=True)


def _key() -> list[Column[Any]]:
    return [Column("record_id", Text, primary_key=True), Column("version", Text, primary_key=True)]


def _answer(*, nullable: bool) -> list[Column[Any]]:
    return [
        # Text, since a database's own JSON type refuses some of what JSON may hold.
        Column("annotation", Text, nullable=nullable),
        _text("question"),
        _text("model"),
        Column("input_tokens", BigInteger, nullable=False),
        Column("output_tokens", BigInteger, nullable=False),
        Column("usd", Float, nullable=False),
    ]


def _origin() -> list[Column[Any]]:
    return [_text("job"), _text("queued_at")]


def _text(name: str) -> Column[Any]:
    return Column(name, Text, nullable=False)


_COPIED: Final = (
    "record_id",
    "version",
    "annotation",
    "question",
    "model",
    "input_tokens",
    "output_tokens",
    "usd",
)


def _rows(connection: Connection, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _of(table: Table, ids: Sequence[str], version: str) -> Any:
    return _within(select(table), table, ids, version)


def _within(statement: Any, table: Table, ids: Sequence[str], version: str) -> Any:
    return statement.where(table.c.version == version, table.c.record_id.in_(ids))


def _row_of(answer: Answer, version: str, asker: Asker) -> dict[str, Any]:
    return {
        "record_id": answer.record_id,
        "version": version,
        "question": answer.question,
        "model": answer.model,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "usd": answer.usd,
        "job": asker.job,
        "queued_at": asker.queued_at,
    }


def _told(outcome: Any | Failure) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        return {"annotation": None, "error_type": outcome.error_type, "error": _cleaned(outcome.error)}
    return {"annotation": _json(outcome), "error_type": "", "error": ""}


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can hold in an escape alone
        return json.dumps(value, allow_nan=False)
    return text


def _cleaned(text: str) -> str:
    return text[:_LONGEST_ERROR].encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")


def _is_mine(row: Mapping[str, Any], asker: Asker) -> bool:
    return bool(row["job"] == asker.job and row["queued_at"] == asker.queued_at)


def _seen(row: Mapping[str, Any], asker: Asker) -> Known:
    tokens = row["input_tokens"], row["output_tokens"]
    return Known("annotated", _is_mine(row, asker), row["question"], None, *tokens)


def _drafted(row: Mapping[str, Any], asker: Asker) -> Known:
    failure = None if row["annotation"] is not None else Failure(row["error_type"], row["error"])
    return Known("kept", _is_mine(row, asker), row["question"], failure, row["input_tokens"], row["output_tokens"])


def _noted(row: Mapping[str, Any], asker: Asker) -> Known:
    return Known("failed", _is_mine(row, asker), "", Failure(row["error_type"], row["error"]))
