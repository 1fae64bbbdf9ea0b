"""Whether a record's files are where it says: seen on disk, and never claimed of another machine's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from job_runner.service import outputs_here
from job_runner.service.outputs_here import OutputsHere, lacks_a_file, path_of
from lib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def record_of(root: Path, *names: str, **more: Any) -> dict[str, Any]:
    """A done record with these takes of four bytes below the output directory `root`."""
    takes = [{"name": name, "uri": (root / ".store" / "a" / name).as_uri(), "bytes": 4} for name in names]
    return {"outputs": {"takes": takes}, **more}


def write(path: Path, content: bytes = b"RIFF") -> None:
    """A file, with its directories."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def missing(record: dict[str, Any], here: OutputsHere) -> list[str]:
    """The names of the outputs that are marked."""
    here.mark([None, {}, record])
    return [take["name"] for take in record["outputs"]["takes"] if take.get("missing")]


def test_each_output_is_looked_at(tmp_path: Path) -> None:
    """One that is gone, one of another size, and one that is whole; a job lacks a file when one of its is missing."""
    record = record_of(tmp_path, "gone.wav", "cut.wav", "whole.wav")
    write(tmp_path / ".store" / "a" / "cut.wav", b"RI")
    write(tmp_path / ".store" / "a" / "whole.wav")
    assert missing(record, OutputsHere(tmp_path)) == ["gone.wav", "cut.wav"]
    assert lacks_a_file(record)
    whole = record_of(tmp_path, "whole.wav")
    assert missing(whole, OutputsHere(tmp_path)) == []
    assert not lacks_a_file(whole)


def test_the_published_copy_is_enough(tmp_path: Path) -> None:
    """Where the record says that it is, or, in one that does not say, where its output_name has it."""
    root = tmp_path / "out"
    write(root / "story" / "t.wav")
    assert missing(record_of(root, "t.wav", output_name="story"), OutputsHere(root)) == []
    elsewhere = tmp_path / "elsewhere" / "t.wav"
    record = record_of(root, "t.wav")
    record["outputs"]["takes"][0]["published"] = elsewhere.as_uri()
    assert missing(record, OutputsHere(root)) == ["t.wav"]
    write(elsewhere)
    del record["outputs"]["takes"][0]["missing"]
    assert missing(record, OutputsHere(root)) == []


def test_what_another_machine_made_is_not_called_missing(tmp_path: Path) -> None:
    """Its output directory does not exist here, or it lies in no file system at all."""
    assert missing(record_of(tmp_path / "never", "t.wav"), OutputsHere(tmp_path)) == []
    record = record_of(tmp_path, "t.wav")
    record["outputs"]["takes"][0]["uri"] = "s3://bucket/t.wav"
    assert missing(record, OutputsHere(tmp_path)) == []


@pytest.mark.parametrize(("source", "said"), [("embedded", ["t.wav"]), ("environment", [])])
def test_a_whole_output_directory_that_was_deleted(tmp_path: Path, source: Any, said: list[str]) -> None:
    """With the bundled server everything was made here; with any other it may have been made elsewhere."""
    root = tmp_path / "out"
    settings = replace(Settings.load({"WATCHER_OUTPUT_ROOT": str(root)}), redis_url_source=source)
    assert missing(record_of(root, "t.wav"), OutputsHere.of(settings)) == said


def test_damaged_records_are_passed_over(tmp_path: Path) -> None:
    """What somebody changed by hand is no reason to end with a traceback."""
    here = OutputsHere(tmp_path)
    strange: list[dict[str, Any]] = [
        {"outputs": "gone"},
        {"outputs": {"takes": ["a"], "best": None}},
        {"outputs": {"takes": [{}, {"uri": 7}, {"uri": "file:///a%00b"}]}},
        {"unreadable": "{"},
    ]
    here.mark(strange)
    assert not any(map(lacks_a_file, strange[:2]))


def test_a_very_large_file_of_jobs_is_looked_at_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that is far away must not hold a report for an hour."""
    monkeypatch.setattr(outputs_here, "FILES_MAX", 2)
    here = OutputsHere(tmp_path)
    records = [record_of(tmp_path, "t.wav") for _ in range(4)]
    here.mark(records)
    assert [lacks_a_file(record) for record in records] == [True, True, False, False]


def test_a_path_out_of_a_uri() -> None:
    """As a person types it; what is no file stays a URI."""
    assert path_of("file:///out/a%20b/%C3%A9.wav") == "/out/a b/é.wav"
    assert path_of("s3://bucket/a%20b.wav") == "s3://bucket/a%20b.wav"
