"""Estimates and sums of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from job_runner.service.known import Known
from job_runner.service.planning import plan, source_of
from lib.jobqueue import JobSpec, normalize_job_spec
from lib.redisqueue.measures import Measured
from lib.routing.estimates import JOB_SECONDS
from lib.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = Settings.load({"HOME": "/tmp"})  # noqa: S108 - nothing is written


def _spoken(text: str, **fields: object) -> JobSpec:
    return normalize_job_spec({"request_id": "a", "voice": "newsroom", "text": text, **fields})


def test_sources() -> None:
    """Voice, speaker, or the task."""
    assert source_of(_spoken("Hi")) == "voice:newsroom"
    assert source_of(normalize_job_spec({"request_id": "a", "speaker": "Ryan", "text": "Hi"})) == "speaker:Ryan"
    assert source_of(normalize_job_spec({"request_id": "a", "task": "debug"})) == "debug"


def test_a_job_is_priced_as_what_is_known_of_it(tmp_path: Path) -> None:
    """By measurements when there are any of its task, else by what is built in; the document says which."""
    path = tmp_path / "jobs.yaml"
    path.write_text(
        "- {request_id: a, task: sleep, payload: {seconds: 90}}\n- {request_id: b, voice: newsroom, text: Hi}\n"
    )
    made = plan([path], SETTINGS)
    assert [job.est_seconds for job in made.jobs] == [90 + JOB_SECONDS, round(JOB_SECONDS + 0.004, 2)]
    assert made.document()["estimates"] == "built-in"
    measured = {("sleep", "metal", 6): Measured(10, 0.5, 0.5, 0.5, 0, 0)}
    again = plan([path], SETTINGS, known=Known(answered=True, measured=measured))
    assert [job.est_seconds for job in again.jobs] == [45.0, round(JOB_SECONDS + 0.004, 2)]
    assert again.document()["estimates"] == "mixed"


@given(st.lists(st.sampled_from(["voice: newsroom", "speaker: Ryan", "speaker: Serena"]), max_size=20))
def test_the_groups_add_up_to_the_total(tmp_path_factory: object, sources: list[str]) -> None:
    """No job is counted twice or left out."""
    path: Path = tmp_path_factory.mktemp("plan") / "jobs.yaml"  # type: ignore[attr-defined]  # pytest's factory
    path.write_text("".join(f"- {{request_id: r{i}, {each}, text: Hi}}\n" for i, each in enumerate(sources)))
    made = plan([path], SETTINGS)
    assert made.totals["jobs"] == len(sources)
    groups = made.by_source
    assert list(groups) == sorted(groups)
    for name in ("jobs", "characters"):
        assert sum(group[name] for group in groups.values()) == made.totals[name]


def test_warnings_are_counted_not_repeated(tmp_path: Path) -> None:
    """A default that an engine ignores is one line, however many jobs inherit it."""
    path = tmp_path / "jobs.yaml"
    rows = "".join(f"  - {{request_id: r{i}, voice: newsroom, text: Hi}}\n" for i in range(50))
    path.write_text("defaults: {profile: stable}\njobs:\n" + rows)
    ((note, count),) = plan([path], SETTINGS).warnings.items()
    assert note.startswith("profile has no effect with the bundled voice")
    assert count == 50


def test_a_language_that_the_engine_lacks(tmp_path: Path) -> None:
    """A mistake, unless voices are to be had elsewhere."""
    path = tmp_path / "jobs.yaml"
    path.write_text("- {request_id: a, voice: newsroom, text: Mellon, language: Elvish}\n")
    (problem,) = plan([path], SETTINGS).problems
    assert (problem.line, problem.where) == (1, "jobs[0].language")
    assert "Elvish" in problem.message
    assert len(plan([path], SETTINGS, any_voice=True).jobs) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            "backend: cloud",
            ("backend cloud: nobody alive or set up here runs debug there, so the job would wait",),
        ),
        (
            "backend: vast",
            ("backend vast: nobody alive or set up here runs debug there, so the job would wait",),
        ),
        ("backend: metal", ()),
        ("deadline: 2001-01-01T00:00:00Z", ("the deadline has passed already",)),
        ("deadline: 2999-01-01T00:00:00Z", ()),
        (
            "deadline: 2998-01-01T00:00:00Z, run_after: 2999-01-01T00:00:00Z",
            ("the deadline is not after run_after, so it cannot be met",),
        ),
        ("deadline: 2999-01-01T00:00:00Z, run_after: 2998-01-01T00:00:00Z", ()),
    ],
)
def test_what_is_allowed_and_hardly_meant_is_noted(tmp_path: Path, fields: str, said: tuple[str, ...]) -> None:
    """A pin to a backend that does not exist and a deadline that cannot be met: the job stays sound."""
    path = tmp_path / "jobs.yaml"
    path.write_text(f"- {{request_id: a, task: debug, {fields}}}\n")
    made = plan([path], SETTINGS)
    assert [tuple(job.warnings) for job in made.jobs] == [said]
    assert not made.problems
