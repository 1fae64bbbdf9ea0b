"""From the name of a corpus in a job to the corpus: which kind it is, and where its annotations are.

SQLAlchemy is imported here, a third of a second that only those pay who open a corpus.
"""

# ruff: noqa: PLC0415 - see above

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lib.corpus.corpus import Corpus
from lib.corpus.places import CorpusPlaces, is_url, shown_url
from lib.errors import InvalidInputError

if TYPE_CHECKING:
    from lib.corpus.databases import Database

SIDECAR: Final = ".annotations.sqlite3"


def open_corpus(places: CorpusPlaces, location: str, *, table: str = "", id_field: str = "") -> Corpus:
    """The corpus of a location; blocks for the imports alone.

    Raises:
        InvalidInputError: the location may not be used here, or table and location do not go together.
        NotFoundError: the file is not here.

    """
    from lib.corpus.annotations import Annotations
    from lib.corpus.databases import sqlite_database

    if is_url(location):
        if not table:
            raise InvalidInputError(
                f"the corpus {shown_url(location)} is a database, and no table is named",
                hint="name the table of the records (--table)",
            )
        from lib.corpus.tables import TableRecords

        database = _database(places, location)
        schema, _, plain = table.rpartition(".")
        return Corpus(TableRecords(database, table, id_field), Annotations(database, f"{plain}_", schema or None))
    if table:
        raise InvalidInputError(f"the corpus {location} is a file, which has no table {table!r}", hint="leave it out")
    from lib.corpus.jsonl import JsonlRecords

    path = places.file(location)
    sidecar = path.with_name(path.name + SIDECAR)
    if sidecar.is_symlink():
        raise InvalidInputError(f"the annotations {sidecar} are a symlink", hint="move the file to where its corpus is")
    told = f"the store of annotations {sidecar.name}"
    return Corpus(
        JsonlRecords(path, id_field or "id"), Annotations(sqlite_database(str(sidecar), told=told, ours=True))
    )


def _database(places: CorpusPlaces, location: str) -> Database:
    from lib.corpus.databases import postgres_database, sqlite_database

    url = places.database(location)
    told = f"the database {shown_url(location)}"
    if url.startswith("sqlite:"):
        return sqlite_database(url.removeprefix("sqlite:///"), told=told, ours=False)
    return postgres_database(url, told=told)
