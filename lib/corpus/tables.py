"""Records in a table of an SQL database: a row is a record, its columns are the fields.

The table is the user's: it is read as it is and never changed. A row is named by the one column of the primary key, or
by another column that the user names.
"""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, MetaData, Table, exc, func, inspect, select

from lib.corpus.records import Record
from lib.errors import InvalidInputError, InvalidJobsError, NotFoundError, Problem
from lib.jobqueue.annotating import id_problem, record_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from lib.corpus.databases import Database

_DOUBLES_SHOWN: Final = 20
_TABLES_SHOWN: Final = 20


@dataclass(slots=True)
class TableRecords:
    """The rows of `table` (or `schema.table`); `id_field` is a column, or empty for the primary key."""

    database: Database
    table: str
    id_field: str = ""
    _known: tuple[Table, Column[Any]] | None = field(default=None, init=False)

    def check(self) -> None:
        """As `Records` says: the table and its ids."""
        table, name = self._shape()
        if list(table.primary_key.columns) == [name]:
            return
        with self.database.reading() as connection:
            nameless = connection.execute(select(func.count()).select_from(table).where(name.is_(None))).scalar_one()
            query = select(name, func.count()).where(name.is_not(None)).group_by(name).having(func.count() > 1)
            doubles = connection.execute(query.order_by(name).limit(_DOUBLES_SHOWN)).all()
        said = [f"{nameless} rows have no {name.name}"] if nameless else []
        said += [f"{count} rows have the {name.name} {value!r}; an id names one record" for value, count in doubles]
        if said:
            raise InvalidJobsError(tuple(Problem(self.table, 0, "", each) for each in said), undone=None)

    def chunks(self, size: int) -> Iterator[list[Record]]:
        """By the order of the ids; a connection a chunk, so that none waits while somebody works on it."""
        table, name = self._shape()
        query = select(table).where(name.is_not(None)).order_by(name).limit(size)
        last: Any = None
        while True:
            with self.database.reading() as connection:
                rows = connection.execute(query if last is None else query.where(name > last)).mappings().all()
            if not rows:
                return
            last = rows[-1][name.name]
            yield [self._record(row, name) for row in rows]

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """By the column that names them."""
        table, name = self._shape()
        of_text = _reader(name)
        values = [value for value in map(of_text, ids) if value is not None]
        with self.database.reading() as connection:
            rows = connection.execute(select(table).where(name.in_(values))).mappings().all()
        return {record.id: record for record in (self._record(row, name) for row in rows)}

    def _shape(self) -> tuple[Table, Column[Any]]:
        if self._known is None:
            schema, _, plain = self.table.rpartition(".")
            with self.database.reading() as connection:
                try:
                    table = Table(plain, MetaData(), schema=schema or None, autoload_with=connection)
                except exc.NoSuchTableError:
                    there = ", ".join(sorted(inspect(connection).get_table_names(schema or None))[:_TABLES_SHOWN])
                    raise NotFoundError(
                        f"{self.database.told} has no table {self.table!r}",
                        hint=f"its tables: {there}" if there else "it has no tables",
                    ) from None
            self._known = table, self._naming(table)
        return self._known

    def _naming(self, table: Table) -> Column[Any]:
        if self.id_field:
            found: Column[Any] | None = table.columns.get(self.id_field)
            if found is None:
                raise InvalidInputError(
                    f"the table {self.table!r} has no column {self.id_field!r}",
                    hint=f"its columns: {', '.join(table.columns.keys())}",
                )
            return found
        keys = list(table.primary_key.columns)
        if len(keys) != 1:
            which = "no primary key" if not keys else f"a primary key of {len(keys)} columns"
            raise InvalidInputError(
                f"the table {self.table!r} has {which}", hint="name the column of the ids with --id-field"
            )
        return keys[0]

    def _record(self, row: Any, name: Column[Any]) -> Record:
        value = row[name.name]
        text = str(record_id(value)) if not isinstance(value, uuid.UUID) else str(value)
        problem = id_problem(text)
        if problem is not None:
            raise InvalidInputError(f"the {name.name} {text!r:.80} of the table {self.table!r} {problem}")
        return Record(text, {key: plain for key, plain in ((k, _plain(v)) for k, v in row.items()) if plain is not ...})


def _reader(name: Column[Any]) -> Callable[[str], Any]:
    """How an id becomes a value of this column again; None for one that cannot be there."""
    try:
        kind = name.type.python_type
    except NotImplementedError:  # how the library says that a type of this database has no Python one
        kind = object
    if kind is str:
        return lambda text: text
    if kind not in {int, uuid.UUID}:
        raise InvalidInputError(
            f"the column {name.name!r} is of the type {name.type}",
            hint="ids are texts, whole numbers or UUIDs; name another column with --id-field",
        )

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            return None

    return read


def _plain(value: Any) -> Any:
    """A column's value as JSON has it; `...` for bytes, which no prompt can show."""
    if value is None or isinstance(value, bool | int | float | str | dict | list):
        return value
    if isinstance(value, dt.datetime | dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    return ... if isinstance(value, bytes | memoryview) else str(value)
