"""The database that the rounds of `lib.tasks.crud` go through: its table, its steps, and its errors in our words.

SQLite as it comes with Python, PostgreSQL by pg8000. The table is made when it is missing. A row belongs to one round;
a round that was cut off leaves its row behind, and the next attempt of the same job takes it away. No message holds
more of the URL than host and name.
"""

from __future__ import annotations

import json
import os
import sqlite3
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import sqlalchemy
from sqlalchemy import Column, Integer, MetaData, Table, Text, event, exc, select

from lib.calling import install_extra
from lib.corpus.database_errors import read_error
from lib.errors import PermanentError, TaskError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

TABLE: Final = Table(
    "job_runner_rounds",
    MetaData(),
    Column("round_id", Text, primary_key=True),
    Column("request_id", Text, nullable=False, index=True),
    Column("attempt", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("data", Text, nullable=False),
)

_BUSY_SECONDS: Final = 30
"""How long a write waits for the others: SQLite lets one write at a time."""

_ANSWER_SECONDS: Final = 30
"""How long PostgreSQL may take for a step; a server that is gone without a word would hold a job for hours."""

# The default driver of SQLAlchemy for PostgreSQL is one that is not installed with us.
_POSTGRES: Final = frozenset({"postgres", "postgresql"})
_FORMS: Final = "write sqlite:///FILE or postgresql+pg8000://USER:PASSWORD@HOST:PORT/NAME into DATABASE_URL"


class Database:
    """One database, with a pool of connections; with `looks_only` neither a file nor a folder of it is ever made."""

    def __init__(self, url: str, *, looks_only: bool = False) -> None:
        parsed = _parsed(url)
        self.dialect = parsed.get_backend_name()
        self.place = _place(parsed)
        self._file = _file_of(parsed)
        self._engine = _engine(_read_only(self._file) if looks_only and self._file else parsed, looks_only=looks_only)
        self._has_table = False

    def has_table(self) -> bool:
        """Whether the table is there; nothing is made. A file that is not there yet has none.

        Raises:
            TemporaryError: it is away, or busy.
            PermanentError: it refuses us, is none, or cannot be made where it should be.

        """
        if self._file is not None and not self._file.exists():
            nearest = next(each for each in self._file.parents if each.exists())
            if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
                raise _no_folder(self._file.parent, "not a folder of ours to write to")
            return False
        with self._told(), self._engine.connect() as connection:
            return sqlalchemy.inspect(connection).has_table(TABLE.name)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection with the table there.

        Raises:
            TemporaryError: it is away, or full, or busy.
            PermanentError: it refuses us, or is none.

        """
        with self._told(), self._engine.connect() as connection:
            if not self._has_table:
                self._make_table(connection)
                self._has_table = True
            yield connection

    def round(self, connection: Connection, request_id: str, attempt: int, data: Any) -> dict[str, Any]:
        """Go round once with `data`; what was done, step by step.

        Raises:
            TemporaryError: a step did not find what the one before it left.

        """
        left_over = self._remove_left_over(connection, request_id, attempt)
        steps: list[str] = []
        name, written = uuid.uuid4().hex, json.dumps({"data": data})
        changed = json.dumps({"data": data, "changed": True})
        row = TABLE.c.round_id == name
        with connection.begin():
            values = {"round_id": name, "request_id": request_id, "attempt": attempt, "revision": 1, "data": written}
            _expect(connection.execute(TABLE.insert().values(values)).rowcount, 1, "created", steps)
        _expect(_read(connection, row), (1, written), "read", steps)
        with connection.begin():
            change = TABLE.update().where(row, TABLE.c.revision == 1).values(revision=2, data=changed)
            _expect(connection.execute(change).rowcount, 1, "updated", steps)
        _expect(_read(connection, row), (2, changed), "verified", steps)
        with connection.begin():
            _expect(connection.execute(TABLE.delete().where(row)).rowcount, 1, "deleted", steps)
        _expect(_read(connection, row), None, "confirmed_gone", steps)
        return {"lifecycle": steps, "database": self.dialect, "left_over": left_over}

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @staticmethod
    def _remove_left_over(connection: Connection, request_id: str, attempt: int) -> int:
        """Remove what earlier attempts left, and only they: one that is late must not take a later one's row."""
        with connection.begin():
            gone = TABLE.delete().where(TABLE.c.request_id == request_id, TABLE.c.attempt <= attempt)
            return connection.execute(gone).rowcount

    @staticmethod
    def _make_table(connection: Connection) -> None:
        try:
            with connection.begin():
                TABLE.metadata.create_all(connection)
        except exc.DBAPIError:
            # Another process may have made it between the look and the making.
            if not sqlalchemy.inspect(connection).has_table(TABLE.name):
                raise
            connection.rollback()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except exc.TimeoutError as caught:
            raise TemporaryError(f"{self.place} had no free connection in time") from caught
        except exc.DBAPIError as caught:
            raise self._as_ours(caught) from caught

    def _as_ours(self, caught: exc.DBAPIError) -> TaskError:
        word = read_error(caught)
        if self.dialect == "sqlite":
            if word.kind == "lasts":
                return PermanentError(f"{self.place}: {word.said}", hint="is DATABASE_URL right, and the folder ours?")
            return TemporaryError(f"{self.place}: {word.said}", hint="is its disk full, or another program holding it?")
        if word.kind == "login":
            hint = "set user, password and name in DATABASE_URL"
            return PermanentError(f"{self.place} refuses: {word.said}", hint=hint)
        if word.kind == "passes":
            hint = "does it run, and is it reachable?"
            return TemporaryError(f"{self.place} does not answer: {word.said}", hint=hint)
        state = f" ({word.state})" if word.state else ""
        return PermanentError(f"{self.place} refuses{state}: {word.said}", hint="may its user make tables?")


def _expect(got: object, wanted: object, step: str, steps: list[str]) -> None:
    if got != wanted:
        done = steps[-1] if steps else "nothing"
        raise TemporaryError(
            f"the round is broken: step {step!r} found something else than {done!r} left",
            hint="is another program changing the table job_runner_rounds?",
        )
    steps.append(step)


def _read(connection: Connection, row: sqlalchemy.ColumnElement[bool]) -> tuple[int, str] | None:
    """Revision and data as a new transaction sees them."""
    with connection.begin():
        found = connection.execute(select(TABLE.c.revision, TABLE.c.data).where(row)).one_or_none()
    return None if found is None else (found.revision, found.data)


def _parsed(url: str) -> sqlalchemy.URL:
    if "\0" in unquote(url):
        raise PermanentError("DATABASE_URL holds a NUL (%00), which no name of a database can", hint=_FORMS)
    try:
        parsed = sqlalchemy.make_url(url)
    except (exc.ArgumentError, ValueError) as caught:
        raise PermanentError("DATABASE_URL is no URL of a database", hint=_FORMS) from caught
    if parsed.drivername in _POSTGRES:
        parsed = parsed.set(drivername="postgresql+pg8000")
    if parsed.get_backend_name() not in {"sqlite", "postgresql"}:
        raise PermanentError(f"DATABASE_URL names {parsed.drivername}, which is not known here", hint=_FORMS)
    return parsed


def _place(url: sqlalchemy.URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"the database {url.database or ':memory:'}"
    return f"PostgreSQL at {url.host or '127.0.0.1'}:{url.port or 5432}/{url.database or ''}"


def _file_of(url: sqlalchemy.URL) -> Path | None:
    """The file of SQLite; None of a database in memory, and of a server."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        return None
    return Path(str(url.database)).absolute()


def _read_only(file: Path) -> sqlalchemy.URL:
    return sqlalchemy.URL.create("sqlite", database=f"file:{quote(str(file))}", query={"mode": "ro", "uri": "true"})


def _engine(url: sqlalchemy.URL, *, looks_only: bool = False) -> Engine:
    is_sqlite = url.get_backend_name() == "sqlite"
    waits = {"timeout": _BUSY_SECONDS if is_sqlite else _ANSWER_SECONDS}
    try:
        engine = sqlalchemy.create_engine(url, connect_args=waits, pool_pre_ping=not is_sqlite)
    except exc.NoSuchModuleError as caught:
        raise PermanentError(f"DATABASE_URL names {url.drivername}, which is not known here", hint=_FORMS) from caught
    except ImportError as caught:
        raise PermanentError(
            f"the driver of {url.drivername} is not installed: {caught.name}",
            hint=f"install it with `{install_extra('postgres')}`, and write postgresql+pg8000:// into DATABASE_URL",
        ) from caught
    if is_sqlite and not looks_only:
        if url.database and url.database != ":memory:":
            _make_folder(Path(url.database).parent)
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as caught:
        raise _no_folder(folder, str(caught.strerror)) from caught


def _no_folder(folder: Path, why: str) -> PermanentError:
    said = f"the folder {folder} of the database cannot be made: {why}"
    return PermanentError(said, hint="name another in DATABASE_URL")


def _prepare_sqlite(connection: Any, _: object) -> None:
    """Readers and one writer side by side; the file remembers it, so only the first of all has to change it."""
    cursor = connection.cursor()
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        # Whoever is not alone at this moment is refused at once; then another connection will have done it, or does.
        with suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
