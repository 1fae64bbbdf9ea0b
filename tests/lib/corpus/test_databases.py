"""What a database says becomes an error of ours: worth another try, or a mistake; never with a password in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from lib.corpus import databases
from lib.corpus.databases import postgres_database, sqlite_database
from lib.errors import InvalidInputError, UnreachableError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import Postgres


def test_a_file_that_another_program_holds_is_worth_another_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a wait; reading goes on meanwhile, since the journal is ours."""
    monkeypatch.setattr(databases, "_LOCK_WAIT_SECONDS", 0.05)
    database = sqlite_database(str(tmp_path / "store"), told="the store", ours=True)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE t (a)"))
    with closing(sqlite3.connect(tmp_path / "store", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(UnreachableError, match="the store does not answer: database is locked"), database.writing():
            pytest.fail("two writers at once")
        with database.reading() as connection:
            assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
        other.execute("ROLLBACK")
    with database.writing() as connection:
        connection.execute(text("INSERT INTO t VALUES (1)"))
    database.close()


def test_an_exception_in_the_block_undoes_it(tmp_path: Path) -> None:
    """And it is the caller's own that comes out."""
    database = sqlite_database(str(tmp_path / "store"), told="the store", ours=True)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE t (a)"))

    def half() -> None:
        with database.writing() as connection:
            connection.execute(text("INSERT INTO t VALUES (1)"))
            raise KeyError

    with pytest.raises(KeyError):
        half()
    with database.reading() as connection:
        assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
    database.close()


def test_a_file_of_the_user_keeps_its_journal(tmp_path: Path) -> None:
    """Ours is one with a log beside it; theirs may be read by programs that know nothing of that."""
    for name, ours, mode in (("ours", True, "wal"), ("theirs", False, "delete")):
        database = sqlite_database(str(tmp_path / name), told=name, ours=ours)
        with database.reading() as connection:
            assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == mode
            assert not ours or connection.execute(text("PRAGMA synchronous")).scalar_one() == 2, "FULL"
        database.close()


def test_a_new_file_may_be_opened_by_several_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is not alone with it cannot give it a log, and works all the same; the next one who opens it does that."""
    monkeypatch.setattr(databases, "_LOCK_WAIT_SECONDS", 0.05)
    store = str(tmp_path / "store")
    with closing(sqlite3.connect(store, isolation_level=None)) as other:
        other.execute("CREATE TABLE t (a)")
        other.execute("BEGIN")
        assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
        for mode in ("delete", "wal"):
            database = sqlite_database(store, told="the store", ours=True)
            with database.reading() as connection:
                assert connection.execute(text("PRAGMA journal_mode")).scalar_one() == mode
                assert connection.execute(text("SELECT count(*) FROM t")).scalar_one() == 0
            database.close()
            if other.in_transaction:
                other.execute("ROLLBACK")


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    """It says what to look at. A file stands where the folder should be, since root may write into any folder."""
    (tmp_path / "folder").touch()
    database = sqlite_database(str(tmp_path / "folder/store"), told="the store", ours=True)
    with pytest.raises(InvalidInputError, match="unable to open") as caught, database.reading():
        pass
    assert "its directory too" in (caught.value.hint or "")


def test_a_statement_that_cannot_be_is_a_mistake(tmp_path: Path, postgres: Postgres) -> None:
    """No table of that name; no number of tries makes one."""
    small = sqlite_database(str(tmp_path / "store"), told="the store", ours=True)
    large = postgres_database(postgres.url, told="the server")
    with pytest.raises(InvalidInputError, match="the store refuses: no such table"), small.reading() as connection:
        connection.execute(text("SELECT * FROM none"))
    with pytest.raises(InvalidInputError, match=r"the server refuses: .*42P01"), large.reading() as connection:
        connection.execute(text("SELECT * FROM none"))
    small.close()
    large.close()


def test_a_connection_that_the_server_closed_matters_to_nobody(postgres: Postgres) -> None:
    """Between two answers of a slow model it may have had enough of it."""
    database, other = (postgres_database(postgres.url, told="the server") for _ in range(2))
    with database.reading() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with other.writing() as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    with database.reading() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != pid
    database.close()
    other.close()
