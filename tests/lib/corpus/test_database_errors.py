"""What an error of a database means: the same for a corpus and for the tasks that try a database out."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import exc

from lib.corpus.database_errors import read_error
from lib.corpus.databases import sqlite_database
from lib.errors import InvalidInputError, PermanentError, TemporaryError, UnreachableError
from lib.tasks.database import Database

if TYPE_CHECKING:
    from pathlib import Path

WORDS = {
    **dict.fromkeys(("08006", "40P01", "53300", "55P03", "57P01", "58030", ""), "passes"),
    **dict.fromkeys(("28P01", "28000", "3D000"), "login"),
    **dict.fromkeys(("42501", "42P01", "22021", "XX000"), "lasts"),
}


def of_driver(original: BaseException, kind: type[exc.DBAPIError] = exc.OperationalError) -> exc.DBAPIError:
    """As the library wraps it, with a value that must not be seen."""
    return kind("INSERT INTO t VALUES (:secret)", {"secret": "value-77"}, original)


@pytest.mark.parametrize(("state", "kind"), WORDS.items())
def test_the_class_of_a_code_decides(state: str, kind: str) -> None:
    """And no word of the server's."""
    found = read_error(of_driver(Exception({"C": state, "M": "so it\n says"})))
    assert (found.kind, found.state, found.said) == (kind, state, "so it says")


def test_a_gone_connection_passes() -> None:
    """Whatever code it went with; and a driver that says nothing is named."""
    broken = exc.OperationalError("s", {}, Exception({"C": "XX000", "M": "odd"}), connection_invalidated=True)
    assert read_error(broken).kind == "passes"
    assert read_error(of_driver(BrokenPipeError())).said == "BrokenPipeError"


@pytest.mark.parametrize(
    ("words", "wrapped", "kind"),
    [
        ("database is locked", exc.OperationalError, "passes"),
        ("disk I/O error", exc.OperationalError, "passes"),
        ("network error", exc.InterfaceError, "passes"),
        ("no such table: t", exc.OperationalError, "lasts"),
        ("unable to open database file", exc.OperationalError, "lasts"),
        ("file is not a database", exc.DatabaseError, "lasts"),
        ("UNIQUE constraint failed: t.a", exc.IntegrityError, "lasts"),
    ],
)
def test_words_without_a_code(words: str, wrapped: type[exc.DBAPIError], kind: str) -> None:
    """What no waiting mends, and what is no operation of the database's at all, lasts."""
    found = read_error(of_driver(sqlite3.OperationalError(words), wrapped))
    assert (found.kind, found.state, found.said) == (kind, "", words)


@pytest.mark.parametrize(("state", "kind"), WORDS.items())
def test_both_who_ask_agree(tmp_path: Path, state: str, kind: str) -> None:
    """Worth another attempt for one, worth it for the other."""
    error = of_driver(Exception({"C": state, "M": "so"}))
    corpus, rounds = sqlite_database(str(tmp_path / "a"), told="a", ours=True), Database(f"sqlite:///{tmp_path}/b")
    passes = kind == "passes"
    rounds.dialect = "postgresql"
    with pytest.raises(UnreachableError if passes else InvalidInputError), corpus.reading():
        raise error
    with pytest.raises(TemporaryError if passes else PermanentError), rounds.connection():
        raise error
    corpus.close()
    rounds.close()
