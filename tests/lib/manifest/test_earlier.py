"""What an earlier run left behind, or somebody else put there: anything odd is made anew, nothing is waited for."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from lib.manifest.folder import read_plain
from tests.lib.manifest.folders import compiled, executed, job, statuses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ODD_RESULTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a file that is no object": lambda result: result["files"].append("x"),
    "a file whose name is a list": lambda result: result["files"].append({"name": [], "sha256": "x"}),
    "a file whose name no disk can hold": lambda result: result["files"].append({"name": "a\0b", "sha256": "x"}),
    "a file of another directory": lambda result: result["files"].append({"name": "../a/text.txt", "sha256": "x"}),
    "a file without a digest": lambda result: result["files"][0].pop("sha256"),
    "no files": lambda result: result.pop("files"),
    "files that are a number": lambda result: result.update(files=1),
    "no selection": lambda result: result.pop("selection"),
    "a selection that is text": lambda result: result.update(selection="first"),
    "a take that is not there": lambda result: result["selection"].update(selected_take=99),
    "a take before the first": lambda result: result["selection"].update(selected_take=0),
    "a take that is no number": lambda result: result["selection"].update(selected_take="1"),
    "a best take that nobody asked for": lambda result: result["selection"].update(enabled=True),
}


@pytest.mark.parametrize("odd", ODD_RESULTS)
def test_a_damaged_result_is_made_anew(tmp_path: Path, odd: str) -> None:
    """It fails no job, now or ever: the next run finds what this one made."""
    manifest = compiled(tmp_path, job("a"))
    executed(manifest)
    path = tmp_path / "a/result.json"
    result = json.loads(path.read_bytes())
    ODD_RESULTS[odd](result)
    path.write_text(json.dumps(result))
    assert statuses(executed(manifest)) == {"a": "ok"}
    assert statuses(executed(manifest)) == {"a": "already_made"}


@pytest.mark.parametrize(
    "content", ["[]", '"x"', "1", "null", "[" * 100_000, "9" * 6_000, '{"request": NaN}', "\ufeff{}"]
)
def test_another_document_is_made_anew(tmp_path: Path, content: str) -> None:
    """JSON or not."""
    manifest = compiled(tmp_path, job("a"))
    executed(manifest)
    (tmp_path / "a/result.json").write_text(content)
    assert statuses(executed(manifest)) == {"a": "ok"}


@pytest.mark.parametrize("seconds", ["NaN", "1e400", "1" + "0" * 400, '"long"', "null", "[]"])
def test_a_take_without_a_length_is_made_anew(tmp_path: Path, seconds: str) -> None:
    """Also where result.json vouches for the damaged document: NaN never gets into execution.json."""
    manifest = compiled(tmp_path, job("a"))
    executed(manifest)
    meta = tmp_path / "a/takes.meta.json"
    document = json.loads(meta.read_bytes())
    was = f'"seconds": {document["takes"][0]["seconds"]}'
    meta.write_text(meta.read_text().replace(was, f'"seconds": {seconds}'))
    vouched_for(tmp_path / "a", meta.name)
    assert statuses(executed(manifest)) == {"a": "ok"}


def vouched_for(directory: Path, name: str) -> None:
    """result.json with the digest of the file as it stands."""
    result = json.loads((directory / "result.json").read_bytes())
    digest = hashlib.sha256((directory / name).read_bytes()).hexdigest()
    next(each for each in result["files"] if each["name"] == name)["sha256"] = digest
    (directory / "result.json").write_text(json.dumps(result))


def test_again_looks_at_nothing_that_is_there(tmp_path: Path) -> None:
    """A damaged result is no obstacle; a voice that is not here is one, also in a dry run."""
    manifest = compiled(tmp_path, job("a"), job("b", voice="stranger"))
    executed(manifest)
    (tmp_path / "a/result.json").write_text('{"files": ["x"]}')
    assert statuses(executed(manifest, again=True, dry_run=True)) == {"a": "dry_run", "b": "failed"}
    assert statuses(executed(manifest, again=True)) == {"a": "ok", "b": "failed"}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("kind", ["pipe", "directory"])
@pytest.mark.parametrize("name", ["result.json", "take_01.wav", ".take_01.wav.part", ".result.json.part", "text.txt"])
def test_what_is_no_file_fails_its_job_alone(tmp_path: Path, name: str, kind: str, *, again: bool) -> None:
    """It is named, nobody waits for its writer, and the other jobs are made."""
    manifest = compiled(tmp_path, job("a"), job("b"))
    executed(manifest)
    path = tmp_path / "a" / name
    path.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    done = executed(manifest, again=again)
    assert statuses(done) == {"a": "failed", "b": "ok" if again else "already_made"}
    bad = done.jobs[0].document()
    assert (bad["return_code"], bad["hint"]) == (2, "remove it")
    assert bad["error"].startswith(f"a/{name} is no regular file")


def test_a_job_below_another_is_no_obstacle(tmp_path: Path) -> None:
    """Only names that speaking writes are asked about."""
    manifest = compiled(tmp_path, job("a"), job("a/manifest.json"), job("a/take_01.wav.d"))
    assert executed(manifest).success


@pytest.mark.timeout(30)
def test_only_a_plain_file_is_read(tmp_path: Path) -> None:
    """Not a pipe, not through a symlink, not more than asked for."""
    plain, pipe, link = (tmp_path / name for name in ("plain", "pipe", "link"))
    plain.write_bytes(b"12345")
    os.mkfifo(pipe)
    link.symlink_to(plain)
    assert read_plain(plain, 5) == read_plain(link, 5, follow=True) == b"12345"
    for path, most, said in ((plain, 4, "larger than 4 bytes"), (pipe, 9, "no regular file"), (link, 9, "symbolic")):
        with pytest.raises(OSError, match=said):
            read_plain(path, most)
