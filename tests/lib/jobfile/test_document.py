"""A small document: one value with the lines of what is in it, or every mistake; never a crash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.errors import InvalidInputError
from lib.jobfile.document import Document, read_document


def read(folder: Path, content: bytes, most: int = 1_000) -> Any:
    """What `read_document` says of a file with this content."""
    path = folder / "small.yaml"
    path.write_bytes(content)
    return read_document(path, most)


def test_a_value_and_its_lines(tmp_path: Path) -> None:
    """A thing that is not there has the line of what it should be in."""
    found = read(tmp_path, b"a: 1\nb:\n  - c: x\n    d: [yes, 010]\n")
    assert found.value == {"a": 1, "b": [{"c": "x", "d": ["yes", 10]}]}
    assert [found.line_of(path) for path in ("a", "b[0].d[1]", "b[0].none", "b[7]", "z", "")] == [1, 4, 3, 2, 1, 1]


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Each with its line and place."""
    found = read(tmp_path, b"a: 1\na: 2\nb: *x\n")
    assert [(each.line, each.where) for each in found] == [(2, "a"), (3, "b")]


@pytest.mark.parametrize("content", [b"", b"# nothing", b"---\n", b"null"])
def test_nothing_is_nothing(tmp_path: Path, content: bytes) -> None:
    """The caller says whether it may be."""
    assert read(tmp_path, content) == Document(None, {})


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """Missing, a folder, too large."""
    for path in (tmp_path / "none", tmp_path, Path("a\0b")):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            read_document(path, 10)
    with pytest.raises(InvalidInputError, match="larger than 10 bytes"):
        read(tmp_path, b"#" * 11, 10)
    assert isinstance(read(tmp_path, b"#" * 10, 10), Document)


def test_too_many_mistakes_end_it(tmp_path: Path) -> None:
    """A thousand are enough."""
    assert len(read(tmp_path, b"[" + b"*a, " * 5_000 + b"]", 100_000)) == 1_000


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text("{}[]:,-&*!|>'\"#\n ab0~", max_size=60).map(str.encode))
def test_no_file_ends_in_a_crash(tmp_path: Path, content: bytes) -> None:
    """Whatever it holds: a document, or mistakes with their lines."""
    found = read(tmp_path, content)
    assert isinstance(found, Document) or all(each.line >= 1 and each.message for each in found)


def test_many_small_values_are_refused_and_not_cut_off(tmp_path: Path) -> None:
    """They take more memory than their file."""
    found = read(tmp_path, b"[" + b"1," * 490 + b"1]")
    assert [each.message for each in found] == ["holds more than 1000 bytes of values; make it smaller"]
