"""A corpus for a program that must not block: its records and their annotations, every operation in a thread.

One class for every kind of corpus: what differs is where records are read (`Records`: a JSONL file, an SQL table) and
which database holds the annotations. The task `annotate` writes through it, the gap-fill workflow reads.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from types import TracebackType

    from lib.corpus.annotations import Annotations
    from lib.corpus.answers import Annotation, Answer, Asker, Failure, Known, Published
    from lib.corpus.records import Record, Records

# Small against memory whatever a record holds, large against the cost of a query.
_CHUNK_RECORDS: Final = 200

T = TypeVar("T")

Coverage = Literal["gap", "annotated", "failed"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A record and how it stands in a version; `batches` is in how many batches it failed."""

    record: Record
    coverage: Coverage
    batches: int = 0


@dataclass(frozen=True, slots=True)
class Corpus:
    """Records and their annotations; `async with` closes it. All methods raise as `Records` and `Database` say."""

    records: Records
    annotations: Annotations
    _under_way: set[asyncio.Future[Any]] = field(default_factory=set, init=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A thread cannot be stopped: whoever was cancelled waits for the operation that it had begun.
        if self._under_way:
            await asyncio.wait(self._under_way)
        await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Close its database; for programs that have no event loop."""
        self.annotations.database.close()

    async def check(self) -> None:
        """Look at all records once, so that every mistake in the corpus is told at one go."""
        await self._in_thread(self.records.check)

    async def scan(self, version: str) -> AsyncIterator[list[Seen]]:
        """Every record with how it stands, some hundred at a time, in an order that stays the same."""
        pages = self.pages(version)
        while (page := await self._in_thread(next, pages, None)) is not None:
            yield page

    async def gaps(self, version: str) -> AsyncIterator[Record]:
        """The records that have no annotation of this version, those that failed among them."""
        async for page in self.scan(version):
            for seen in page:
                if seen.coverage != "annotated":
                    yield seen.record

    async def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """Those of these records that there are."""
        return await self._in_thread(self.records.read, ids)

    async def known(self, ids: Sequence[str], version: str, asker: Asker) -> dict[str, Known]:
        """What is known of these records already."""
        return await self._in_thread(self.annotations.known, ids, version, asker)

    async def keep(self, answer: Answer, version: str, asker: Asker) -> None:
        """Keep one answer, seen by nobody yet, for good."""
        await self._in_thread(self.annotations.keep, answer, version, asker)

    async def publish(
        self, answered: Mapping[str, str], failures: Mapping[str, Failure], version: str, asker: Asker, at: str
    ) -> Published:
        """Make a batch visible, in one transaction and only once."""
        return await self._in_thread(self.annotations.publish, answered, failures, version, asker, at)

    async def annotated(self, version: str) -> AsyncIterator[list[Annotation]]:
        """All annotations of a version, some hundred at a time."""
        rows = self.annotations.rows(version)
        while page := await self._in_thread(_some, rows):
            yield page

    async def _in_thread(self, operation: Callable[..., T], *args: Any) -> T:
        running = asyncio.ensure_future(asyncio.to_thread(operation, *args))
        self._under_way.add(running)
        running.add_done_callback(self._over)
        return await asyncio.shield(running)

    def _over(self, ended: asyncio.Future[Any]) -> None:
        self._under_way.discard(ended)
        if not ended.cancelled():
            ended.exception()  # seen, though whoever asked for it may have been cancelled

    def pages(self, version: str) -> Iterator[list[Seen]]:
        """The same as `scan` for a program that may block."""
        for chunk in self.records.chunks(_CHUNK_RECORDS):
            done, failed = self.annotations.failures([record.id for record in chunk], version)
            yield [_stands(record, record.id in done, failed.get(record.id, 0)) for record in chunk]


def _stands(record: Record, done: bool, batches: int) -> Seen:  # noqa: FBT001 - one of three answers
    return Seen(record, "annotated" if done else "failed" if batches else "gap", batches)


def _some(rows: Iterator[Annotation]) -> list[Annotation]:
    return [row for row, _ in zip(rows, range(_CHUNK_RECORDS), strict=False)]
