"""The corpus of a program that must not block: its threads, its pages, and what a cancelled caller leaves behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from lib.corpus.answers import Answer, Asker, Failure
from lib.corpus.corpus import Corpus
from lib.corpus.records import Record
from tests.lib.corpus.corpora import KINDS, Kind, make

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ME = Asker("job", "2026-01-01T00:00:00Z")


@dataclass
class Gated:
    """Records whose reading waits for a gate, and which count who is inside."""

    gate: threading.Event = field(default_factory=threading.Event)
    entered: threading.Event = field(default_factory=threading.Event)
    left: bool = False
    fails: bool = False

    def check(self) -> None:
        """Wait inside."""
        self.entered.set()
        assert self.gate.wait(30)
        self.left = True
        if self.fails:
            raise ValueError("too late for anybody to hear")

    def chunks(self, size: int) -> Iterator[list[Record]]:
        """One page, made in whatever thread asks."""
        yield [Record(f"r{number}", {"thread": threading.current_thread().name}) for number in range(size)]

    def read(self, ids: Sequence[str]) -> dict[str, Record]:
        """Each with its place."""
        return {name: Record(name, {"place": place}) for place, name in enumerate(ids)}


def gated(tmp_path: Path) -> tuple[Corpus, Gated]:
    """A corpus over gated records, with a store of its own."""
    records = Gated()
    return Corpus(records, make("jsonl", tmp_path / "corpora").opened().annotations), records


async def test_the_loop_goes_on_while_a_thread_blocks(tmp_path: Path) -> None:
    """A watcher renews its session meanwhile."""
    corpus, records = gated(tmp_path)
    async with corpus:
        checking = asyncio.create_task(corpus.check())
        await asyncio.to_thread(records.entered.wait, 30)
        assert not checking.done()
        records.gate.set()
        await asyncio.wait_for(checking, 30)


async def test_a_cancelled_caller_is_cancelled_and_closing_waits(tmp_path: Path) -> None:
    """A thread cannot be stopped; the database is closed only when nobody uses it any more."""
    corpus, records = gated(tmp_path)

    async def body() -> None:
        async with corpus:
            await corpus.check()

    running = asyncio.create_task(body())
    await asyncio.to_thread(records.entered.wait, 30)
    running.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not running.done(), "it did not wait for the thread"
    records.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 30)
    assert records.left


async def test_an_error_that_nobody_waits_for_is_not_complained_about(tmp_path: Path) -> None:
    """The caller was cancelled; the thread failed later. The loop must not report it as lost."""
    corpus, records = gated(tmp_path)
    records.fails = True
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    checking = asyncio.create_task(corpus.check())
    await asyncio.to_thread(records.entered.wait, 30)
    checking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await checking
    records.gate.set()
    async with corpus:
        pass
    gc.collect()
    assert told == []


async def test_pages_are_read_in_threads(tmp_path: Path) -> None:
    """And come as lists of some hundred."""
    corpus, _ = gated(tmp_path)
    async with corpus:
        pages = [page async for page in corpus.scan("v1")]
    assert [len(page) for page in pages] == [200]
    assert pages[0][0].record.fields["thread"] != threading.current_thread().name


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_written_is_there_for_the_next_who_opens(kind: Kind, tmp_path: Path) -> None:
    """On the disk, not in the process."""
    made = make(kind, tmp_path / "corpora")
    async with made.opened() as corpus:
        await corpus.keep(Answer("r0", "q", {"words": 1}), "v1", ME)
    async with made.opened() as corpus:
        assert (await corpus.known(["r0"], "v1", ME))["r0"].state == "kept"
        await corpus.publish({"r0": "q"}, {"r1": Failure("blocked", "no")}, "v1", ME, "now")
    async with made.opened() as corpus:
        assert [row.record_id for page in [page async for page in corpus.annotated("v1")] for row in page] == ["r0"]
        assert [seen.coverage for page in [page async for page in corpus.scan("v1")] for seen in page] == [
            "annotated",
            "failed",
            *["gap"] * 4,
        ]
        assert set(await corpus.read(["r0", "r5", "r6"])) == {"r0", "r5"}


async def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    """And what was closed opens again by being used: a pool is emptied, not ended."""
    corpus = make("jsonl", tmp_path / "corpora").opened()
    async with corpus:
        await corpus.check()
    corpus.close()
    assert await corpus.known(["r0"], "v1", ME) == {}
    corpus.close()
