"""Where a job file comes from, and what it is when it cannot be read at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from lib.errors import InvalidInputError
from lib.jobfile import FileRules, check_file, read_jobs, scan_jobs
from lib.jobfile.source import BoundedStream
from tests.lib.jobfile.written import JOB, written


@pytest.mark.parametrize("read", [check_file, read_jobs, lambda path, rules: list(scan_jobs(path, rules))])
def test_a_missing_file_is_named(tmp_path: Path, read: object) -> None:
    """By every way to read one."""
    assert callable(read)
    with pytest.raises(InvalidInputError, match=r"nothing\.yaml does not exist") as caught:
        read(tmp_path / "nothing.yaml", FileRules())
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_a_directory_is_named(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(InvalidInputError, match="is a directory"):
        check_file(tmp_path, FileRules())


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "loop"])
def test_a_path_that_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    """Whatever the system says about it."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        check_file(tmp_path / name, FileRules())


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="Linux has a file whose reading fails")
def test_a_disk_that_fails_in_the_middle_is_named() -> None:
    """An input error with its reason, not a surprise: opening it had worked."""
    with pytest.raises(InvalidInputError, match="cannot be read"):
        check_file(Path("/proc/self/mem"), FileRules())


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """100 MB of nothing, sparse: its size alone is enough."""
    path = tmp_path / "huge.yaml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(InvalidInputError, match="100000000 bytes or more; JOBS_MAX_FILE_BYTES allows 67108864"):
        check_file(path, FileRules())


def test_the_limit_is_exact(tmp_path: Path) -> None:
    """A file of just that size is read."""
    path = written(tmp_path, JOB)
    size = path.stat().st_size
    assert check_file(path, FileRules(max_file_bytes=size)).jobs == 1
    with pytest.raises(InvalidInputError, match="JOBS_MAX_FILE_BYTES"):
        check_file(path, FileRules(max_file_bytes=size - 1))


def fed(folder: Path, content: bytes) -> Path:
    """A pipe that somebody writes `content` into."""
    path = folder / "pipe"
    os.mkfifo(path)

    def feed() -> None:
        try:
            path.write_bytes(content)
        except BrokenPipeError:
            return  # the reader had enough, which is what one test is about

    threading.Thread(target=feed, daemon=True).start()
    return path


def test_a_pipe_is_a_job_file_too(tmp_path: Path) -> None:
    """`enqueue <(make-jobs)`; duplicates, which need a second reading, included."""
    report = check_file(fed(tmp_path, (JOB + JOB).encode()), FileRules())
    assert (report.jobs, len(report.problems)) == (2, 1)
    assert "jobs[0] on line 1" in report.problems[0].message


def test_a_pipe_without_end_is_cut_off_at_the_limit(tmp_path: Path) -> None:
    """Its size cannot be known beforehand."""
    with pytest.raises(InvalidInputError, match="JOBS_MAX_FILE_BYTES"):
        check_file(fed(tmp_path, b"#" * 1_000_000), FileRules(max_file_bytes=100_000))


class _Bytes:
    """A source that hands out small pieces, as a disk may."""

    def __init__(self, content: bytes, piece: int) -> None:
        self._left = content
        self._piece = piece

    def read(self, size: int = -1) -> bytes:
        size = self._piece if size < 0 else min(size, self._piece)
        piece, self._left = self._left[:size], self._left[size:]
        return piece


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_lines_are_found_by_offset_in_every_encoding(encoding: str) -> None:
    """While the place is among the pieces that libyaml may still be looking at."""
    mark = {"utf-8": b"", "utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}[encoding]
    content = mark + "".join(f"line {at}\n" for at in range(1, 101)).encode(encoding)
    stream = BoundedStream(_Bytes(content, 400), "s", 10**6)
    while stream.read(400):
        pass
    for line in (90, 99, 100):
        offset = content.index(f"line {line}\n".encode(encoding))
        assert stream.line_at(offset) == line


def test_a_growing_file_is_cut_off_at_the_limit() -> None:
    """The size that was seen at the start is not believed later."""
    stream = BoundedStream(_Bytes(b"x" * 1_000, 100), "s", 500)
    for _ in range(5):
        stream.read(100)
    with pytest.raises(InvalidInputError, match="s is 600 bytes or more"):
        stream.read(100)
