"""What a record is, and what can be asked of the place where records are kept.

Records are read and never written: what is found out about them is kept beside them (`lib.corpus.annotations`). All
methods block; `lib.corpus.corpus` calls them in a thread.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its id as text, and its fields as plain JSON values."""

    id: str
    fields: Mapping[str, Any]


class Records(Protocol):
    """The records of one corpus."""

    def check(self) -> None:
        """Look at the whole once: every record readable, every id there and there once.

        Raises:
            InvalidInputError: naming what is wrong, all of it where that is possible.
            NotFoundError: the corpus is not there.
            UnreachableError: its database does not answer.

        """

    def chunks(self, size: int) -> Iterator[list[Record]]:
        """All records in an order that stays the same, at most `size` at a time in memory; raises as `check`."""

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of these records that there are, by id; takes no longer in a large corpus. Raises as `check`."""
