"""A file of a simulation: what it may say, and that every mistake in it is told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from job_watcher.simulation.scenario_file import read
from lib.errors import InvalidInputError, InvalidJobsError

EXAMPLE = Path(__file__).parents[3] / "examples" / "simulation.yaml"
SMALL = {"jobs": [{"id": "a", "seconds": {"metal": 10}}], "watchers": [{"name": "desk", "slots": {"metal": 1}}]}


def written(folder: Path, document: object) -> Path:
    """A file of this document."""
    path = folder / "scenario.yaml"
    # A copy, in which nothing is the same object twice: that would be written as an alias.
    path.write_text(yaml.safe_dump(json.loads(json.dumps(document))))
    return path


def test_the_example_is_sound() -> None:
    """82 jobs, and everything that it says arrives."""
    made = read(EXAMPLE)
    assert len(made.jobs) == 82
    assert made.limits.budget == 1_000_000
    assert made.slots("cloud") == 10
    by_id = {job.id: job for job in made.jobs}
    assert by_id["corpus-03"].arrival == 10
    assert by_id["corpus-03"].worst_micro == {"cloud": 10_000}
    assert by_id["morning-01"].deadline == 2700, "counted from when it comes"
    assert by_id["chapter-12"].backends() == ("metal",)


def test_little_is_needed(tmp_path: Path) -> None:
    """A job, a watcher; the rest has the defaults of the settings."""
    made = read(written(tmp_path, SMALL))
    assert (made.policy, made.limits.metal_queue_max, made.limits.jobs_per_minute) == ("local-first", 2, 2.0)
    assert made.limits.budget is None
    assert [job.id for job in made.jobs] == ["a"]
    assert made.watchers[0].offers == {"metal": frozenset({"any"})}


def test_all_mistakes_are_told_at_once_with_their_places(tmp_path: Path) -> None:
    """One run of the command is enough to mend a file."""
    document = {
        "jobs": [
            {"id": "a", "seconds": {"metal": -1}, "colour": "red"},
            {"id": "b", "seconds": {"moon": 5}},
            {"id": "c", "seconds": {"metal": 1}, "usd": {"cloud": 1}},
        ],
        "watchers": [{"name": "desk", "slots": {"metal": "many"}}],
        "policy": "luck",
    }
    with pytest.raises(InvalidJobsError) as caught:
        read(written(tmp_path, document))
    places = {problem.where for problem in caught.value.problems}
    assert {"jobs[0].seconds.metal", "jobs[0].colour", "jobs[2]", "watchers[0].slots.metal", "policy"} <= places
    assert any(place.startswith("jobs[1].seconds.moon") for place in places)
    assert "nothing was simulated" in caught.value.message
    told = {problem.where: problem.message for problem in caught.value.problems}
    assert told["jobs[2]"] == "usd: cloud has no entry in seconds"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"jobs": [*SMALL["jobs"], *SMALL["jobs"]]}, "jobs: named twice: a"),
        ({"watchers": [*SMALL["watchers"], *SMALL["watchers"]]}, "watchers: named twice: desk"),
        ({"jobs": [{"id": "a", "seconds": {"metal": 1}, "count": 100_000}, *(
            {"id": f"b{i}", "seconds": {"metal": 1}} for i in range(2))]}, "100002 are too many"),
        ({"jobs": [{"id": "a", "seconds": {"metal": 1}, "pin": "cloud"}]}, "cloud has no entry in seconds"),
        ({"jobs": []}, "at least 1 item"),
        ({"jobs": [{"id": "a", "seconds": {"metal": float("inf")}}]}, "finite"),
        ({"limits": {"cloud_jobs_per_minute": 0}}, "greater than or equal to 0.001"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused(tmp_path: Path, change: dict[str, object], words: str) -> None:
    """With words that name it."""
    with pytest.raises(InvalidJobsError) as caught:
        read(written(tmp_path, SMALL | change))
    assert any(words in problem.message for problem in caught.value.problems), caught.value.problems


def test_a_mistake_has_its_line(tmp_path: Path) -> None:
    """That of the field, or of what it should be in."""
    path = tmp_path / "scenario.yaml"
    path.write_text(
        "watchers: [{name: desk, slots: {metal: 1}}]\njobs:\n  - id: a\n    seconds:\n      metal: -1\n  - id: b\n"
    )
    with pytest.raises(InvalidJobsError) as caught:
        read(path)
    assert {(each.line, each.where) for each in caught.value.problems} == {
        (5, "jobs[0].seconds.metal"),
        (6, "jobs[1].seconds"),
    }


ODD = {
    "date": (b"jobs: 2026-99-99", "valid list"),
    "deep": (b"[" * 50_000, "nested deeper than 64 levels"),
    "twice": (b"jobs: []\njobs: []", "stands twice, first on line 1"),
    "alias": (b"jobs: &a [1]\nwatchers: *a", "the anchor &a is not read"),
    "tag": (b"jobs: !!int x", "the tag"),
    "long": (b"jobs: 1" + b"0" * 5_000, "is a number of 5001 digits"),
}


@pytest.mark.parametrize(("content", "said"), ODD.values(), ids=ODD)
def test_odd_values_are_told_with_their_line(tmp_path: Path, content: bytes, said: str) -> None:
    """None of them is a bug of ours."""
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidJobsError) as caught:
        read(path)
    assert any(said in each.message for each in caught.value.problems), caught.value.problems


@pytest.mark.parametrize("content", [b"jobs: [", b"\xff\xfe\x00", b"- 1", b"", b"text", b"#" * 10_000_001])
def test_what_is_no_such_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """YAML that is none, or none of these."""
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError):
        read(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """And a folder is no file."""
    with pytest.raises(InvalidInputError, match=r"nowhere\.yaml cannot be read"):
        read(tmp_path / "nowhere.yaml")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read(tmp_path)
