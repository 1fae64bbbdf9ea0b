"""A corpus in a JSONL file: what is a record, what is a mistake, and that size costs no memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lib.corpus import jsonl_index
from lib.corpus.jsonl import JsonlRecords
from lib.errors import InvalidInputError, InvalidJobsError, NotFoundError, TemporaryError

if TYPE_CHECKING:
    from pathlib import Path


def written(where: Path, *lines: str | bytes) -> JsonlRecords:
    """A corpus of these lines."""
    path = where / "corpus.jsonl"
    path.write_bytes(b"".join((each if isinstance(each, bytes) else each.encode()) + b"\n" for each in lines))
    return JsonlRecords(path)


def ids(records: JsonlRecords, size: int = 2) -> list[list[str]]:
    """The ids, chunk by chunk."""
    return [[record.id for record in chunk] for chunk in records.chunks(size)]


def test_records_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Some at a time; numbers are ids too; empty lines and a byte order mark are no records."""
    records = written(tmp_path, b'\xef\xbb\xbf{"id": "a", "x": 1}', "", '{"id": 7}', "   ", '{"id": "b c"}')
    assert ids(records) == [["a", "7"], ["b c"]]
    assert next(records.chunks(1))[0].fields == {"id": "a", "x": 1}
    assert {name: record.fields for name, record in records.read(["b c", "a", "none"]).items()} == {
        "a": {"id": "a", "x": 1},
        "b c": {"id": "b c"},
    }


def test_another_field_may_name_them(tmp_path: Path) -> None:
    """And an index that was made by another name is not taken for it."""
    records = written(tmp_path, '{"id": 1, "key": "x"}', '{"id": 1, "key": "y"}')
    with pytest.raises(InvalidJobsError):
        records.check()
    by_key = JsonlRecords(records.path, "key")
    by_key.check()
    assert by_key.read(["y"])["y"].fields == {"id": 1, "key": "y"}
    with pytest.raises(InvalidJobsError):
        records.check()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "is no JSON: Expecting property name enclosed in double quotes at column 2"),
        ("[1]", "is no JSON object"),
        ('{"name": 1}', "has no field 'id'"),
        ('{"id": ""}', "id is blank"),
        ('{"id": null}', "id is no text or whole number"),
        ('{"id": true}', "id is no text or whole number"),
        ('{"id": 1.5}', "id is no text or whole number"),
        ('{"id": "a\\u0000"}', "id holds a control character"),
        ('{"id": "\\ud800"}', "id holds a lone surrogate"),
        ('{"id": "%s"}' % ("x" * 300), "id has 300 characters; at most 256 are allowed"),
        (b'{"id": "\xff"}', "is not UTF-8: byte 9"),
        ('{"id": 1, "x": NaN}', "NaN is no number in JSON"),
        ('{"id": 1, "x": ' + "[" * 100_000 + "]" * 100_000 + "}", "is no JSON that can be read"),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str | bytes, said: str, tmp_path: Path) -> None:
    """In words that say what to mend."""
    records = written(tmp_path, '{"id": "good"}', line)
    with pytest.raises(InvalidJobsError) as caught:
        records.check()
    [problem] = caught.value.problems
    assert problem.line == 2
    assert said in problem.message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Bad lines and ids that stand twice; and no index is left of such a file."""
    records = written(tmp_path, '{"id": 1}', "x", '{"id": "1"}', "y", '{"id": 2}', '{"id": 2}')
    with pytest.raises(InvalidJobsError) as caught:
        records.check()
    said = [(problem.line, problem.message.partition(";")[0]) for problem in caught.value.problems]
    assert [line for line, _ in said] == [2, 4, 3, 6]
    assert said[2][1] == "has the id '1' of line 1"
    assert [path.name for path in tmp_path.iterdir()] == ["corpus.jsonl"]


def test_a_file_without_lines_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    """A dump of another kind, in one line of gigabytes."""
    path = tmp_path / "corpus.jsonl"
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(InvalidJobsError, match="1 problem") as caught:
        JsonlRecords(path).check()
    assert "is there a line for each record?" in caught.value.problems[0].message


def test_the_index_is_made_once_and_made_anew_when_the_file_changes(tmp_path: Path) -> None:
    """A batch does not read the file again; a longer file is seen at once."""
    records = written(tmp_path, '{"id": "a"}')
    records.check()
    index = tmp_path / "corpus.jsonl.index.sqlite3"
    made = index.stat()
    records.read(["a"])
    assert index.stat().st_ino == made.st_ino
    with records.path.open("a") as file:
        file.write('{"id": "b"}\n')
    assert set(records.read(["a", "b"])) == {"a", "b"}
    assert index.stat().st_ino != made.st_ino


def test_a_broken_index_is_made_anew(tmp_path: Path) -> None:
    """Whatever lies there; and it can be deleted at any moment."""
    records = written(tmp_path, '{"id": "a"}')
    index = tmp_path / "corpus.jsonl.index.sqlite3"
    index.write_bytes(b"not a database, and long enough to be looked at" * 10)
    assert set(records.read(["a"])) == {"a"}
    index.unlink()
    assert set(records.read(["a"])) == {"a"}


def test_a_file_that_changes_behind_its_index_is_no_answer(tmp_path: Path) -> None:
    """Same size, time and inode, other records: what is read is checked, and worth another try."""
    records = written(tmp_path, '{"id": "a"}', '{"id": "b"}')
    records.check()
    about = records.path.stat()
    with records.path.open("r+b") as file:
        file.write(b'{"id": "c"}')
    os.utime(records.path, ns=(about.st_atime_ns, about.st_mtime_ns))
    with pytest.raises(TemporaryError, match="changed while it was read"):
        records.read(["a"])


def test_what_a_killed_indexer_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it is old; a young one may be somebody's work."""
    records = written(tmp_path, '{"id": "a"}')
    old, young = (tmp_path / f".corpus.jsonl.index.sqlite3.tmp-{name}" for name in ("old", "young"))
    for each in (old, young):
        each.write_text("half")
    os.utime(old, (1, 1))
    records.check()
    assert (old.exists(), young.exists()) == (False, True)
    monkeypatch.setattr(jsonl_index, "_ABANDONED_SECONDS", -1.0)
    os.utime(records.path)
    records.check()
    assert not young.exists()


def test_what_cannot_be_read_or_written_says_so(tmp_path: Path) -> None:
    """No file; a folder; a folder that nobody may write to."""
    with pytest.raises(NotFoundError, match="no corpus is at"):
        JsonlRecords(tmp_path / "none.jsonl").check()
    with pytest.raises(InvalidInputError, match="cannot be read: Is a directory"):
        JsonlRecords(tmp_path).check()
    if os.geteuid():
        records = written(tmp_path, '{"id": 1}')
        tmp_path.chmod(0o500)
        with pytest.raises(InvalidInputError, match=r"no index of .* can be written"):
            records.check()
        tmp_path.chmod(0o700)


@pytest.mark.timeout(120)
def test_a_large_corpus_is_flat_in_memory(tmp_path: Path) -> None:
    """20 MB of records are indexed and walked through in far less memory than that."""
    path = tmp_path / "corpus.jsonl"
    with path.open("w") as file:
        for number in range(20_000):
            file.write(json.dumps({"id": f"record-{number}", "text": "x" * 1000}) + "\n")
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from lib.corpus.jsonl import JsonlRecords\n"
        "records = JsonlRecords(Path(sys.argv[1]))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "records.check()\n"
        "assert sum(len(chunk) for chunk in records.chunks(200)) == 20_000\n"
        "assert len(records.read(['record-19999', 'record-0'])) == 2\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 10_000, "kilobytes"
