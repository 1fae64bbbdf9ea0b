"""An execution document read back: whole and of the right types, or said to be damaged."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from lib.errors import InvalidInputError, NotFoundError
from lib.manifest.executed import execution_document
from lib.manifest.execution import ExecutedJob, ExecutionLog

if TYPE_CHECKING:
    from pathlib import Path


def written(path: Path, **changes: Any) -> Path:
    """The document of one job, with these changes."""
    log = ExecutionLog(path, run_id="r", job_count=1, dry_run=False, now=lambda: datetime.now(UTC))
    result = {"audio": "take_01.wav", "audio_sec": 1.5, "takes": 1, "engine": "hibari"}
    log.add(ExecutedJob("a", "a", "ok", 0, 1.0, result=result))
    log.complete(aborted=False)
    path.write_text(json.dumps({**log.document(), **changes}))
    return path


def job(**changes: Any) -> dict[str, Any]:
    """One job of the document, with these changes."""
    sound = {"request_id": "a", "output_name": "a", "status": "ok", "return_code": 0, "duration_sec": 1}
    return {**sound, **changes}


def test_what_was_written_is_what_is_read(tmp_path: Path) -> None:
    """Through a symlink too; what a later version may add is left out."""
    path = written(tmp_path / "e.json")
    whole = json.loads(path.read_bytes())
    (tmp_path / "link").symlink_to(path)
    assert execution_document(path) == execution_document(tmp_path / "link") == whole
    added = written(tmp_path / "new.json", **{**whole, "mood": "good", "jobs": [{**whole["jobs"][0], "mood": 1}]})
    assert execution_document(added) == whole


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"jobs": 1}', "{" * 100_000, "null", "9" * 6_000, "\x00"])
def test_another_file_is_no_document(tmp_path: Path, content: str) -> None:
    """Said, not crashed on."""
    path = tmp_path / "execution.json"
    path.write_text(content)
    with pytest.raises(InvalidInputError, match="is no execution document") as caught:
        execution_document(path)
    assert "run the manifest again" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"jobs": ["x"]}, r"jobs\[0\]"),
        ({"jobs": [{"audio": "x"}]}, r"jobs\[0\].request_id"),
        ({"jobs": [job(duration_sec="x")]}, r"jobs\[0\].duration_sec"),
        ({"jobs": [job(duration_sec=-1)]}, r"jobs\[0\].duration_sec"),
        ({"jobs": [job(audio_sec=[])]}, r"jobs\[0\].audio_sec"),
        ({"jobs": [job(status="\x1b[31m")]}, r"jobs\[0\].status"),
        ({"jobs": [job(request_id="\ud800")]}, r"jobs\[0\].request_id"),
        ({"job_count": "abc"}, "job_count"),
        ({"job_count": -1}, "job_count"),
        ({"job_count": float("nan")}, "NaN is no JSON"),
        ({"mood": float("inf")}, "Infinity is no JSON"),
        ({"current": 1}, "current"),
        ({"completed_at": {}}, "completed_at"),
        ({"schema_version": 2}, "schema_version"),
    ],
)
def test_a_damaged_document_is_said_to_be_one(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    """With the field that is wrong."""
    with pytest.raises(InvalidInputError, match=f"or a damaged one: {said}"):
        execution_document(written(tmp_path / "e.json", **changes))


def test_a_number_beyond_all_numbers_is_damage(tmp_path: Path) -> None:
    """JSON allows it, and it would be printed as Infinity."""
    path = written(tmp_path / "e.json", duration_sec=12321)
    path.write_text(path.read_text().replace("12321", "1e400"))
    with pytest.raises(InvalidInputError, match="1e400 is too large a number"):
        execution_document(path)


@pytest.mark.timeout(30)
def test_what_is_no_file(tmp_path: Path) -> None:
    """Missing is not found; a pipe is not waited for."""
    for gone in (tmp_path / "gone", written(tmp_path / "e.json") / "below"):
        with pytest.raises(NotFoundError):
            execution_document(gone)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "."):
        with pytest.raises(InvalidInputError, match="no regular file"):
            execution_document(tmp_path / name)
