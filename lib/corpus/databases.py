"""Connections to the databases of corpora, and what their errors mean.

SQLite and PostgreSQL, through SQLAlchemy, which is imported here and by those who build statements, all of them loaded
only when a corpus is opened. That to a file is kept for the next operation, until `close`: to open it costs most.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Engine, Table, create_engine, event, exc, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.pool import NullPool

from lib.corpus.database_errors import read_error
from lib.errors import InvalidInputError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator

# A writer holds the file for milliseconds; half a minute means that something is stuck.
_LOCK_WAIT_SECONDS: Final = 30.0
_CONNECT_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True)
class Database:
    """One database; `told` is how messages name it, without a password."""

    engine: Engine
    told: str

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection in one transaction that sees one state of things.

        Raises:
            UnreachableError: it does not answer, is locked, or refuses for now.
            InvalidInputError: it says that the statement cannot be.

        """
        with self._mapped(), self.engine.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[Connection]:
        """The same, committed at the end of the block and rolled back by an exception."""
        writer = self.engine.execution_options(corpus_writes=True)
        with self._mapped(), writer.begin() as connection:
            yield connection

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, which each dialect has for itself."""
        if self.engine.dialect.name == "postgresql":
            return postgresql.insert(table)
        return sqlite.insert(table) if self.engine.dialect.name == "sqlite" else insert(table)

    def close(self) -> None:
        """Close what is open; nothing may be under way."""
        self.engine.dispose()

    @contextlib.contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            raise self._ours(error) from error
        except exc.SQLAlchemyError as error:
            raise InvalidInputError(f"{self.told}: {error}") from error
        except OSError as error:  # the driver's own, while it connects
            raise UnreachableError(f"{self.told} does not answer: {error}", hint="is it running?") from error

    def _ours(self, error: exc.DBAPIError) -> UnreachableError | InvalidInputError:
        word = read_error(error)
        code = f" ({word.state})" if word.state else ""
        if word.kind == "passes":
            hint = "is it running, not locked, its disk not full?"
            return UnreachableError(f"{self.told} does not answer: {word.said}{code}", hint=hint)
        if word.kind == "login":
            hint = "check user, password and name of DATABASE_URL"
        else:
            hint = "do its file and tables exist, and may its user write to them, its directory too?"
        return InvalidInputError(f"{self.told} refuses: {word.said}{code}", hint=hint)


def sqlite_database(path: str, *, told: str, ours: bool) -> Database:
    """An SQLite file; `ours` is one that only we write, so that its journal may be as we want it."""
    engine = create_engine(f"sqlite:///{path}", pool_size=1, connect_args={"timeout": _LOCK_WAIT_SECONDS})

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        # The driver would begin transactions by a guess of its own.
        connection.isolation_level = None
        if ours:
            _keep_a_log(connection)

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A reader that becomes a writer halfway is refused at once if another writes; so it says so first.
        writes = connection.get_execution_options().get("corpus_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return Database(engine, told)


def _keep_a_log(connection: Any) -> None:
    """Readers and the one writer do not wait for each other, and what was committed outlives a power cut.

    The file remembers that it has a log, so only the first of all has to change it. Who is not alone with the file at
    that moment is refused without a wait: then another one changes it, or the next who opens it.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with contextlib.suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")


def postgres_database(url: str, *, told: str) -> Database:
    """A PostgreSQL database by its URL with the password."""
    # Between two answers of a slow model a server may close an idle connection, which the driver tells in ways that the
    # pool does not understand. A new one for each operation costs milliseconds.
    engine = create_engine(url, poolclass=NullPool, connect_args={"timeout": _CONNECT_SECONDS})
    return Database(engine, told)
