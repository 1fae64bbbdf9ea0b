"""Lines of `.env` that are no settings: their numbers, and how a program tells of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lib.dotenv_lines import bad_lines_told, unread_lines
from lib.settings import process_environment

if TYPE_CHECKING:
    from pathlib import Path

MIXED = "# comment\nJOBS_PREFIX=a\n\n\njunk here now\nexport METAL_QUEUE_MAX=2\nWORD\n=x\n\n  more junk\nLAST=1\n"
BAD = [5, 7, 8, 10]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, without a .env."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_lines_are_those_of_an_editor(folder: Path) -> None:
    """Comments, blank lines and settings are none of them; the end of line may be that of another system."""
    path = folder / ".env"
    for text in (MIXED, MIXED.replace("\n", "\r\n")):
        path.write_bytes(text.encode())
        assert unread_lines(path) == BAD
    path.write_text("A=1\n# B\n\nC='two words'\nEMPTY=\n")
    assert unread_lines(path) == []
    assert unread_lines(folder / "nowhere") == []


def test_each_is_told_once_however_often_the_file_is_read(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """In our words alone, and only within the block; what is sound is read all the same."""
    (folder / ".env").write_text(MIXED)
    told: list[str] = []
    with bad_lines_told(told.append):
        assert process_environment()["LAST"] == "1"
        process_environment()
    assert told == [
        f".env:{line} is no setting and is left out; write NAME=value, or # before a comment" for line in BAD
    ]
    assert not caplog.records
    process_environment()
    assert len(told) == len(BAD)
    assert caplog.records


def test_without_a_file_there_is_nothing_to_tell(folder: Path) -> None:
    """Nothing is touched."""
    assert not (folder / ".env").exists()
    told: list[str] = []
    with bad_lines_told(told.append):
        assert process_environment() is os.environ
    assert told == []
