"""A corpus in a table: whatever columns it has, by its primary key or another column."""

from __future__ import annotations

import datetime as dt
import decimal
import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Column, DateTime, Float, LargeBinary, MetaData, Numeric, Table, Text, Uuid, create_engine

from lib.corpus.opening import open_corpus
from lib.corpus.places import CorpusPlaces
from lib.errors import InvalidInputError, InvalidJobsError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from lib.corpus.corpus import Corpus
    from tests.support.postgres import Postgres


def opened(where: Path, statements: str, table: str = "t", id_field: str = "") -> Corpus:
    """A database made by these statements."""
    with closing(sqlite3.connect(where / "db.sqlite3")) as database:
        database.executescript(statements)
    return open_corpus(CorpusPlaces(where, ""), "sqlite:///db.sqlite3", table=table, id_field=id_field)


def ids(corpus: Corpus, size: int = 2) -> list[str]:
    """All ids, in order."""
    corpus.records.check()
    return [record.id for chunk in corpus.records.chunks(size) for record in chunk]


def test_rows_are_records_by_their_primary_key(tmp_path: Path) -> None:
    """In its order, some at a time; numbers come back as text and are found by it."""
    corpus = opened(
        tmp_path,
        "CREATE TABLE t (n INTEGER PRIMARY KEY, text TEXT, picture BLOB, score REAL);"
        "INSERT INTO t VALUES (10, 'ten', x'00', 1.5), (9, 'nine', NULL, NULL), (8, NULL, x'01', 0);",
    )
    assert ids(corpus) == ["8", "9", "10"]
    found = corpus.records.read(["10", "9", "7", "no number"])
    assert {name: dict(record.fields) for name, record in found.items()} == {
        "10": {"n": 10, "text": "ten", "score": 1.5},
        "9": {"n": 9, "text": "nine", "picture": None, "score": None},
    }
    corpus.close()


def test_another_column_may_name_them(tmp_path: Path) -> None:
    """If it names each row once; rows without a name and doubles are told."""
    statements = "CREATE TABLE t (a TEXT, b TEXT); INSERT INTO t VALUES ('x', 'p'), ('y', 'p'), ('z', NULL);"
    corpus = opened(tmp_path, statements, id_field="a")
    assert ids(corpus) == ["x", "y", "z"]
    corpus.close()
    corpus = opened(tmp_path, "SELECT 1", id_field="b")
    with pytest.raises(InvalidJobsError) as caught:
        corpus.records.check()
    said = [problem.message for problem in caught.value.problems]
    assert said == ["1 rows have no b", "2 rows have the b 'p'; an id names one record"]
    corpus.close()


@pytest.mark.parametrize(
    ("table", "id_field", "error", "said", "hint"),
    [
        ("none", "", NotFoundError, "has no table 'none'", "its tables: keyless, t, two"),
        ("keyless", "", InvalidInputError, "has no primary key", "--id-field"),
        ("two", "", InvalidInputError, "has a primary key of 2 columns", "--id-field"),
        ("t", "z", InvalidInputError, "has no column 'z'", "its columns: n, score"),
        ("t; DROP TABLE t", "", NotFoundError, "has no table", "its tables"),
        ('t"', "", NotFoundError, "has no table", "its tables"),
    ],
)
def test_what_does_not_fit_is_told_with_what_is_there(
    table: str, id_field: str, error: type[Exception], said: str, hint: str, tmp_path: Path
) -> None:
    """Names are never part of a statement."""
    statements = "CREATE TABLE t (n INTEGER PRIMARY KEY, score REAL); CREATE TABLE keyless (a);"
    corpus = opened(tmp_path, f"{statements} CREATE TABLE two (a, b, PRIMARY KEY (a, b));", table, id_field)
    with pytest.raises(error, match=said) as caught:
        corpus.records.check()
    assert hint in (getattr(caught.value, "hint", "") or "")
    corpus.close()


def test_ids_must_be_texts_numbers_or_uuids(tmp_path: Path) -> None:
    """A float is no name; nor is a text of control characters."""
    corpus = opened(tmp_path, "CREATE TABLE t (n REAL PRIMARY KEY); INSERT INTO t VALUES (1.5);")
    with pytest.raises(InvalidInputError, match="is of the type REAL"):
        corpus.records.read(["1.5"])
    corpus.close()
    corpus = opened(tmp_path, "CREATE TABLE u (n TEXT PRIMARY KEY); INSERT INTO u VALUES (char(7));", "u")
    with pytest.raises(InvalidInputError, match="holds a control character"):
        ids(corpus)
    corpus.close()


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """It says which."""
    (tmp_path / "db.sqlite3").write_text("these are not the bytes of a database" * 50)
    corpus = open_corpus(CorpusPlaces(tmp_path, ""), "sqlite:///db.sqlite3", table="t")
    with pytest.raises(InvalidInputError, match=r"db\.sqlite3 refuses: file is not a database"):
        corpus.records.check()
    corpus.close()


def test_postgresql_with_its_own_types_and_schemas(postgres: Postgres, tmp_path: Path) -> None:
    """UUIDs as ids; times, decimals and bytes; a table in a schema; the annotations beside it."""
    schema, key = f"s{uuid.uuid4().hex[:8]}", uuid.uuid4()
    engine = create_engine(postgres.url)
    table = Table(
        "books",
        MetaData(schema=schema),
        Column("book", Uuid, primary_key=True),
        Column("at", DateTime),
        Column("price", Numeric),
        Column("weight", Float),
        Column("cover", LargeBinary),
        Column("title", Text),
    )
    row = {"at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC).replace(tzinfo=None), "price": decimal.Decimal("9.90")}
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA {schema}")
        table.create(connection)
        connection.execute(table.insert(), [{"book": key, **row, "weight": 0.5, "cover": b"x", "title": "A"}])
    engine.dispose()
    places = CorpusPlaces(tmp_path, postgres.url)
    corpus = open_corpus(places, postgres.url_with(""), table=f"{schema}.books")
    assert ids(corpus) == [str(key)]
    found = corpus.records.read([str(key), "no uuid"])[str(key)]
    assert found.fields == {
        "book": str(key),
        "at": "2026-01-01T00:00:00",
        "price": "9.90",
        "weight": 0.5,
        "title": "A",
    }
    assert corpus.annotations.failures([str(key)], "v1") == (frozenset(), {})
    corpus.close()
    wrong = open_corpus(CorpusPlaces(tmp_path, postgres.url_with("wrong-horse-8")), postgres.url_with(""), table="x")
    with pytest.raises(InvalidInputError, match="password authentication failed") as caught:
        wrong.records.check()
    assert "DATABASE_URL" in (caught.value.hint or "")
    wrong.close()
