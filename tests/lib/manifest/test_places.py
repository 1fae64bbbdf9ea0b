"""Which names a job may have beside the files that are written in the same folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lib.errors import InvalidInputError
from lib.manifest import read_manifest
from lib.manifest.compiling import entry_of, problems_of
from lib.manifest.documents import Manifest
from lib.manifest.places import own_name_problem, place_of
from tests.lib.manifest.folders import compiled, executed, job

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "name",
    [
        ".manifest.json.part",
        ".execution.json.part/x",
        ".Execution.Dry-run.json.PART",
        "x/.text.txt.part",
        "x/.TAKE_01.wav.part/y",
        ".best.wav.part",
    ],
)
def test_no_job_stands_where_a_file_is_being_written(tmp_path: Path, name: str) -> None:
    """Said before anything is compiled, and of a manifest by another hand; an id of that form gets another place."""
    (problem,) = problems_of(job(name))
    assert problem.field == "output_name"
    assert problem.message.endswith("; choose another")
    (tmp_path / "manifest.json").write_bytes(
        Manifest(schema_version=1, run_id="r", jobs=[entry_of(job(name))]).to_json()
    )
    with pytest.raises(InvalidInputError, match="choose another"):
        read_manifest(tmp_path)
    assert own_name_problem(place_of(job(name, output_name=None, request_id=name.replace("/", ":")))) is None


@pytest.mark.parametrize("name", ["x/.manifest.json.part", ".x.part", "part", "x/manifest.json", ".text.txt"])
def test_names_that_only_look_alike_are_free(tmp_path: Path, name: str) -> None:
    """They are made like any other."""
    assert problems_of(job(name)) == ()
    assert executed(compiled(tmp_path, job(name), job("x"))).success
