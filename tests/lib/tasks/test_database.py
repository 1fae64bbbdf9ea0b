"""What a database says becomes one of our errors: worth another attempt, or not, and never with a secret in it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import exc

from lib.errors import PermanentError, TaskError, TemporaryError
from lib.tasks.database import Database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Said(Exception):  # noqa: N818 - a driver's error, which has no such name
    """An error of a driver, with what a server said in it."""


def raised_in(database: Database, error: BaseException) -> TaskError:
    """What becomes of an error that comes up while a connection is in use."""
    with pytest.raises(TaskError) as caught, database.connection():
        raise error
    return caught.value


def of_driver(original: BaseException, *, invalidated: bool = False) -> exc.DBAPIError:
    """As the library wraps it, with a statement and values that must not be seen."""
    return exc.OperationalError(
        "INSERT INTO t VALUES (:secret)", {"secret": "value-77"}, original, connection_invalidated=invalidated
    )


@pytest.fixture
def postgres_like(tmp_path: Path) -> Iterator[Database]:
    """Takes errors as those of PostgreSQL; no server is needed for what only translates."""
    database = Database(f"sqlite:///{tmp_path}/rounds.sqlite3")
    database.dialect, database.place = "postgresql", "PostgreSQL at db:5432/rounds"
    yield database
    database.close()


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("08006", TemporaryError, "does not answer"),
        ("40001", TemporaryError, "does not answer"),
        ("40P01", TemporaryError, "does not answer"),
        ("53300", TemporaryError, "does not answer"),
        ("53100", TemporaryError, "does not answer"),
        ("55P03", TemporaryError, "does not answer"),
        ("57P01", TemporaryError, "does not answer"),
        ("57P03", TemporaryError, "does not answer"),
        ("58030", TemporaryError, "does not answer"),
        ("28P01", PermanentError, "refuses: "),
        ("28000", PermanentError, "refuses: "),
        ("3D000", PermanentError, "refuses: "),
        ("42501", PermanentError, "refuses (42501): "),
        ("42P01", PermanentError, "refuses (42P01): "),
        ("22021", PermanentError, "refuses (22021): "),
    ],
)
def test_states_of_postgres(postgres_like: Database, state: str, kind: type[TaskError], said: str) -> None:
    """By the class of the code, never by its words; place and words are told, statement and values are not."""
    found = raised_in(postgres_like, of_driver(Said({"S": "FATAL", "C": state, "M": "so it says"})))
    assert type(found) is kind
    assert found.message.startswith(f"PostgreSQL at db:5432/rounds {said}")
    assert found.message.endswith("so it says")
    assert found.hint
    assert "value-77" not in f"{found.message}{found.hint}"
    assert "INSERT" not in f"{found.message}{found.hint}"


def test_a_wire_that_broke_is_for_now(postgres_like: Database) -> None:
    """Without a code, or with one while the connection is gone; and a driver that says nothing is named."""
    assert type(raised_in(postgres_like, of_driver(Said("network error")))) is TemporaryError
    broken = of_driver(Said({"C": "XX000", "M": "odd"}), invalidated=True)
    assert type(raised_in(postgres_like, broken)) is TemporaryError
    silent = raised_in(postgres_like, of_driver(BrokenPipeError()))
    assert silent.message == "PostgreSQL at db:5432/rounds does not answer: BrokenPipeError"


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("database is locked", TemporaryError),
        ("database or disk is full", TemporaryError),
        ("disk I/O error", TemporaryError),
        ("unable to open database file", PermanentError),
        ("attempt to write a readonly database", PermanentError),
        ("file is not a database", PermanentError),
        ("database disk image is malformed", PermanentError),
        ("table job_runner_rounds has no column named revision", PermanentError),
    ],
)
def test_words_of_sqlite(tmp_path: Path, words: str, kind: type[TaskError]) -> None:
    """It has no codes that reach us; what no waiting mends is for good."""
    file = tmp_path / "rounds.sqlite3"
    database = Database(f"sqlite:///{file}")
    found = raised_in(database, of_driver(sqlite3.OperationalError(words)))
    assert type(found) is kind
    assert found.message == f"the database {file}: {words}"
    assert "value-77" not in f"{found.message}{found.hint}"
    database.close()


def test_no_free_connection_is_for_now(postgres_like: Database) -> None:
    """All of a pool in use."""
    found = raised_in(postgres_like, exc.TimeoutError("QueuePool limit of size 5 overflow 10 reached"))
    assert type(found) is TemporaryError
    assert found.message == "PostgreSQL at db:5432/rounds had no free connection in time"


def test_what_is_no_error_of_a_database_passes(postgres_like: Database) -> None:
    """A mistake of ours is not told as one of the server."""
    with pytest.raises(ZeroDivisionError), postgres_like.connection():
        raise ZeroDivisionError


def test_a_table_of_another_shape_is_for_good(tmp_path: Path) -> None:
    """Somebody else has a table of this name: it is left alone."""
    file = tmp_path / "rounds.sqlite3"
    with sqlite3.connect(file) as other:
        other.execute("CREATE TABLE job_runner_rounds (request_id TEXT, attempt INTEGER)")
    other.close()
    database = Database(f"sqlite:///{file}")
    with pytest.raises(PermanentError, match="no column named"), database.connection() as connection:
        database.round(connection, "a", 1, {})
    database.close()


def test_a_database_in_memory(tmp_path: Path) -> None:
    """Is one too; it lives as long as its process, and makes no file."""
    database = Database("sqlite://")
    with database.connection() as connection:
        assert database.round(connection, "a", 1, {})["lifecycle"][-1] == "confirmed_gone"
    assert (database.place, list(tmp_path.iterdir())) == ("the database :memory:", [])
    database.close()


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgres://u:p-7@db/x", "PostgreSQL at db:5432/x"),
        ("postgresql://u:p-7@db:6000/x", "PostgreSQL at db:6000/x"),
        ("postgresql+pg8000://u:p-7@/x", "PostgreSQL at 127.0.0.1:5432/x"),
        ("sqlite:////var/none.sqlite3", "the database /var/none.sqlite3"),
    ],
)
def test_the_place_is_told_without_a_secret(url: str, place: str) -> None:
    """Both short names of PostgreSQL mean the driver that comes with the extra."""
    database = Database(url)
    assert database.place == place
    database.close()


@pytest.mark.parametrize(
    "url", ["sqlite:///a%00b", "sqlite:///a\0b", "postgresql://u:p-7%00@db/x", "postgresql://u@d%00b/x"]
)
def test_a_name_with_a_nul_is_for_good(url: str) -> None:
    """No file and no server can be called so; the error names the variable and no secret."""
    with pytest.raises(PermanentError, match="DATABASE_URL holds a NUL") as caught:
        Database(url)
    assert "p-7" not in caught.value.message
