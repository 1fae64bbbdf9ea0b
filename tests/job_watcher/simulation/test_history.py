"""Jobs out of records: what they took, where they could have run, and when they came."""

from __future__ import annotations

from typing import Any

import pytest

from job_watcher.simulation.history import jobs_of
from job_watcher.simulation.running import simulate
from tests.job_watcher.simulation.scenarios import scenario


def record(name: str, backend: str = "metal", seconds: float = 10.0, **fields: Any) -> dict[str, Any]:
    """A done record, as far as it matters."""
    return {
        "request_id": name,
        "task": "annotate",
        "backend": backend,
        "duration_sec": seconds,
        "queued_at": "2026-11-21T22:00:00.000Z",
        **fields,
    }


def capability_of(task: str) -> str:
    """What each task needs."""
    return {"annotate": "text_model", "speak": "speech"}.get(task, "any")


def test_a_job_takes_where_it_ran_what_it_took() -> None:
    """And costs what it cost."""
    [job] = jobs_of([record("a", "cloud", 12.5, cost={"usd": 0.03}, backlog="night")], capability_of)
    assert job.seconds == {"cloud": 12.5}
    assert job.micro == {"cloud": 30_000}
    assert (job.capability, job.backlog, job.arrival, job.spread) == ("text_model", "night", 0.0, 0.0)


def test_what_it_would_have_taken_elsewhere_is_reckoned_from_its_task() -> None:
    """A job twice as long as the middle one is so on both backends."""
    records = [
        record("m1", "metal", 100), record("m2", "metal", 200),
        record("c1", "cloud", 10, cost={"usd": 0.01}), record("c2", "cloud", 20, cost={"usd": 0.03}),
    ]  # fmt: skip
    by_id = {job.id: job for job in jobs_of(records, capability_of)}
    assert by_id["m2"].seconds["cloud"] == pytest.approx(15 * 200 / 150)
    assert by_id["m2"].micro["cloud"] == pytest.approx(20_000 * 200 / 150, abs=1)
    assert by_id["c1"].seconds["metal"] == pytest.approx(150 * 10 / 15)
    assert by_id["c2"].micro == {"metal": 0, "cloud": 30_000}


def test_a_task_of_which_one_backend_has_records_stays_there() -> None:
    """Nothing is made up."""
    jobs = jobs_of([record("a", task="speak"), record("b", "cloud", 5)], capability_of)
    assert {job.id: tuple(job.seconds) for job in jobs} == {"a": ("metal",), "b": ("cloud",)}
    assert {job.id: job.intake.pin for job in jobs} == {"a": "metal", "b": "cloud"}


def test_jobs_come_in_the_order_and_at_the_distance_in_which_they_came() -> None:
    """The first one at 0."""
    records = [
        record("late", queued_at="2026-11-21T23:30:00.000Z"),
        record("first", queued_at="2026-11-21T22:00:00.000Z"),
        record("next", queued_at="2026-11-21T22:00:07.500Z"),
    ]
    assert [(job.id, job.arrival) for job in jobs_of(records, capability_of)] == [
        ("first", 0.0),
        ("next", 7.5),
        ("late", 5400.0),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"duration_sec": None}, {"duration_sec": "long"}, {"queued_at": "yesterday"}, {"queued_at": None},
        {"backend": "vast"}, {"task": ""},
    ],
)  # fmt: skip
def test_a_record_that_says_too_little_is_passed_over(change: dict[str, Any]) -> None:
    """Somebody else wrote it, or another time."""
    assert jobs_of([record("a") | change], capability_of) == []
    short = record("b")
    del short["queued_at"]
    assert [job.id for job in jobs_of([short, record("c")], capability_of)] == ["c"]


def test_what_was_made_already_says_nothing_of_what_it_takes() -> None:
    """Or a night of new lines would seem to be done in a moment."""
    taken = record("b", seconds=0.01, result={"cached": {"request_id": "a", "key": "sha256:a1:00"}}, cost={"usd": 0.0})
    made = [record("a"), record("c", seconds=20.0, result={"model": "m"}), record("d", result={"cached": True})]
    assert {job.id: job.seconds["metal"] for job in jobs_of([*made, taken], capability_of)} == {
        "a": 10.0,
        "c": 20.0,
        "d": 10.0,
    }
    assert jobs_of([taken], capability_of) == []


def test_recorded_jobs_can_be_simulated() -> None:
    """Yesterday on the machine of today."""
    records = [record(f"j{i}", "metal" if i % 2 else "cloud", 30) for i in range(8)]
    jobs = jobs_of(records, lambda _: "any")
    run = simulate(scenario(*jobs))
    assert all(ended.status == "done" for ended in run.jobs)
