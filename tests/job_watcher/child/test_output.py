"""What a child prints, read from a real pipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from loguru import logger

from job_watcher.child.output import ChildOutput
from tests.support.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

Said = list[tuple[str, str]]


@pytest.fixture
def said() -> Iterator[Said]:
    """(request_id, text) of everything logged."""
    lines: Said = []
    sink = logger.add(lambda line: lines.append((line.record["extra"].get("request_id", ""), line.record["message"])))
    yield lines
    logger.remove(sink)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Read and write end; the reader closes its own."""
    read, write = os.pipe()
    yield read, write
    os.close(write)


async def test_each_line_is_logged_for_the_job_that_printed_it(pipe: tuple[int, int], said: Said) -> None:
    """What was printed before an end belongs to the job that ended, half lines too."""
    output = ChildOutput(pipe[0])
    os.write(pipe[1], b"at the start\n")
    output.begin("a")
    os.write(pipe[1], b"of a\nhalf of a")
    output.end()
    output.begin("b")
    os.write(pipe[1], b"of b\n")
    output.end()
    output.close()
    assert said == [("", "child: at the start"), ("a", "child: of a"), ("a", "child: half of a"), ("b", "child: of b")]


async def test_it_is_read_while_the_job_runs(pipe: tuple[int, int], said: Said) -> None:
    """A full pipe would stop the body."""
    output = ChildOutput(pipe[0])
    output.begin("a")
    os.write(pipe[1], b"now\n")
    await wait_until(lambda: ("a", "child: now") in said, what="the line is logged")
    output.close()


async def test_bytes_that_are_no_text_and_endless_lines_are_bounded(pipe: tuple[int, int], said: Said) -> None:
    """An engine that prints binary or never ends its line neither fails the reader nor fills memory."""
    output = ChildOutput(pipe[0])
    output.begin("a")
    for _ in range(5):
        os.write(pipe[1], b"\xff" * 60_000)
        output.drain()
        assert len(output._rest) <= 64 * 1024
    output.end()
    output.close()
    assert said
    assert all(len(text) < 1100 for _, text in said)


async def test_the_last_words_are_of_this_job_only(pipe: tuple[int, int]) -> None:
    """A crash report shows the last lines, not those of the job before."""
    output = ChildOutput(pipe[0])
    output.begin("a")
    os.write(pipe[1], b"old\n")
    output.end()
    output.begin("b")
    os.write(pipe[1], b"".join(b"line %d\n" % number for number in range(30)))
    output.drain()
    assert output.last_words.split("\n") == [f"line {number}" for number in range(18, 30)]
    output.close()


async def test_the_end_of_the_pipe_closes_it_once() -> None:
    """The child is gone; closing again is harmless."""
    read, write = os.pipe()
    output = ChildOutput(read)
    os.close(write)
    await wait_until(lambda: output._descriptor is None, what="the reader has seen the end")
    output.close()
    output.end()
    output.drain()
