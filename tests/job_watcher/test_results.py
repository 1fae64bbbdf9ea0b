"""What a body may hand back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from job_watcher.results import MAX_OUTPUTS, MAX_RESULT_BYTES, checked
from lib.errors import PermanentError
from lib.stores.artifacts import StoredOutput
from lib.tasks.base import Output, TaskResult

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plain_result_passes_unchanged(tmp_path: Path) -> None:
    """The very object, so that nothing is lost in checking."""
    (tmp_path / "deep").mkdir()
    given = TaskResult({"a": [1, "é", None]}, (Output("a", tmp_path / "deep" / "a", "take"),))
    assert checked(given, lambda: tmp_path) is given


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ({"a": float("nan")}, "not JSON"),
        ({"a": object()}, "not JSON"),
        ({"a": {1, 2}}, "not JSON"),
        (["a"], "it must be a dict"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path: Path, result: Any, said: str) -> None:
    """Before a record would be half written."""
    with pytest.raises(PermanentError, match=said):
        checked(TaskResult(result), lambda: tmp_path)


def test_a_bottomless_result_is_refused(tmp_path: Path) -> None:
    """A nesting that no reader survives."""
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(PermanentError, match="not JSON"):
        checked(TaskResult(deep), lambda: tmp_path)


def test_the_size_limit_is_exact(tmp_path: Path) -> None:
    """At the limit it passes, one byte more it does not, and the message says both numbers."""
    room = MAX_RESULT_BYTES - len('{"a": ""}')
    fits = TaskResult({"a": "x" * room})
    assert checked(fits, lambda: tmp_path) is fits
    with pytest.raises(PermanentError, match=f"{MAX_RESULT_BYTES + 1} bytes of JSON; at most {MAX_RESULT_BYTES}"):
        checked(TaskResult({"a": "x" * (room + 1)}), lambda: tmp_path)


def test_no_task_result_at_all_is_named(tmp_path: Path) -> None:
    """A body that forgot its return."""
    with pytest.raises(PermanentError, match="NoneType"):
        checked(None, lambda: tmp_path)


def test_outputs_must_lie_in_the_work_directory(tmp_path: Path) -> None:
    """Neither above it, nor beside it, nor by a symlinked directory."""
    work = tmp_path / "work"
    work.mkdir()
    (tmp_path / "workshop").mkdir()
    (work / "link").symlink_to(tmp_path)
    for path in (tmp_path / "a", tmp_path / "workshop" / "a", work / ".." / "a", work / "link" / "a"):
        with pytest.raises(PermanentError, match="outside"):
            checked(TaskResult(None, (Output("a", path, "take"),)), lambda: work)


def test_two_outputs_of_one_name_and_too_many_are_refused(tmp_path: Path) -> None:
    """Each would overwrite another in the store."""
    twice = (Output("a", tmp_path / "a", "take"), Output("a", tmp_path / "b", "take"))
    with pytest.raises(PermanentError, match="two outputs named a"):
        checked(TaskResult(None, twice), lambda: tmp_path)
    many = tuple(Output(f"a{n}", tmp_path / f"a{n}", "take") for n in range(MAX_OUTPUTS + 1))
    with pytest.raises(PermanentError, match=str(MAX_OUTPUTS)):
        checked(TaskResult(None, many), lambda: tmp_path)


def _stored(name: str) -> StoredOutput:
    return StoredOutput(name, "take", f"file:///store/{name}", 1, "0" * 64)


def test_what_is_stored_already_is_kept_as_it_is(tmp_path: Path) -> None:
    """It was checked where it stands, and needs no work directory."""
    given = TaskResult({}, stored=(_stored("a"), _stored("b")))
    assert checked(given, lambda: tmp_path / "none") is given


def test_stored_outputs_that_no_record_can_name_are_refused(tmp_path: Path) -> None:
    """Two of one name, too many, or beside others that are still to be stored."""
    with pytest.raises(PermanentError, match="have one name"):
        checked(TaskResult({}, stored=(_stored("a"), _stored("a"))), lambda: tmp_path)
    with pytest.raises(PermanentError, match=str(MAX_OUTPUTS)):
        checked(TaskResult({}, stored=tuple(_stored(f"a{n}") for n in range(MAX_OUTPUTS + 1))), lambda: tmp_path)
    both = TaskResult({}, (Output("b", tmp_path / "b", "take"),), stored=(_stored("a"),))
    with pytest.raises(PermanentError, match="beside those"):
        checked(both, lambda: tmp_path)
